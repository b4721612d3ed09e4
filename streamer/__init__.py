"""A real-time customer segmenter: exact in time, one story whatever crashes, a reason for each change."""

__version__ = "0.1.0"
