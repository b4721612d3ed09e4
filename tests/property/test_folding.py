"""One customer folded anew by where their records lie: what the whole log comes to, at every position and at every moment."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from streamer.customers.offsets import places
from streamer.customers.state import decode_state
from streamer.customers.tombstone import is_tombstone
from streamer.flow.catalog import Plans
from streamer.flow.folding import ONE_CUSTOMER, FoldRecords, FoldUntil, Settled, ToldLog, fold
from streamer.flow.machine import WHOLE, Limits
from streamer.flow.shard import Shard
from streamer.stores.memory import MemoryStore
from streamer.wire import FORWARD_HEADER, TICK, LogRecord
from tests.property.born_old import Counting, switched_cases
from tests.property.born_old_town import TownLanes, switched_histories
from tests.property.driving import Case, ListLog, log_of, look, never
from tests.property.effort import effort
from tests.property.history import Brought, bring, brought_cases, history_of
from tests.property.history_town import OldTown, lived, old_towns
from tests.property.logs import cases
from tests.property.persons import SHARDS, History, histories
from tests.property.test_born_old_persons import QuietTown
from tests.property.town import EVERYTHING, Town

if TYPE_CHECKING:
    from streamer.flow.rules import Rules


class Picked:
    """A log in memory, with its history. ``asked`` are the offsets that were read of it, ``recalled`` those of its history."""

    def __init__(self, records: Sequence[LogRecord], past: Sequence[LogRecord] = ()) -> None:
        self.records = {record.offset: record for record in records}
        self.past = {record.offset: record for record in past}
        self.asked: list[int] = []
        self.recalled: list[int] = []

    async def pick(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        self.asked += offsets
        return {offset: self.records[offset] for offset in offsets if offset in self.records}

    async def pick_history(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        self.recalled += offsets
        return {offset: self.past[offset] for offset in offsets if offset in self.past}


async def folded(shard: Shard, customer: str, blob: bytes, until: FoldUntil, log: Picked) -> bytes | None:
    """The state of a customer from their records alone."""
    kept, store, told = decode_state(blob).offsets, MemoryStore(), ToldLog()
    assert kept.is_kept, "where the records lie is not kept"
    twin = await shard.beside(store, Settled(shard.amendments), ONE_CUSTOMER, told, told.pause)
    records = FoldRecords.of(kept, shard.control_places())
    await fold(twin, store, customer, records, until, log, shard.amendments, told)
    return (await store.fetch(shard.shard, [customer], until_ms=0, limit=0)).states[0]


def until(shard: Shard) -> FoldUntil:
    return FoldUntil(shard.position.offset, shard.body.log_time_ms)


async def own(store: MemoryStore, rules: Rules, *, number: int = 0, limits: Limits = WHOLE) -> Shard:
    return await Shard.acquire(number, store, Plans(store, rules), rules, limits=limits, keeps_offsets=True, pause=never)


@given(case=cases(), cut=st.integers(1, 14))
@effort(0.3)
def test_each_state_is_that_of_its_own_records(case: Case, cut: int) -> None:
    """Wherever the shard stands: with erasures, other definitions, pauses, late events and second deliveries before it."""

    async def holds() -> None:
        log, store = log_of(case), MemoryStore()
        shard = await own(store, case.rules)
        await shard.process(log[:cut])
        if shard.is_switching:
            return  # some are under the definitions before
        for customer, blob in (await look(store)).states.items():
            assert await folded(shard, customer, blob, until(shard), Picked(log)) == blob, customer

    asyncio.run(holds())


def test_what_a_side_lane_has_joined_is_folded_again_for_one() -> None:
    """By a lane over the same few records."""
    folds = [0]

    @given(case=switched_cases())
    @effort(0.3)
    def holds(case: Case) -> None:
        asyncio.run(_switch_and_fold(case, folds))

    holds()
    assert folds[0] > 10, "hardly a lane was folded"


async def _switch_and_fold(case: Case, folds: list[int]) -> None:
    log, store = log_of(case), MemoryStore()
    lanes = Counting(store, ListLog(log), case.rules, pause=never)
    shard = await Shard.acquire(0, store, Plans(store, case.rules), case.rules, lanes=lanes, keeps_offsets=True, pause=never)
    await shard.process(log)
    folds[0] += lanes.folds
    if shard.is_switching:
        return
    for customer, blob in (await look(store)).states.items():
        assert await folded(shard, customer, blob, until(shard), Picked(log)) == blob, customer


def test_history_is_folded_again_for_one() -> None:
    """Wherever the shard stands, before and behind the publications that brought it; also where it lies there out of the order of time."""
    met: Counter[str] = Counter()

    @given(brought=brought_cases(), cut=st.integers(1, 14), data=st.data())
    @effort(0.5)
    def holds(brought: Brought, cut: int, data: st.DataObject) -> None:
        past = history_of(brought)
        if data.draw(st.integers(0, 3)) == 0:
            past = [record._replace(offset=offset) for offset, record in enumerate(data.draw(st.permutations(past)))]
        first = data.draw(st.integers(0, len(past)))
        log = bring(log_of(brought.case), brought.case, brought.brings, 2, first)
        behind = data.draw(st.integers(brought.brings + 1, len(log) - 1))
        asyncio.run(_bring_and_fold(bring(log, brought.case, behind, 3, len(past)), past, brought.case, cut, met))

    holds()
    assert {"folded", "of history", "only of history", "of later history"} <= set(+met), met


async def _bring_and_fold(log: list[LogRecord], past: list[LogRecord], case: Case, cut: int, met: Counter[str]) -> None:
    store = MemoryStore()
    lanes = Counting(store, ListLog(log, past=past), case.rules, pause=never)
    shard = await Shard.acquire(0, store, Plans(store, case.rules), case.rules, lanes=lanes, keeps_offsets=True, pause=never)
    await shard.process(log[:cut])
    if shard.is_switching:
        return
    for customer, blob in (await look(store)).states.items():
        picked = Picked(log, past)
        assert await folded(shard, customer, blob, until(shard), picked) == blob, customer
        met["folded"] += 1
        met["of history"] += bool(picked.recalled)
        met["only of history"] += bool(picked.recalled) and all(log[offset].control for offset in picked.asked)
        met["of later history"] += bool(picked.recalled) and shard.body.version == 3


@given(case=cases(end_ms=2 * 86_400_000), at_ms=st.integers(0, 2 * 86_400_000))
@effort(0.3)
def test_as_of_a_moment_it_is_what_the_shard_had_then(case: Case, at_ms: int) -> None:
    """A tick at that moment, in a log that ends there, is what is compared with."""

    async def holds() -> None:
        log, store, then = log_of(case), MemoryStore(), MemoryStore()
        now, before = await own(store, case.rules), await own(then, case.rules)
        await now.process([*log, LogRecord(len(log), log[-1].arrival_ms, TICK, control=True)])
        for record in log:
            if max(before.body.log_time_ms, record.arrival_ms) <= at_ms:
                await before.process([record])
        await before.process([LogRecord(len(log), at_ms, TICK, control=True)])
        had = (await look(then)).states
        for customer, blob in (await look(store)).states.items():
            kept = decode_state(blob).offsets
            found = await folded(now, customer, blob, FoldUntil(now.position.offset, at_ms), Picked(log))
            if places(kept)[0].offset > max((place.offset for place in places(kept) if log[place.offset].arrival_ms <= at_ms), default=-1):
                assert found is None, "they came later"
            else:
                assert found == had[customer], customer

    asyncio.run(holds())


def test_ids_that_were_joined_and_erased_are_folded_as_the_shards_have_them() -> None:
    """The past of an old id comes by the record that carried it; of others nothing is read."""
    met: Counter[str] = Counter()

    @given(history=histories())
    @effort(0.3)
    def holds(history: History) -> None:
        asyncio.run(_play_and_fold(history, met))

    holds()
    missing = {"adopt", "another shard's", "folded"} - set(+met)
    assert not missing, met


async def _play_and_fold(history: History, met: Counter[str]) -> None:
    town = Town(history, keeps_offsets=True)
    await town.play()
    for number in range(SHARDS):
        shard, records = town.shards[number], town.log.fetch(number, 0, EVERYTHING)
        for customer, blob in (await look(town.store, number)).states.items():
            if is_tombstone(blob):
                continue
            state = decode_state(blob)
            if not state.offsets.is_kept:
                assert state.lifted is not None, customer
                continue  # the smallest id of a circle of links, who was erased before
            log = Picked(records)
            assert await folded(shard, customer, blob, until(shard), log) == blob, customer
            met["folded"] += 1
            for offset in log.asked:
                headers = [value for name, value in log.records[offset].headers if name == "streamer-forward"]
                met["another shard's"] += bool(headers)
                met["adopt"] += any(b"-adopt-" in value for value in headers)


def test_ids_that_were_joined_before_the_definitions_changed_are_folded_again_for_one() -> None:
    """What the lane of another shard had sent is noted as theirs too."""
    met: Counter[str] = Counter()

    @given(history=switched_histories())
    @effort(0.3)
    def holds(history: History) -> None:
        asyncio.run(_switch_and_fold_persons(history, met))

    holds()
    assert met["a past that a lane sent"] > 0, met


async def _switch_and_fold_persons(history: History, met: Counter[str]) -> None:
    lanes = TownLanes()
    town = lanes.town = QuietTown(history, keeps_offsets=True, lanes=lanes)
    await town.play()
    for number in range(SHARDS):
        shard, records = town.shards[number], town.log.fetch(number, 0, EVERYTHING)
        if shard.is_switching:
            continue
        for customer, blob in (await look(town.store, number)).states.items():
            if is_tombstone(blob) or not decode_state(blob).offsets.is_kept:
                continue
            log = Picked(records)
            assert await folded(shard, customer, blob, until(shard), log) == blob, customer
            met["a past that a lane sent"] += any(b"-side-" in value for at in log.asked for _, value in log.records[at].headers)


def test_people_of_several_ids_whose_history_was_brought_are_folded_again_for_one() -> None:
    """Links in history and in the logs, over shards, before and behind what brought it: of other ids what was sent for them is noted."""
    met: Counter[str] = Counter()

    @given(of=old_towns())
    @effort(0.3)
    def holds(of: OldTown) -> None:
        town, _ = lived(of, keeps_offsets=True)
        asyncio.run(_fold_town(town, met))

    holds()
    assert {"folded", "of history", "another shard's", "a past that a lane sent"} <= set(+met), met


async def _fold_town(town: Town, met: Counter[str]) -> None:
    for number in range(SHARDS):
        shard, records = town.shards[number], town.log.fetch(number, 0, EVERYTHING)
        past = await town.log.history(number, 0, EVERYTHING, EVERYTHING)
        if shard.is_switching:
            continue
        for customer, blob in (await look(town.store, number)).states.items():
            if is_tombstone(blob):
                continue
            assert decode_state(blob).offsets.is_kept, customer
            log = Picked(records, past)
            assert await folded(shard, customer, blob, until(shard), log) == blob, customer
            sent = [value for at in log.asked for name, value in log.records[at].headers if name == FORWARD_HEADER]
            met["folded"] += 1
            met["of history"] += bool(log.recalled)
            met["another shard's"] += bool(sent)
            met["a past that a lane sent"] += any(b"-side-" in value for value in sent)
