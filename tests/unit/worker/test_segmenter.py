"""The worker's loop hands on what its shards say, and lets none of them take the others with it."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from time import monotonic, time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError, OutOfOrderSequenceNumber

from streamer.errors import HaltError
from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.relay import ENTRIES_AT_ONCE, Place, Relay
from streamer.flow.shard import Plans, Shard
from streamer.flow.step import Step
from streamer.language.definitions import load_definitions
from streamer.segments.change import decode_change
from streamer.settings import load_settings
from streamer.signing import Trust
from streamer.stores.memory import MemoryStore
from streamer.telemetry.metrics import Metrics
from streamer.wire import TICK, LogRecord, Output, definitions_control
from streamer.worker.segmenter import Segmenter
from streamer.worker.shards.owned_shard import OwnedShard
from streamer.worker.status.alerts import Alerts
from streamer.worker.status.shard_notes import ShardNote, read_note
from streamer.worker.status.shard_state import ShardState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from streamer.flow.relay import Sink

DEFINITIONS = """
segments:
  seen: {for: Was seen., when: did("Product Viewed")}
"""


class Kept:
    """A sink that keeps what it is sent."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []

    async def tail(self, topic: str, shard: int) -> Place | None:
        return None

    async def send(self, outputs: Sequence[Output]) -> None:
        self.outputs += outputs


