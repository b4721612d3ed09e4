"""What a worker says of itself is of this moment."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Mapping

from streamer.signing import Trust
from streamer.stores.memory import MemoryStore
from streamer.wire import TICK, LogRecord
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


async def test_a_quiet_shard_has_read_its_log_whole_however_old_its_log_time_is() -> None:
    """On a quiet shard time passes twice a minute: what is completed only where log time is fresh would wait there for ever."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    shard = await acquired(segmenter, owned, store)
    await shard.process([LogRecord(0, 1_000, TICK, control=True)])
    ends = dict[int, int]()

    async def look() -> Mapping[int, int]:
        return ends

    found = list[bool]()
    for end in (None, 3, 1):  # not known; two records are there that were not read; all was read
        ends = {} if end is None else {0: end}
        await segmenter.brokers.look(look)
        found += [one.is_read_whole for one in segmenter.report.in_force()]
    assert found == [False, False, True]
