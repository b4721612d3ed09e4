"""The fuzzer, for a few seconds; `python -m tests.soak fuzz` goes on as long as it is asked to."""

from __future__ import annotations

from tests.soak.fuzz import fuzz
from tests.soak.hostile import STARTS_MS

SEEDS = range(len(STARTS_MS))  # each clock has its turn


def test_whatever_comes_in_has_an_answer() -> None:
    """Any JSON in the whole library and every function, any zone, the ends of the calendar: an answer or "missing", never an error."""
    found = fuzz(SEEDS, events=60)
    assert found["accepted"] > 250, "most of it must get as far as the segments"
    assert found["outputs"] > 1_000, "and be told something"
    assert found["fault"] == 0
