"""Events that another shard sent on count as the oracle says: by when they first arrived, each once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamer.flow import forwards
from streamer.flow.rules import Rules
from streamer.wire import LogRecord, shard_of
from tests.oracle.story import Forward, Record
from tests.property.driving import COUNTED, Case, Driver, changes_by, log_of
from tests.property.effort import effort
from tests.property.logs import CUSTOMERS, D, H, cases
from tests.property.test_against_the_oracle import told

SHARDS = 2
SENT_ON = ("forwarded_again", *COUNTED)
HOMES = {name: next(f"{name}{n}" for n in count() if shard_of(f"{name}{n}", SHARDS) == 0) for name in CUSTOMERS}


def at_home(body: dict[str, Any]) -> dict[str, Any]:
    """The same, of customers of the shard on trial."""
    return {key: HOMES.get(value, value) if key in ("userId", "anonymousId", "customer") else value for key, value in body.items()}


def whose(body: dict[str, Any]) -> str | None:
    """The customer whom an event at home names; None for one that its own shard refuses: nothing of nobody is sent on."""
    return next((found for found in (body.get("userId"), body.get("anonymousId")) if found in HOMES.values()), None)


@st.composite
def cases_with_forwards(draw: st.DrawFn) -> Case:
    """Some events were sent on by the other shard, whose clock and backlog were its own; some are sent again."""
    case = draw(cases(records_max=20))
    records: list[Record] = []
    now, newest = 0, 0
    for record in case.records:
        now = max(now, record.arrival_ms)
        forward = None
        if whose(at_home(record.body)) is not None and "control" not in record.body and draw(st.booleans()):
            newest = max(newest, draw(st.integers(newest - 1, newest + 1)))
            place = (1, draw(st.integers(max(0, newest - 1), newest)), draw(st.integers(0, 1)))
            arrived = now - draw(st.sampled_from([0, 0, 1, 1000, H, case.lateness_ms, 3 * D, -1000, -H]))
            forward = Forward(1, place, max(0, arrived))
        records.append(replace(record, body=at_home(record.body), forward=forward))
    return replace(case, records=tuple(records))


def sent_on(case: Case) -> list[LogRecord]:
    """The log of the shard on trial, with what the other one wrote into it."""
    log = log_of(case)
    for at, record in enumerate(case.records, 1):
        if record.forward is not None:
            generation, offset, ordinal = record.forward.place
            forward = forwards.Forward(generation, record.forward.shard, offset, ordinal, record.forward.arrival_ms)
            log[at] = log[at]._replace(key=(whose(record.body) or "").encode(), headers=forward.headers)
    return log


class SentOn(Driver):
    """Shard 0 of two."""

    def __init__(self, case: Case, **options: Any) -> None:
        super().__init__(case, **options)
        self.rules = Rules(shards=SHARDS, lateness_ms=case.lateness_ms, skew_ms=case.skew_ms)


def test_what_is_sent_on_counts_as_the_oracle_says() -> None:
    """All that is said, and all that is counted. Cases without a record sent again, and without a late one, prove nothing."""
    met: Counter[str] = Counter()

    @given(case=cases_with_forwards())
    @effort()
    def holds(case: Case) -> None:
        story, driver = told(case), SentOn(case)
        shard = asyncio.run(driver.run(sent_on(case)))
        assert {name: shard.body.counts[name] for name in SENT_ON if shard.body.counts.get(name)} == dict(story.counts)
        assert changes_by(driver) == story.changes
        met.update(story.counts)

    holds()
    assert min(met[kind] for kind in ("forwarded_again", "late")) > 0
