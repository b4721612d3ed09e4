"""Percentiles of scores: the stated error is kept, old values fade, and nothing grows."""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.learning.algorithms.quantiles import STEPS, Quantiles, share_in, table_of

EXAMPLES = int(os.environ.get("STREAMER_TEST_EXAMPLES", "100"))
values = st.lists(st.one_of(st.integers(0, 10_000), st.integers(0, 10**15)), min_size=1, max_size=300)


@given(values=values, share=st.floats(0, 1))
@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
def test_a_value_is_off_by_less_than_one_percent_of_itself(values: list[int], share: float) -> None:
    """That is what the sketch promises, whatever the sizes."""
    recent = Quantiles(float("inf"))
    recent.extend(values)
    exact = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    assert exact <= recent.value(share) <= exact * (1 + 1 / 128)


@given(values=values, value=st.integers(0, 10**15))
@settings(max_examples=EXAMPLES, derandomize=True, deadline=None)
def test_a_share_is_exact_but_for_the_cell_of_the_value(values: list[int], value: int) -> None:
    """Only values that look the same (within 0.8 %) may be counted on the wrong side."""
    recent = Quantiles(float("inf"))
    recent.extend(values)
    ordered = sorted(values)
    assert bisect_right(ordered, value) / len(values) - 1e-9 <= recent.share(value)
    assert recent.share(value) <= bisect_right(ordered, value * (1 + 1 / 128)) / len(values) + 1e-9


@pytest.mark.parametrize("shape", ["uniform", "heavy", "mostly zero"])
def test_the_table_of_a_scorer_is_within_one_percent_of_the_truth(shape: str) -> None:
    """Scorers look up ``percentile`` in it, and a marketer reads 0.9 as the best tenth."""
    rng = Random(4)
    draw = {
        "uniform": lambda: rng.randrange(10_001),
        "heavy": lambda: int(rng.lognormvariate(8, 2)),
        "mostly zero": lambda: rng.randrange(1, 10_001) if rng.random() < 0.2 else 0,
    }[shape]
    seen = [draw() for _ in range(5_000)]
    recent = Quantiles(float("inf"))
    recent.extend(seen)
    ordered = sorted(seen)
    for table in (recent.table(), table_of(seen)):
        assert len(table) == STEPS + 1
        for value in seen[:500]:
            assert share_in(table, value) == pytest.approx(10_000 * bisect_right(ordered, value) / len(seen), abs=100)


def test_the_ends_of_a_table_are_none_and_all() -> None:
    """A score below all that were seen is no error, and one above them is the best."""
    table = table_of([5, 6, 7])
    assert (share_in(table, 4), share_in(table, 7), share_in(table, 10**12)) == (0, 10_000, 10_000)
    assert share_in((), 3) == 0


def test_old_values_fade() -> None:
    """A percentile among customers of last year would say nothing about today."""
    recent = Quantiles(half_life=100)
    recent.extend([10] * 5_000)
    recent.extend([9_000] * 100)
    assert pytest.approx(recent.share(10), abs=0.01) == 0.5
    recent.extend([9_000] * 900)
    assert pytest.approx(recent.share(10), abs=0.0005) == 0.001


def test_memory_is_flat_and_a_snapshot_goes_on_as_if_nothing_had_happened() -> None:
    """It lives for years inside the learner's snapshot."""
    rng = Random(1)
    recent = Quantiles(half_life=200)
    sizes: list[int] = []
    for _ in range(6):
        recent.extend(int(rng.lognormvariate(9, 3)) for _ in range(20_000))
        sizes.append(len(recent.dump()["cells"]))
    assert max(sizes[1:]) < 3_000
    again = Quantiles.restore(json.loads(json.dumps(recent.dump())))
    for copy in (recent, again):
        copy.extend(range(0, 9_000, 7))
    assert recent.dump() == again.dump()
