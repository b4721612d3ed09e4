"""What a worker says of itself is of this moment."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from streamer.signing import Trust
from streamer.stores.memory import MemoryStore
from tests.unit.worker.one_shard import acquired, owning, value


async def test_a_shard_that_stands_still_falls_behind_for_all_to_see() -> None:
    """A gauge that is only set when records are processed shows the last good figure for as long as none are."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    owned.log_time_ms = 1_000
    segmenter.stopper.halt(owned, "a hole in the log")

    segmenter.report.show_now()

    assert (value(segmenter, "segmenter_lag_seconds", shard="0") or 0) > 1_000_000
    assert value(segmenter, "segmenter_shard_works", shard="0") == 0


async def test_a_worker_whose_key_holds_no_more_is_not_ready() -> None:
    """What it signs is refused by every shard: no model would ever serve, and nobody would know why."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    shard = await acquired(segmenter, owned, store)
    assert not any("signs" in problem for problem in segmenter.problems())
    shard.body.trust = Trust({"2026-11": "0" * 16})
    assert "shard 0 refuses what this worker signs: the log obeys only what is signed with '2026-11'" in "\n".join(segmenter.problems())