class RefusingFor(Kept):
    """One that refuses, for as long as it has an error to refuse with."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error

    async def send(self, outputs: Sequence[Output]) -> None:
        if self.error is not None:
            raise self.error
        await super().send(outputs)


def _alerts(metrics: Metrics) -> Alerts:
    """Alerts that only the log and the count have."""

    async def publish(_raw: bytes) -> None: ...

    return Alerts(publish, metrics, "/shop")


async def test_what_a_batch_says_goes_to_the_broker_and_not_only_into_the_outbox(tmp_path: Path) -> None:
    """A change that waits for the next owner of the shard comes an hour too late, and nothing else shows that it waits."""
    (tmp_path / "segments.yaml").write_text(DEFINITIONS)
    definitions = load_definitions(tmp_path)
    settings, store, sink, metrics = load_settings(shards=1), MemoryStore(), Kept(), Metrics()
    segmenter = Segmenter(settings, store, cast("Any", None), sink, metrics, _alerts(metrics))
    shard = await Shard.acquire(0, store, Plans(store, settings.rules), settings.rules, pause=asyncio.sleep)
    partition = TopicPartition(settings.topic("events"), 0)
    segmenter.shards[partition] = OwnedShard(partition, state=ShardState.OWNED, shard=shard, relay=Relay(0, store, sink))
    event = encode(Event(event="Product Viewed", message_id="m", user_id="mila", timestamp_ms=1_000))
    switch = definitions_control(definitions.content(), definitions.digest, 1)

    await segmenter.processing.process(
        segmenter.shards[partition], shard, [LogRecord(0, 1_000, switch, control=True), LogRecord(1, 1_000, event)]
    )
    await segmenter.publisher.publish_all()

    assert [decode_change(output.value).data.segment for output in sink.outputs] == ["seen"]
    in_force = {"shard": "0", "version": "1", "digest": definitions.digest}
    assert metrics.registry.get_sample_value("segmenter_definitions_info", in_force) == 1
    assert await store.outbox(0, after=None, limit=10) == []


def _owning(store: MemoryStore, sink: Sink | None = None) -> tuple[Segmenter, OwnedShard]:
    """A segmenter with one shard dealt to it, of which it has not acquired anything yet."""
    settings = load_settings(shards=1)
    metrics = Metrics()
    segmenter = Segmenter(settings, store, cast("Any", None), sink or Kept(), metrics, _alerts(metrics))
    partition = TopicPartition(settings.topic("events"), 0)
    owned = segmenter.shards[partition] = OwnedShard(partition)
    return segmenter, owned


async def _acquired(segmenter: Segmenter, owned: OwnedShard, store: MemoryStore, sink: Sink | None = None) -> Shard:
    rules = segmenter.settings.rules
    owned.shard = await Shard.acquire(0, store, Plans(store, rules), rules, pause=asyncio.sleep)
    owned.state, owned.relay = ShardState.OWNED, Relay(0, store, sink or Kept())
    return owned.shard


def _value(segmenter: Segmenter, name: str, **labels: str) -> float | None:
    return segmenter.metrics.registry.get_sample_value(name, labels)


async def test_a_record_that_breaks_our_code_is_told_and_stops_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has the place of the error, people have an alert, the topic of dead letters has the record, and nobody has the id."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    shard = await _acquired(segmenter, owned, store)
    sound = Step.apply_event

    def breaks(self: Step, event: Event, record: LogRecord) -> None:
        if event.customer == "mila@example.com":
            raise KeyError(event.customer)
        sound(self, event, record)

    monkeypatch.setattr(Step, "apply_event", breaks)
    events = [
        encode(Event(event="Product Viewed", message_id="m", user_id=customer, timestamp_ms=1_000))
        for customer in ("mila@example.com", "bo")
    ]
    await segmenter.processing.process(owned, shard, [LogRecord(at, 1_000, event) for at, event in enumerate(events)])

    assert owned.state == ShardState.OWNED
    assert shard.step.body.counts == {"fault": 1, "accepted": 1}
    assert _value(segmenter, "segmenter_faults_total", what="fault") == 1
    assert _value(segmenter, "streamer_alerts_total", kind="fault") == 1
    assert _value(segmenter, "segmenter_events_refused_total", reason="fault") == 1
    said = capsys.readouterr()
    assert "flow/shard.py" in said.out
    assert "mila@example.com" not in said.out + said.err


async def test_an_error_that_is_no_records_halts_its_shard_and_not_the_worker(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that ends the worker goes on to the next one that gets the shard, until none is left."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    shard = await _acquired(segmenter, owned, store)

    def breaks(*_: object) -> None:
        raise RecursionError("mila@example.com")

    monkeypatch.setattr(Step, "apply_event", breaks)
    event = encode(Event(event="Product Viewed", message_id="m", user_id="mila@example.com", timestamp_ms=1_000))
    await segmenter.processing.process(owned, shard, [LogRecord(0, 1_000, event)])
    assert owned.state == ShardState.WAITING  # it may have been chance

    again = await _acquired(segmenter, owned, store)
    await segmenter.processing.process(owned, again, [LogRecord(0, 1_000, event)])

    assert owned.state == ShardState.HALTED
    assert "RecursionError in flow/shard.py" in owned.why
    assert _value(segmenter, "segmenter_shard_state", shard="0", state="halted") == 1
    said = capsys.readouterr()
    assert "shard halted" in said.out
    assert "mila@example.com" not in said.out + said.err + "".join(segmenter.report.readiness().problems)


async def test_what_was_fetched_before_a_shard_was_acquired_anew_is_not_processed() -> None:
    """A store that came back older moves the position back; the batch in hand would skip the records between."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    before = await _acquired(segmenter, owned, store)
    now = await _acquired(segmenter, owned, store)  # at position 0

    await segmenter.processing.process(owned, before, [LogRecord(7, 1_000, TICK, control=True)])
    assert (owned.state, now.position.offset) == (ShardState.OWNED, 0)

    await segmenter.processing.process(owned, now, [LogRecord(7, 1_000, TICK, control=True)])
    assert (owned.state, now.position.offset) == (ShardState.OWNED, 8)  # the same, fetched for this very shard, comes after markers


async def test_records_below_the_position_are_not_dropped_in_silence() -> None:
    """No reader of this log can get them again: whoever brings them reads another log."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    shard = await _acquired(segmenter, owned, store)
    await segmenter.processing.process(owned, shard, [LogRecord(7, 1_000, TICK, control=True)])

    await segmenter.processing.process(owned, shard, [LogRecord(3, 1_000, TICK, control=True)])

    assert owned.state == ShardState.HALTED
    assert owned.why == "shard 0: expected an offset of at least 8, found 3; it is another log than it was"


async def test_a_shard_that_was_revoked_before_its_turn_is_not_acquired() -> None:
    """To acquire it all the same would fence its new owner."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    segmenter.consumer.client = cast("Any", SimpleNamespace(assignment=set[TopicPartition]))
    async with owned.lock:
        task = segmenter.background.spawn(segmenter.ownership.own(owned))
        await asyncio.sleep(0)
        revoked = asyncio.create_task(segmenter.ownership.revoked([owned.partition]))
        await asyncio.sleep(0)
        assert not owned.is_ours
    await asyncio.gather(task, revoked)

    assert (await store.checkpoint(0)).epoch == 0
    assert owned.state is ShardState.RELEASED


