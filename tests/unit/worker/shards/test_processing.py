"""A batch is processed up to what must wait, and what it says goes on at once."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic, time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.catalog import Plans
from streamer.flow.relay import Relay
from streamer.flow.shard import Shard
from streamer.flow.step import Step
from streamer.language.definitions import load_definitions
from streamer.segments.change import decode_change
from streamer.settings import load_settings
from streamer.stores.memory import MemoryStore
from streamer.telemetry.metrics import Metrics
from streamer.wire import TICK, LogRecord, definitions_control
from streamer.worker.segmenter import Segmenter
from streamer.worker.shards.owned_shard import OwnedShard
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_shard import Kept, acquired, owning, quiet_alerts, value

DEFINITIONS = """
segments:
  seen: {for: Was seen., when: did("Product Viewed")}
"""


async def test_what_a_batch_says_goes_to_the_broker_and_not_only_into_the_outbox(tmp_path: Path) -> None:
    """A change that waits for the next owner of the shard comes an hour too late, and nothing else shows that it waits."""
    (tmp_path / "segments.yaml").write_text(DEFINITIONS)
    definitions = load_definitions(tmp_path)
    settings, store, sink, metrics = load_settings(shards=1), MemoryStore(), Kept(), Metrics()
    segmenter = Segmenter(settings, store, cast("Any", None), sink, metrics, quiet_alerts(metrics))
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


async def test_a_record_that_breaks_our_code_is_told_and_stops_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has the place of the error, people have an alert, the topic of dead letters has the record, and nobody has the id."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    shard = await acquired(segmenter, owned, store)
    sound = Step._apply_event

    def breaks(self: Step, event: Event, record: LogRecord, now: int) -> None:
        if event.customer == "mila@example.com":
            raise KeyError(event.customer)
        sound(self, event, record, now)

    monkeypatch.setattr(Step, "_apply_event", breaks)
    events = [
        encode(Event(event="Product Viewed", message_id="m", user_id=customer, timestamp_ms=1_000))
        for customer in ("mila@example.com", "bo")
    ]
    await segmenter.processing.process(owned, shard, [LogRecord(at, 1_000, event) for at, event in enumerate(events)])

    assert owned.state == ShardState.OWNED
    assert shard.body.counts == {"fault": 1, "accepted": 1}
    assert value(segmenter, "segmenter_faults_total", what="fault") == 1
    assert value(segmenter, "streamer_alerts_total", kind="fault") == 1
    assert value(segmenter, "segmenter_events_refused_total", reason="fault") == 1
    said = capsys.readouterr()
    assert "flow/step.py" in said.out
    assert "mila@example.com" not in said.out + said.err


async def test_what_was_fetched_before_a_shard_was_acquired_anew_is_not_processed() -> None:
    """A store that came back older moves the position back; the batch in hand would skip the records between."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    before = await acquired(segmenter, owned, store)
    now = await acquired(segmenter, owned, store)  # at position 0

    await segmenter.processing.process(owned, before, [LogRecord(7, 1_000, TICK, control=True)])
    assert (owned.state, now.position.offset) == (ShardState.OWNED, 0)

    await segmenter.processing.process(owned, now, [LogRecord(7, 1_000, TICK, control=True)])
    assert (owned.state, now.position.offset) == (ShardState.OWNED, 8)  # the same, fetched for this very shard, comes after markers


async def test_records_below_the_position_are_not_dropped_in_silence() -> None:
    """No reader of this log can get them again: whoever brings them reads another log."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    shard = await acquired(segmenter, owned, store)
    await segmenter.processing.process(owned, shard, [LogRecord(7, 1_000, TICK, control=True)])

    await segmenter.processing.process(owned, shard, [LogRecord(3, 1_000, TICK, control=True)])

    assert owned.state == ShardState.HALTED
    assert owned.why == "shard 0: expected an offset of at least 8, found 3; it is another log than it was"


async def test_many_refused_records_are_an_alert_and_no_halt(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever can send 51 bad lines must not be able to stop a shard; somebody should look all the same, and at what is named."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    shard = await acquired(segmenter, owned, store)
    bad = b'{"userId": "mila", "context": {"library": {"name": "analytics-php", "version": "3.8"}}}'

    await segmenter.processing.process(owned, shard, [LogRecord(offset, 1_000, bad) for offset in range(51)])

    assert owned.state == ShardState.OWNED
    assert shard.position.offset == 51
    assert owned.relay is not None
    assert owned.relay.backlog == 51  # on their way to the topic of dead letters
    assert value(segmenter, "segmenter_refused_ratio", shard="0") == 0.051
    assert value(segmenter, "streamer_alerts_total", kind="refused_records") == 1
    said = capsys.readouterr().out
    assert "missing_message_id at $.messageId, from analytics-php 3.8" in said
    assert "mila" not in said


async def test_a_record_that_the_brokers_clock_put_into_the_future_is_waited_for_and_then_read() -> None:
    """Without it everybody's events would be late for three days, ready and silent; what lies before it is read."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    sought: list[int] = []
    segmenter.consumer.client = cast("Any", SimpleNamespace(seek=lambda _, offset: sought.append(offset), highwater=lambda _: None))
    shard = await acquired(segmenter, owned, store)
    now_ms, owned.clock.broker_ahead_ms = int(time() * 1_000), 0
    wild = LogRecord(1, now_ms + 3 * 86_400_000, TICK, control=True)

    await segmenter.processing.process(owned, shard, [LogRecord(0, now_ms, TICK, control=True), wild])
    assert (owned.state, shard.position.offset, sought) == (ShardState.OWNED, 1, [1])
    assert "record at offset 1 arrived" in segmenter.report.statuses()[0].problem
    assert owned.clock.until > monotonic()

    await segmenter.processing.process(owned, shard, [wild._replace(arrival_ms=now_ms + 1)])  # as an amendment bounds it
    assert (shard.position.offset, segmenter.report.statuses()[0].problem) == (2, "")
