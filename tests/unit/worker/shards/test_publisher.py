"""What was committed reaches the broker, or people hear that it does not."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from time import monotonic

import pytest
from aiokafka.errors import KafkaTimeoutError, OutOfOrderSequenceNumber

from streamer.errors import HaltError
from streamer.flow.relay import ENTRIES_AT_ONCE, OutputPosition
from streamer.stores.memory import MemoryStore
from streamer.wire import Output
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_shard import Kept, RefusingFor, acquired, owning, value


async def test_an_output_that_no_broker_takes_halts_its_shard_and_not_the_worker() -> None:
    """The relay finds it; its loop must go on for the other shards."""
    store, sink = MemoryStore(), RefusingFor(HaltError("an output of 2000000 bytes does not fit"))
    segmenter, owned = owning(store, sink)
    await acquired(segmenter, owned, store, sink)
    assert owned.relay is not None
    owned.relay.add([(OutputPosition(0, 0), [Output("segment-changes", 0, 0, 0, b"k", b"v")])])

    await segmenter.publisher.publish_all()

    assert (owned.state, owned.why) == (ShardState.HALTED, "an output of 2000000 bytes does not fit")


async def test_latency_is_measured_although_the_outbox_is_never_empty() -> None:
    """Under steady load it never is, and what waits to be measured would pile up."""
    store, sink = MemoryStore(), Kept()
    segmenter, owned = owning(store, sink)
    await acquired(segmenter, owned, store, sink)
    assert owned.relay is not None
    for offset in range(ENTRIES_AT_ONCE + 1):
        owned.relay.add([(OutputPosition(offset, 0), [Output("segment-changes", 0, offset, 0, b"k", b"v")])])
        owned.publishing.arrivals.append((offset, 1_000))

    assert await owned.relay.turn()
    segmenter.publisher.observe_latency(owned)

    assert owned.relay.backlog == 1
    assert list(owned.publishing.arrivals) == [(ENTRIES_AT_ONCE, 1_000)]
    assert value(segmenter, "segmenter_change_latency_seconds_count") == ENTRIES_AT_ONCE


async def test_outputs_that_the_broker_does_not_take_are_told_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried five times a second, and a line each time hides what else is said."""
    monkeypatch.setattr("streamer.worker.shards.publisher.RELAY_AGAIN_SECONDS", 0)
    store, sink = MemoryStore(), RefusingFor(KafkaTimeoutError())
    segmenter, owned = owning(store, sink)
    await acquired(segmenter, owned, store, sink)
    assert owned.relay is not None
    owned.relay.add([(OutputPosition(0, 0), [Output("segment-changes", 0, 0, 0, b"k", b"v")])])
    for _ in range(3):
        await segmenter.publisher.publish_all()
    assert owned.relay.backlog == 1
    assert capsys.readouterr().out.count("outputs not published yet") == 1


async def test_a_broker_that_takes_no_outputs_is_a_problem_of_the_shard_after_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox holds ten thousand: until it is full such a shard was ready. For a moment a partition may have no leader."""
    monkeypatch.setattr("streamer.worker.shards.publisher.RELAY_AGAIN_SECONDS", 0.0)
    store, sink = MemoryStore(), RefusingFor(KafkaTimeoutError())
    segmenter, owned = owning(store, sink)
    await acquired(segmenter, owned, store, sink)
    assert owned.relay is not None
    owned.relay.add([(OutputPosition(0, 0), [Output("segment-changes", 0, 0, 0, b"mila", b"{}")])])

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
    segmenter, owned = owning(store, sink)
    await acquired(segmenter, owned, store, sink)
    assert owned.relay is not None
    owned.relay.add([(OutputPosition(0, 0), [Output("segment-changes", 0, 0, 0, b"mila", b"{}")])])

    await segmenter.publisher.publish(owned)
    assert segmenter.publisher.numbering_lost
