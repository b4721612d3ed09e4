"""All that is remembered of one customer, as one JSON object: what the store has, and what lies in the topics."""
