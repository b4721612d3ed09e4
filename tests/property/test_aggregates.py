"""Each aggregate against the oracle, often. Among whole sentences a name comes up in a few cases of a hundred, seldom where it decides."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.language.tree import AggregateName
from tests.oracle.story import Record
from tests.property.effort import effort
from tests.property.test_corners import DAY, START, agreed

HOUR = 3_600_000
WINDOWS = ("", ', within="1h"', ', within="1d"', ', within="2d", before="1h"', ', this="day"')

prices = st.sampled_from([0, 1, 2.5, 4, -1, "5", None]) | st.lists(st.sampled_from([1, 2.5]), max_size=3)
logs = st.lists(st.tuples(st.sampled_from([0, 1, HOUR, 6 * HOUR, DAY]), st.sampled_from([0, 0, 0, HOUR]), prices), min_size=1, max_size=8)


def records_of(log: list[tuple[int, int, Any]]) -> list[Record]:
    """One event each: how long after the one before it arrives, how old it is by then, its price."""
    records, now = list[Record](), START
    for offset, (step_ms, age_ms, price) in enumerate(log, start=1):
        now += step_ms
        event = {"type": "track", "event": "A", "userId": "c", "messageId": f"m{offset}", "timestamp": now - age_ms}
        records.append(Record(offset, now, {**event, "properties": {"price": price}}))
    return records


@pytest.mark.parametrize("name", get_args(AggregateName))
@given(log=logs, window=st.sampled_from(WINDOWS), sign=st.sampled_from(["<", ">=", "==", "!="]), limit=st.integers(0, 4))
@effort(0.5)
def test_an_aggregate_is_the_oracles(name: str, log: list[tuple[int, int, Any]], window: str, sign: str, limit: int) -> None:
    """A name that is new is compared from its first day on."""
    agreed({"segments": {"s": {"when": f'{name}("A", "price"{window}) {sign} {limit}'}}}, *records_of(log))
