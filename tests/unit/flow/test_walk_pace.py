"""How many customers a change of definitions brings at a record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow import walk_pace
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import Switch
from streamer.flow.driver import SPARE
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.segments.change import decode_change
from streamer.stores.base import Commit
from streamer.stores.memory import MemoryStore
from streamer.wire import TICK, LogRecord, definitions_control
from tests.property.driving import never

NOW_MS = 1_790_000_000_000
CUSTOMERS = 600
EVENTS = 400


class Counting(MemoryStore):
    """Counts the states that each commit writes."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[int] = []

    async def commit(self, shard: int, commit: Commit) -> None:
        self.written.append(len(commit.states))
        await super().commit(shard, commit)


def _definitions(text: str, version: int) -> bytes:
    found = parse_definitions({"segments": {"seen": {"for": "a test", "when": text}}})
    return definitions_control(found.content(), found.digest, version)


def _seen(number: int) -> bytes:
    return encode(Event(event="A", message_id=f"m{number}", user_id=f"c{number}", timestamp_ms=NOW_MS))


def _log(gap_ms: int) -> list[LogRecord]:
    """Everybody is seen; then other definitions under which all leave, and a record each ``gap_ms``."""
    bodies = [_definitions('count("A") >= 1', 1), *(_seen(number) for number in range(CUSTOMERS))]
    records = [LogRecord(at, NOW_MS, body, control=at == 0) for at, body in enumerate(bodies)]
    records.append(LogRecord(len(records), NOW_MS, _definitions('count("A") >= 2', 2), control=True))
    return records + [LogRecord(len(records) + at, NOW_MS + gap_ms * (at + 1), TICK, control=True) for at in range(EVENTS)]


def _switched_at(log: Sequence[LogRecord], limits: Limits = Limits(), batch: int = 1_000) -> tuple[list[int], Counting]:  # noqa: B008
    """The offsets at which customers came under the later definitions, and the store."""
    store = Counting()

    async def run() -> list[int]:
        rules = Rules(shards=1)
        shard = await Shard.acquire(0, store, Plans(store, rules), rules, limits=limits, pause=never)
        said: list[int] = []
        for begin in range(0, len(log), batch):
            for _, outputs in await shard.process(log[begin : begin + batch]):
                changes = [decode_change(output.value) for output in outputs]
                said += [one.data.position.offset for one in changes if one.data.cause.kind == "definitions"]
        return said

    return asyncio.run(run()), store


@pytest.mark.parametrize("gap_ms", [1, 20], ids=["a_thousand_records_a_second", "fifty_a_second"])
def test_how_many_come_in_a_second_depends_on_time_and_hardly_on_records(gap_ms: int) -> None:
    """A busy shop's events do not wait for a hundred customers each: the work of a second has a bound."""
    log = _log(gap_ms)
    begin, passed_ms = CUSTOMERS + 1, gap_ms * EVENTS
    said, _ = _switched_at(log)
    expected = walk_pace.FIRST + passed_ms * walk_pace.A_SECOND // 1_000 + EVENTS // walk_pace.RECORDS_EACH
    assert len(said) == min(CUSTOMERS, expected)
    assert said.count(begin) == walk_pace.FIRST
    at_one = max(said.count(offset) for offset in set(said) - {begin})
    assert at_one <= 1 + 1 + gap_ms * walk_pace.A_SECOND // 1_000


@pytest.mark.parametrize(("limits", "batch"), [(Limits(), 7), (Limits(states=3), 1_000), (Limits(records=1), 50)])
def test_at_which_record_somebody_comes_is_the_same_however_the_log_is_cut(limits: Limits, batch: int) -> None:
    """The position is part of what is said."""
    log = _log(3)
    assert _switched_at(log, limits, batch)[0] == _switched_at(log)[0]


def test_records_of_one_fetch_share_commits_though_customers_come_at_each() -> None:
    """Each commit has its price in round trips: one for each record made events wait for all of them. And none has very many."""
    log = _log(1)
    _, before = _switched_at(log[: CUSTOMERS + 2], batch=CUSTOMERS + 2)
    _, store = _switched_at(log, batch=CUSTOMERS + 2)
    behind = store.written[len(before.written) :]
    assert sum(behind) >= EVENTS * walk_pace.A_SECOND // 1_000, "customers came"
    assert len(behind) <= EVENTS // 50
    assert max(behind) <= walk_pace.A_RECORD_MAX * 1.5 + SPARE


def test_where_log_time_jumps_what_is_due_at_one_record_is_bounded() -> None:
    """A shard that nobody owned for a night does not make up for it: the rest comes as time passes."""
    switch = Switch(10, NOW_MS)
    walk_pace.begin(switch, 10, NOW_MS)
    night_ms = NOW_MS + 8 * 3_600_000
    assert walk_pace.allowed_at(switch, 11, night_ms) == walk_pace.A_RECORD_MAX
    walk_pace.begin(switch, 11, night_ms)
    assert walk_pace.allowed_at(switch, 11, night_ms + 1_000) == walk_pace.A_RECORD_MAX, "of a record in hand it stays what it was"
    assert walk_pace.allowed_at(switch, 12, night_ms + 4) <= 2


def test_where_no_record_moves_log_time_everybody_comes_all_the_same() -> None:
    """Records with their producers' time move none; definitions must not stay half obeyed for ever."""
    switch = Switch(10, NOW_MS)
    walk_pace.begin(switch, 10, NOW_MS)
    assert sum(_taken(switch, offset) for offset in range(11, 11 + 10 * walk_pace.RECORDS_EACH)) == 10


def _taken(switch: Switch, offset: int) -> int:
    found = walk_pace.allowed_at(switch, offset, NOW_MS)
    if found:
        walk_pace.begin(switch, offset, NOW_MS)
    return found
