"""The step against the oracle, and against itself: what must hold for every definition and every log."""
