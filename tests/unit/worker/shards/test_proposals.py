"""What was published comes into a shard by a record that its owner writes: once, after what lies in its log, and never by force."""

from __future__ import annotations

import asyncio
from time import time
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from streamer.errors import StoreUnavailableError
from streamer.flow import store_session, walk_pace
from streamer.flow.checkpoint import CheckpointBody, encode_body
from streamer.flow.published import Published, definitions_in
from streamer.language.definitions import Definitions, parse_definitions
from streamer.settings import load_settings
from streamer.stores.base import Commit, Position
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import CONTROL
from streamer.wire import EVENTS, LogRecord, decode_control, definitions_control
from streamer.worker.shards import proposals
from streamer.worker.shards.proposals import Proposals, is_far
from streamer.worker.shards.record_turn import TURN_SECONDS, RecordTurn
from streamer.worker.status.lane_status import LaneState, LaneStatus
from streamer.worker.status.readiness import ShardStatus
from streamer.worker.status.shard_notes import ShardNote, leave_note
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_worker import SEEN, Worker
from tests.walk import at_each_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

BUYER = parse_definitions({"segments": {"buyer": {"for": "x", "when": 'did("Order Completed")'}}})
LOYAL = parse_definitions({"segments": {"loyal": {"for": "x", "when": 'count("Order Completed") >= 2'}}})


class Shop:
    """A worker with one shard that has read its log, and the topic of definitions in memory. ``away``: Kafka takes nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.worker = Worker()
        self.published, self.records = Published(), list[bytes]()
        self.away, self.sent, self.refused, self.is_vouched = False, 0, 0, True
        self.meanwhile: Callable[[], None] = lambda: None  # what happens just before the topic is read once more
        monkeypatch.setattr(proposals, "send_control", self._send)
        for name in ("POLL_SECONDS", "PUBLISHER_SECONDS"):
            monkeypatch.setattr(proposals, name, 0.001)
        segmenter = self.worker.segmenter
        segmenter.proposals = self.proposals = Proposals(segmenter.edges, segmenter.shards, cast("Any", self), segmenter.lanes)
        self.publish(SEEN)

    def publish(self, definitions: Definitions, *, shadow: bool = False) -> None:
        raw = definitions_control(definitions.content(), definitions.digest, 1, shadow=shadow)
        self.published.take(LogRecord(len(self.records), 0, raw))
        self.records.append(raw)

    async def refresh(self) -> Published:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return self.published

    async def other_obeys(self, version: int) -> None:
        """Another shard, of nobody here, obeys definitions."""
        store = self.worker.store
        before = await store.acquire(1)
        await store.commit(1, Commit(before, Position(1, 0), b"", encode_body(CheckpointBody(version=version))))

    async def vouched(self, version: int) -> bytes | None:
        found = self.published.at(version)
        return definitions_in(LogRecord(0, 0, self.records[found.offset])) if found is not None and self.is_vouched else None

    async def _send(self, _client: object, _settings: object, raw: bytes, shards: Iterable[int]) -> None:
        if self.away:
            self.refused += 1
            raise KafkaConnectionError
        self.sent += 1
        for shard in shards:
            self.worker.log.append(EVENTS, shard, raw, headers=CONTROL)

    async def look(self, state: LaneState | None = None) -> LaneStatus | None:
        """Look once; then wait until the shard is in a state, where one is awaited."""
        self.proposals.look_after(self.published)
        async with asyncio.timeout(10):
            while state is not None and ((status := self.proposals.status(0)) is None or status.state != state):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        return self.proposals.status(0)

    async def look_until_written(self) -> None:
        """Look again and again, as the worker does, until something is written."""
        async with asyncio.timeout(10):
            while (status := await self.look()) is None or status.state != "written":  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def read(self) -> None:
        """The shard reads its log to the end."""
        shard = self.worker.owned.shard
        assert shard is not None
        records = self.worker.log.fetch(0, shard.position.offset, 1_000)
        await self.worker.segmenter.processing.process(self.worker.owned, shard, records)

    def written(self) -> list[int]:
        records = self.worker.log.records(EVENTS, 0)
        return [decode_control(record.value).version for record in records if record.headers == CONTROL]


@pytest.fixture
async def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Version 1 holds."""
    monkeypatch.setattr(walk_pace, "FIRST", 100)  # no time passes here, in which the rest would come
    found = Shop(monkeypatch)
    await found.worker.own()
    assert await found.look() is None
    return found