async def test_a_revoked_shard_shows_no_state_any_more() -> None:
    """Its gauge would say ``waiting`` for ever, beside the new owner's ``owned``."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    owned.is_ours = False

    segmenter.stopper.wait(owned, "the store is away", 1)

    assert _value(segmenter, "segmenter_shard_state", shard="0", state="waiting") is None


class Halting(Kept):
    """A sink that cannot take what it is sent."""

    async def send(self, outputs: Sequence[Output]) -> None:
        raise HaltError("an output of 2000000 bytes does not fit")


async def test_an_output_that_no_broker_takes_halts_its_shard_and_not_the_worker() -> None:
    """The relay finds it; its loop must go on for the other shards."""
    store, sink = MemoryStore(), Halting()
    segmenter, owned = _owning(store, sink)
    await _acquired(segmenter, owned, store, sink)
    assert owned.relay is not None
    owned.relay.add([(Place(0, 0), [Output("segment-changes", 0, 0, 0, b"k", b"v")])])

    await segmenter.publisher.publish_all()

    assert (owned.state, owned.why) == (ShardState.HALTED, "an output of 2000000 bytes does not fit")


async def test_latency_is_measured_although_the_outbox_is_never_empty() -> None:
    """Under steady load it never is, and what waits to be measured would pile up."""
    store, sink = MemoryStore(), Kept()
    segmenter, owned = _owning(store, sink)
    await _acquired(segmenter, owned, store, sink)
    assert owned.relay is not None
    for offset in range(ENTRIES_AT_ONCE + 1):
        owned.relay.add([(Place(offset, 0), [Output("segment-changes", 0, offset, 0, b"k", b"v")])])
        owned.publishing.arrivals.append((offset, 1_000))

    assert await owned.relay.turn()
    segmenter.publisher.observe_latency(owned)

    assert owned.relay.backlog == 1
    assert list(owned.publishing.arrivals) == [(ENTRIES_AT_ONCE, 1_000)]
    assert _value(segmenter, "segmenter_change_latency_seconds_count") == ENTRIES_AT_ONCE


async def test_a_shard_that_stands_still_falls_behind_for_all_to_see() -> None:
    """A gauge that is only set when records are processed shows the last good figure for as long as none are."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    owned.log_time_ms = 1_000
    segmenter.stopper.halt(owned, "a hole in the log")

    segmenter.report.show_now()

    assert (_value(segmenter, "segmenter_lag_seconds", shard="0") or 0) > 1_000_000
    assert _value(segmenter, "segmenter_shard_works", shard="0") == 0


async def test_a_busy_shard_does_not_hold_up_the_others_at_a_rebalance() -> None:
    """The group waits for all of them, and without heartbeats it waits only for so long."""
    store = MemoryStore()
    segmenter, busy = _owning(store)
    partition = TopicPartition(busy.partition.topic, 1)
    other = segmenter.shards[partition] = OwnedShard(partition)
    async with busy.lock:
        revoked = asyncio.create_task(segmenter.ownership.revoked([busy.partition, partition]))
        for _ in range(10):
            await asyncio.sleep(0)
        assert other.state == ShardState.RELEASED
        assert busy.state != ShardState.RELEASED
        assert segmenter.shards == {}
    await revoked
    assert busy.state == ShardState.RELEASED


