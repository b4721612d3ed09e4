"""Whether messages bring about what they are sent for: those who got them against those who were held out, from the same instants on."""
