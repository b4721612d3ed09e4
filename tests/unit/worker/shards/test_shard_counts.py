"""What a shard counts comes into the metrics once, whoever owns it."""

from __future__ import annotations

import json
from typing import Final

from streamer.flow.identity import COUNTED
from streamer.flow.relay import Relay
from streamer.language.definitions import parse_definitions
from streamer.stores.memory import MemoryStore
from streamer.telemetry.metrics import IDENTITY
from streamer.wire import LogRecord, definitions_control
from streamer.worker.shards.shard_counts import ShardCounts
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_shard import Kept, acquired, owning, quiet_alerts, value

SEEN: Final = parse_definitions({"segments": {"seen": {"for": "x", "when": 'count("A") >= 1'}}})


def test_everything_that_is_counted_of_linked_ids_is_there_from_the_beginning() -> None:
    """A counter that appears with its first event hides that event from rate(), and one of another name is never seen."""
    assert set(IDENTITY) == set(COUNTED)


async def test_linked_ids_are_counted_once_whoever_owns_the_shard() -> None:
    """The counts are of the log; a worker that takes the shard over must not show what others have shown."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    shard = await acquired(segmenter, owned, store)
    event = {"event": "A", "messageId": "m", "timestamp": 1_000, "anonymousId": "an", "userId": "u"}
    definitions = definitions_control(SEEN.content(), SEEN.digest, 1)
    await shard.process([LogRecord(0, 1_000, definitions, control=True), LogRecord(1, 1_000, json.dumps(event).encode())])
    counts = ShardCounts(segmenter.metrics, quiet_alerts(segmenter.metrics), 0.5)
    for _ in range(2):
        counts.show(owned, shard)
    assert value(segmenter, "segmenter_identity_total", what="linked") == 1
    assert value(segmenter, "segmenter_identity_total", what="link_refused") == 0
    assert value(segmenter, "segmenter_tombstones", shard="0") == 0

    again, taken = owning(store)
    shard = await acquired(again, taken, store)
    assert shard.body.identity == {"linked": 1}, "the store has what the other one counted"
    taken.state = ShardState.ACQUIRING
    taken.hold(shard, Relay(0, store, Kept()))
    ShardCounts(again.metrics, quiet_alerts(again.metrics), 0.5).show(taken, shard)
    assert value(again, "segmenter_identity_total", what="linked") == 0
