"""A second opinion: the same answers as the step's, worked out the slow way from the specification alone."""