async def test_many_refused_records_are_an_alert_and_no_halt(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever can send 51 bad lines must not be able to stop a shard; somebody should look all the same, and at what is named."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    shard = await _acquired(segmenter, owned, store)
    bad = b'{"userId": "mila", "context": {"library": {"name": "analytics-php", "version": "3.8"}}}'

    await segmenter.processing.process(owned, shard, [LogRecord(offset, 1_000, bad) for offset in range(51)])

    assert owned.state == ShardState.OWNED
    assert shard.position.offset == 51
    assert owned.relay is not None
    assert owned.relay.backlog == 51  # on their way to the topic of dead letters
    assert _value(segmenter, "segmenter_refused_ratio", shard="0") == 0.051
    assert _value(segmenter, "streamer_alerts_total", kind="refused_records") == 1
    said = capsys.readouterr().out
    assert "missing_message_id at $.messageId, from analytics-php 3.8" in said
    assert "mila" not in said


async def test_a_shard_leaves_a_note_at_once_when_its_state_changes() -> None:
    """`streamer doctor` looks at the store, not at workers: it said "ok" beside halted shards."""
    store = MemoryStore()
    segmenter, owned = _owning(store)

    async def leaves() -> ShardNote | None:
        await segmenter.notes.note_all()
        return await read_note(store, 0)

    await _acquired(segmenter, owned, store)
    first = await leaves()
    assert first is not None
    assert (first.status.state, first.status.problem, first.is_stale(first.at_ms)) == (ShardState.OWNED, "", False)
    assert await leaves() == first, "nothing new: not written again within ten seconds"

    segmenter.stopper.halt(owned, "a hole in the log")
    now = await leaves()
    assert now is not None
    assert now.status.state == ShardState.HALTED
    assert "a hole in the log" in now.status.problem
    assert now.is_stale(now.at_ms + 31_000)


async def test_a_worker_that_ends_takes_its_notes_back() -> None:
    """For half a minute `streamer shards` called a shard owned whose worker had been stopped."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    await _acquired(segmenter, owned, store)
    await segmenter.notes.note_all()
    await segmenter.give_up_shards()
    note = await read_note(store, 0)
    assert note is not None
    assert (note.status.state, "its worker was stopped" in note.status.problem) == (ShardState.RELEASED, True)

    segmenter, owned = _owning(store)
    segmenter.stopper.halt(owned, "a hole in the log")
    await segmenter.give_up_shards()
    note = await read_note(store, 0)
    assert note is not None
    assert note.status.state == ShardState.HALTED


def test_a_shard_that_is_let_go_each_second_is_told_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis away for a night would fill the log; another reason is said at once."""
    segmenter, owned = _owning(MemoryStore())
    now = [1_000.0]
    monkeypatch.setattr("streamer.worker.shards.owned_shard.monotonic", lambda: now[0])
    for _ in range(150):
        segmenter.stopper.wait(owned, "Redis is away", 1)
        now[0] += 1
    segmenter.stopper.wait(owned, "fenced", 1)
    said = [line for line in capsys.readouterr().out.splitlines() if "shard let go" in line]
    assert [("Redis is away" in line, "fenced" in line) for line in said] == [(True, False)] * 3 + [(False, True)]


async def test_a_transaction_that_holds_the_log_of_an_owned_shard_is_in_its_note() -> None:
    """`streamer shards` shows what the note says."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    await _acquired(segmenter, owned, store)
    owned.held.see(20, 7, monotonic() - 60)
    await segmenter.notes.note_all()
    note = await read_note(store, 0)
    assert note is not None
    assert note.status.problem.startswith("an open transaction holds the log at offset 7 for 60 s")


async def test_a_record_that_the_brokers_clock_put_into_the_future_is_waited_for_and_then_read() -> None:
    """Without it everybody's events would be late for three days, ready and silent; what lies before it is read."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    sought: list[int] = []
    segmenter.consumer.client = cast("Any", SimpleNamespace(seek=lambda _, offset: sought.append(offset), highwater=lambda _: None))
    shard = await _acquired(segmenter, owned, store)
    now_ms, owned.clock.broker_ahead_ms = int(time() * 1_000), 0
    wild = LogRecord(1, now_ms + 3 * 86_400_000, TICK, control=True)

    await segmenter.processing.process(owned, shard, [LogRecord(0, now_ms, TICK, control=True), wild])
    assert (owned.state, shard.position.offset, sought) == (ShardState.OWNED, 1, [1])
    assert "record at offset 1 arrived" in segmenter.report.statuses()[0].problem
    assert owned.clock.until > monotonic()

    await segmenter.processing.process(owned, shard, [wild._replace(arrival_ms=now_ms + 1)])  # as an amendment bounds it
    assert (shard.position.offset, segmenter.report.statuses()[0].problem) == (2, "")


class Refusing(Kept):
    """A sink whose broker takes nothing."""

    async def send(self, outputs: Sequence[Output]) -> None:
        raise KafkaTimeoutError


async def test_people_hear_that_redis_has_lost_what_was_committed(capsys: pytest.CaptureFixture[str]) -> None:
    """Emptied under a running worker, all was told anew, and the only word about it was that an epoch was another."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    shard = await _acquired(segmenter, owned, store)
    shard._store = MemoryStore()
    await segmenter.guard.run(owned, shard.probe)
    assert owned.state == ShardState.WAITING
    assert "the store is empty" in owned.why
    assert _value(segmenter, "streamer_alerts_total", kind="store_older") == 1
    assert "is told again from the log" in capsys.readouterr().out


async def test_a_worker_whose_key_holds_no_more_is_not_ready() -> None:
    """What it signs is refused by every shard: no model would ever serve, and nobody would know why."""
    store = MemoryStore()
    segmenter, owned = _owning(store)
    shard = await _acquired(segmenter, owned, store)
    assert not any("signs" in problem for problem in segmenter.problems())
    shard.step.body.trust = Trust({"2026-11": "0" * 16})
    assert "shard 0 refuses what this worker signs: the log obeys only what is signed with '2026-11'" in "\n".join(segmenter.problems())


async def test_outputs_that_the_broker_does_not_take_are_told_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried five times a second, and a line each time hides what else is said."""
    monkeypatch.setattr("streamer.worker.shards.publisher.RELAY_AGAIN_SECONDS", 0)
    store, sink = MemoryStore(), Refusing()
    segmenter, owned = _owning(store, sink)
    await _acquired(segmenter, owned, store, sink)
    assert owned.relay is not None
    owned.relay.add([(Place(0, 0), [Output("segment-changes", 0, 0, 0, b"k", b"v")])])
    for _ in range(3):
        await segmenter.publisher.publish_all()
    assert owned.relay.backlog == 1
    assert capsys.readouterr().out.count("outputs not published yet") == 1


async def test_a_broker_that_takes_no_outputs_is_a_problem_of_the_shard_after_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox holds ten thousand: until it is full such a shard was ready. For a moment a partition may have no leader."""
    monkeypatch.setattr("streamer.worker.shards.publisher.RELAY_AGAIN_SECONDS", 0.0)
    store, sink = MemoryStore(), RefusingFor(KafkaTimeoutError())
    segmenter, owned = _owning(store, sink)
    await _acquired(segmenter, owned, store, sink)
    assert owned.relay is not None
    owned.relay.add([(Place(0, 0), [Output("segment-changes", 0, 0, 0, b"mila", b"{}")])])

    await segmenter.publisher.publish(owned)
    assert owned.publishing.refused is not None
    assert owned.publishing.why(monotonic(), 1) == ""
    owned.publishing.refused = (owned.publishing.refused[0] - 12, owned.publishing.refused[1])
    assert owned.seen(end=None).unpublished == "outputs are not published for 12s: KafkaTimeoutError; 1 wait"

    sink.error = None
    await segmenter.publisher.publish(owned)
    assert (owned.publishing.refused, len(sink.outputs)) == (None, 1)
    assert not segmenter.publisher.numbering_lost


async def test_a_producer_that_lost_its_numbering_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a batch that the broker refused for good it takes nothing more of this producer there, and only a new one publishes again."""
    monkeypatch.setattr("streamer.worker.shards.publisher.RELAY_AGAIN_SECONDS", 0.0)
    store, sink = MemoryStore(), RefusingFor(OutOfOrderSequenceNumber())
    segmenter, owned = _owning(store, sink)
    await _acquired(segmenter, owned, store, sink)
    assert owned.relay is not None
    owned.relay.add([(Place(0, 0), [Output("segment-changes", 0, 0, 0, b"mila", b"{}")])])

    await segmenter.publisher.publish(owned)
    assert segmenter.publisher.numbering_lost