async def test_the_owner_of_a_shard_folds_the_past_and_writes_what_was_published_once(shop: Shop) -> None:
    """The record was written by publishing itself, wherever the shard stood; its segments knew nothing of what had happened before."""
    shop.worker.buy("c3")
    await shop.read()
    shop.publish(BUYER)
    for _ in range(3):
        status = await shop.look("written")
        assert status is not None
        assert (status.version, status.folded, status.of) == (2, 22, 22)
    await shop.read()
    assert await shop.look() is None
    assert shop.written() == [1, 2]
    await shop.worker.segmenter.publisher.publish_all()
    entered = {change.subject: change.data.cause.kind for change in shop.worker.log.read_changes() if change.data.segment == "buyer"}
    assert entered == {"c3": "definitions"}


async def test_a_shard_brings_all_its_customers_before_it_comes_to_the_next_definitions(shop: Shop) -> None:
    """There the rest would come at once, be they a million, and the events of all would wait."""
    shop.publish(BUYER)
    await shop.look_until_written()
    with at_each_record(0):
        await shop.read()
        shop.publish(LOYAL)
        async with asyncio.timeout(60):
            while (status := await shop.look()) is None or status.why != proposals.SWITCHING:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert shop.written() == [1, 2]
    shop.worker.buy("c1")
    with at_each_record(100):
        await shop.read()
    await shop.look_until_written()
    assert shop.written() == [1, 2, 3]


async def test_other_lanes_are_waited_for_behind_what_may_take_minutes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that was near when this shard's customers began to come may stand by now, and would hold this shard up at its record."""

    async def other_is(version: int, state: LaneState) -> None:
        lane = LaneStatus(version, state)
        note = ShardNote(int(time() * 1_000), "w", ShardStatus(1, ShardState.OWNED, 0.0, lane=lane), "", 0.0)
        await leave_note(shop.worker.store, note)

    looks = 0

    async def counted(*about: Any) -> bool:
        nonlocal looks
        looks += 1
        return await is_far(*about)

    monkeypatch.setattr(proposals, "is_far", counted)
    monkeypatch.setattr(shop.proposals, "_settings", load_settings(shards=2))
    await other_is(2, "ready")
    shop.publish(BUYER)
    await shop.look_until_written()
    with at_each_record(0):
        await shop.read()
        await other_is(3, "ready")
        shop.publish(LOYAL)
        async with asyncio.timeout(60):
            while (status := await shop.look()) is None or status.why != proposals.SWITCHING:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    await other_is(3, "stands")
    shop.worker.buy("c1")
    looks = 0
    with at_each_record(100):
        await shop.read()
    async with asyncio.timeout(60):
        while looks < 3 and len(shop.written()) == 2:
            await shop.look()
            await asyncio.sleep(0.001)
    assert shop.written() == [1, 2]
    assert looks >= 3
    status = await shop.look()
    assert status is not None
    assert (status.state, status.why) == ("ready", ""), "it says that it waits for other shards"
    await other_is(3, "ready")
    await shop.look_until_written()
    assert shop.written() == [1, 2, 3]


