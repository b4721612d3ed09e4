"""From a customer's numbers to slots."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.examples import Category, Feature, FeatureList, Linear
from streamer.learning.inputs.feature_encoding import BINS, Encoder, bin_shares, freeze, segments

FEATURES = FeatureList(
    1,
    (Feature("spend", Linear(), 0, 1e6), Feature("month", Category(), 1, 12), Feature("visits", Linear(), 0, 1e3)),
    (("spend", "month"), ("spend", "visits")),
)
ROWS = [(float(i * i % 977), float(1 + i % 3), 0.0 if i % 5 else float(i)) for i in range(1_000)]
ENCODING = freeze(ROWS, FEATURES, 1)


def test_bins_hold_equal_parts_of_the_rows_that_froze_them() -> None:
    """A bin that is hardly ever lit learns nothing."""
    shares = ENCODING.shares[0]
    assert len(shares) == BINS
    assert all(share == pytest.approx(1 / BINS, abs=0.01) for share in shares)


def test_a_value_that_most_have_gets_a_bin_to_itself() -> None:
    """Four in five never visited: never and once must not share a bin."""
    zero, least = (Encoder(ENCODING).encode((1.0, 1.0, visits)) for visits in (0.0, 5.0))
    assert ENCODING.shares[2][0] == pytest.approx(0.8, abs=0.01)
    assert zero.keys() != least.keys()


def test_a_category_has_a_slot_for_what_was_never_seen_yet() -> None:
    """The first thousand rows are of the first quarter; December must still be learnable when it comes."""
    december, november = (Encoder(ENCODING).encode((1.0, month, 0.0)) for month in (12.0, 11.0))
    assert december.keys() != november.keys()


def test_a_category_with_too_many_values_keeps_the_commonest() -> None:
    """Memory must be bounded by the declaration, not by the data."""
    wide = FeatureList(1, (Feature("city", Category(), 0, 1e6),))
    encoding = freeze([(float(i % 70 if i < 700 else 5),) for i in range(1_000)], wide, 1)
    assert len(encoding.columns[0].values) == 64
    assert Encoder(encoding).encode((123_456.0,)) == {64: 1.0}


def test_beyond_what_was_seen_counts_as_the_end_of_it() -> None:
    """A wild value must not pull a weight further than the largest known one."""
    encode = Encoder(ENCODING).encode
    assert encode((1e300, 1.0, 0.0)) == encode((976.0, 1.0, 0.0))
    assert encode((-5.0, 1.0, 0.0)) == encode((0.0, 1.0, 0.0))


def test_a_constant_feature_is_harmless() -> None:
    """A shop may not have discounts yet."""
    encoding = freeze([(7.0, 1.0, 0.0)] * 10, FEATURES, 1)
    lit = Encoder(encoding).encode((8.0, 1.0, 0.0))
    assert all(value == 1.0 or abs(value) == pytest.approx(3**0.5) for value in lit.values())


def test_positions_rise_with_the_value_and_do_not_jump_at_cuts() -> None:
    """Between bins only the bin's own weight may make a difference."""
    column = ENCODING.columns[0]
    position = column.base + column.bins
    encode = Encoder(ENCODING).encode
    positions = [encode((value / 10, 1.0, 0.0))[position] for value in range(9_760)]
    assert positions == sorted(positions)
    assert max(b - a for a, b in pairwise(positions)) < 0.05


def test_a_narrow_bin_far_from_zero_keeps_its_digits() -> None:
    """Seconds since 1970 within a minute: measured from zero, the position would be noise."""
    pieces = segments((1.7e9, 1.7e9 + 1e-3, 1.7e9 + 60))
    inside = pieces.starts[1] + pieces.slopes[1] * (1.7e9 + 5e-4 - pieces.lows[1])
    assert inside == pytest.approx((pieces.starts[0] + pieces.starts[2]) / 2, abs=1e-3)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(*[st.floats(-1e9, 1e9)] * 3), min_size=1, max_size=40),
    st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3),
)
def test_any_row_lights_slots_that_exist(rows: list[tuple[float, float, float]], row: tuple[float, float, float]) -> None:
    """A slot outside the encoding would be a weight that no scorer has."""
    encoding = freeze(rows, FEATURES, 1)
    before = tuple(row)
    lit = Encoder(encoding).encode(row)
    assert all(0 <= slot < encoding.slots for slot in lit)
    assert all(abs(value) <= 3**0.5 + 1e-9 for value in lit.values())
    assert row == before


def test_shares_of_the_same_rows_are_the_same() -> None:
    """They are compared to tell whether customers moved."""
    assert bin_shares(ENCODING, ROWS) == ENCODING.shares