async def test_a_shard_has_its_turn_from_its_record_on_however_long_it_took_to_get_there(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane comes to the end after the turn is taken, and the next shard would come to its record in the same moment."""
    at, other = [0.0], cast("Any", object())
    turn = RecordTurn(lambda: at[0])
    monkeypatch.setattr(shop.proposals, "_turn", turn)

    def time_passes() -> None:
        assert not turn.is_free_for(other)
        at[0] += TURN_SECONDS
        assert turn.is_free_for(other)

    shop.meanwhile = time_passes
    shop.publish(BUYER)
    await shop.look_until_written()
    assert at[0] == TURN_SECONDS
    assert not turn.is_free_for(other)


async def test_what_has_nothing_new_is_written_without_a_lane(shop: Shop) -> None:
    """A purpose that reads better is no reason to read the log."""
    shop.publish(parse_definitions({"segments": {"seen": {"for": "looked", "when": 'did("Product Viewed")'}}}))
    status = await shop.look("written")
    assert status is not None
    assert status.of == 0


async def test_a_shard_reads_its_log_before_anything_is_written_for_it(shop: Shop) -> None:
    """What was published may lie there already, as after a store came back empty."""
    shop.worker.buy("c3")
    shop.publish(BUYER)
    await shop.look("reads")
    await asyncio.sleep(0.01)
    assert (shop.proposals.status(0), shop.written()) == (LaneStatus(2, "reads"), [1])
    await shop.read()
    await shop.look("written")
    assert shop.written() == [1, 2]


async def test_what_is_published_meanwhile_overtakes_what_was_not_written_yet(shop: Shop) -> None:
    """Two switches, one after the other, would let everybody enter and leave what never held for long."""
    shop.worker.buy("c3")
    shop.publish(BUYER)
    await shop.look("reads")
    shop.publish(LOYAL)
    await shop.look("reads")
    await shop.read()
    await shop.look("written")
    assert shop.written() == [1, 3]


async def test_what_is_written_runs_its_course_though_it_is_overtaken(shop: Shop) -> None:
    """The shard comes to that record first, and would have to fold its whole past on the spot had its lane been dropped."""
    shop.publish(BUYER)
    await shop.look("written")
    shop.publish(LOYAL)
    for _ in range(3):
        status = await shop.look()
        assert status is not None
        assert (status.version, status.state) == (2, "written")
    await shop.read()
    await shop.look("written")
    await shop.read()
    assert shop.written() == [1, 2, 3]


async def test_a_shadow_is_folded_and_written_into_no_shard_before_it_is_cut_over_to(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there to be compared; at the cut-over nothing is left to fold."""
    monkeypatch.setattr(proposals, "SHADOW_SECONDS", 0.0)
    shop.worker.buy("c3")
    await shop.read()
    shop.publish(BUYER, shadow=True)
    status = await shop.look("shadow")
    assert status is not None
    assert (status.folded, shop.written()) == (22, [1])
    shop.publish(BUYER)
    await shop.look("written")
    assert shop.written() == [1, 2]


async def test_a_shadow_that_is_given_up_leaves_nothing_behind(shop: Shop) -> None:
    """Its lane is as large as what was new in it."""
    shop.worker.buy("c3")
    await shop.read()
    shop.publish(BUYER, shadow=True)
    await shop.look("shadow")
    [name] = await shop.worker.store.lanes(0)
    assert name == f"2-{BUYER.digest}-{SEEN.digest}"
    shop.publish(SEEN)
    await shop.look("written")
    for _ in range(5):
        await asyncio.sleep(0)
    assert await shop.worker.store.lanes(0) == []


async def test_lanes_that_an_owner_left_who_is_gone_are_dropped(shop: Shop) -> None:
    """Its worker was killed on the way to a version that was overtaken meanwhile: nobody else would ever ask for that lane again."""
    shop.worker.buy("c3")
    await shop.read()
    left = shop.worker.store.lane("7-abc-def")
    await left.acquire(0)
    segmenter = shop.worker.segmenter
    next_owner = Proposals(segmenter.edges, segmenter.shards, cast("Any", shop), segmenter.lanes)
    next_owner.look_after(shop.published)
    for _ in range(5):
        await asyncio.sleep(0)
    assert await shop.worker.store.lanes(0) == []


async def test_a_lane_from_other_definitions_is_not_taken_for_the_same(shop: Shop) -> None:
    """What a lane folds is the difference of two definitions, and it keeps that by number."""
    shop.worker.buy("c3")
    await shop.read()
    other = shop.worker.store.lane(f"2-{BUYER.digest}-{LOYAL.digest}")
    await other.acquire(0)
    shop.publish(BUYER)
    await shop.look("written")
    assert await shop.worker.store.lanes(0) == [f"2-{BUYER.digest}-{SEEN.digest}"]


async def test_what_is_overtaken_before_any_shard_has_begun_is_not_written(shop: Shop) -> None:
    """Also at the last moment: the topic is read once more before the record is written."""
    shop.worker.buy("c3")
    await shop.read()
    shop.publish(BUYER)
    shop.meanwhile = lambda: shop.publish(LOYAL)
    await shop.look_until_written()
    assert shop.written() == [1, 3]


async def test_what_another_shard_has_begun_to_obey_is_not_left_out(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for what this shard's lane has to send, and would for ever."""
    shop.worker.buy("c3")
    await shop.read()
    monkeypatch.setattr(shop.proposals, "_settings", load_settings(shards=2))
    await shop.other_obeys(2)
    shop.publish(BUYER)
    shop.meanwhile = lambda: shop.publish(LOYAL)
    await shop.look_until_written()
    assert shop.written() == [1, 2]


async def test_a_store_that_is_full_holds_up_the_lane_and_not_the_shard(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a lane writes is new, and may be what does not fit any more; it goes on where it stood once there is room."""
    monkeypatch.setattr(proposals, "AGAIN_SECONDS", (0.0,))
    monkeypatch.setattr(store_session, "RETRY_SECONDS", 0.0)
    commit, is_full, refused = MemoryStore.commit, True, 0

    async def commit_if_there_is_room(self: MemoryStore, shard: int, wanted: Commit) -> None:
        nonlocal refused
        if is_full and self is not shop.worker.store:
            refused += 1
            raise StoreUnavailableError("OOM command not allowed when used memory > 'maxmemory'")
        await commit(self, shard, wanted)

    monkeypatch.setattr(MemoryStore, "commit", commit_if_there_is_room)
    shop.worker.buy("c3")
    await shop.read()
    shop.publish(BUYER)
    status = await shop.look("stands")
    assert status is not None
    assert "OOM" in status.why
    assert refused
    shard = shop.worker.owned.shard
    assert shard is not None
    before = shard.body.counts["accepted"]
    shop.worker.buy("c4")
    await shop.read()
    assert shard.body.counts["accepted"] == before + 1
    assert shop.worker.segmenter.problems() == []
    is_full = False
    await shop.look_until_written()
    assert shop.written() == [1, 2]


async def test_a_kafka_that_is_away_is_said_and_asked_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shard itself goes on."""
    monkeypatch.setattr(proposals, "AGAIN_SECONDS", (0.0,))
    shop.away = True
    shop.publish(BUYER)
    status = await shop.look("stands")
    assert status is not None
    assert "KafkaConnectionError" in status.why
    assert shop.worker.segmenter.problems() == []
    shop.away = False
    await shop.look("written")
    assert shop.written() == [1, 2]


async def test_errors_that_lie_apart_are_not_waited_for_ever_longer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that has come to the end in between is well: a shadow lives for weeks, and has an error now and then."""
    monkeypatch.setattr(proposals, "AGAIN_SECONDS", (0.0, 3_600.0))
    shop.worker.buy("c3")
    await shop.read()
    shop.away = True
    shop.publish(BUYER)
    async with asyncio.timeout(60):
        while shop.refused < 3:
            await shop.look()
            await asyncio.sleep(0.001)
    shop.away = False
    await shop.look_until_written()
    assert shop.written() == [1, 2]


async def test_a_fault_of_our_own_holds_up_the_publication_and_not_the_shard(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text may quote a customer's data, so only the place is said."""

    async def fails(_version: int) -> bytes:
        raise ZeroDivisionError("anna@example.org")

    monkeypatch.setattr(shop, "vouched", fails)
    shop.publish(BUYER)
    status = await shop.look("stands")
    assert status is not None
    assert status.why.startswith("unexpected ZeroDivisionError in ")
    assert "anna" not in status.why
    assert shop.worker.segmenter.problems() == []
    await asyncio.sleep(0)
    assert any(b"publication_fault" in raw for raw in shop.worker.published)


async def test_what_is_not_signed_by_a_key_of_this_worker_is_not_written_in_its_name(shop: Shop) -> None:
    """Whoever may write into the topic of definitions must not get a worker to sign for them."""
    shop.is_vouched = False
    shop.publish(BUYER)
    status = await shop.look("stands")
    assert status is not None
    assert shop.written() == [1]
    assert "not signed by a key" in status.why


async def test_whoever_lost_the_shard_writes_nothing_more_for_it(shop: Shop) -> None:
    """The new owner does it, once it has read the log."""
    shop.worker.buy("c3")
    shop.publish(BUYER)
    await shop.look("reads")
    shop.worker.owned.is_ours = False
    assert await shop.look() is None
    await shop.read()
    await asyncio.sleep(0.01)
    assert shop.written() == [1]


async def test_a_shard_waits_for_lanes_of_others_that_are_on_their_way_and_for_nobody_else() -> None:
    """What they have yet to send would hold it up where it comes to the record; a worker that is gone would hold it up for ever."""
    store, now_ms = MemoryStore(), int(time() * 1_000)

    async def far(state: ShardState, lane: LaneStatus | None, at_ms: int = now_ms) -> bool:
        await leave_note(store, ShardNote(at_ms, "w", ShardStatus(1, state, 0.0, lane=lane), "", 0.0))
        return await is_far(store, 1, 2, None)

    assert not await is_far(store, 1, 2, None), "nobody ever had it"
    assert await is_far(store, 1, 2, LaneStatus(2, "folds"))
    assert await far(ShardState.OWNED, None), "its worker has yet to notice"
    assert await far(ShardState.OWNED, LaneStatus(2, "reads"))
    assert not await far(ShardState.OWNED, LaneStatus(2, "ready"))
    assert await far(ShardState.OWNED, LaneStatus(2, "stands")), "it goes on to link ids, whose past its lane would never send"
    assert not await far(ShardState.HALTED, None)
    assert not await far(ShardState.OWNED, None, now_ms - 60_000)
    before = await store.acquire(1)
    await store.commit(1, Commit(before, Position(1, 0), b"", encode_body(CheckpointBody(version=2))))
    assert not await far(ShardState.OWNED, None), "it obeys already"
