"""What an error means for its shard, and that it means nothing for the others."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import pytest

from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.flow.step import Step
from streamer.stores.memory import MemoryStore
from streamer.wire import LogRecord
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_shard import acquired, owning, value


async def test_an_error_that_is_no_records_halts_its_shard_and_not_the_worker(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that ends the worker goes on to the next one that gets the shard, until none is left."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    shard = await acquired(segmenter, owned, store)

    def breaks(*_: object) -> None:
        raise RecursionError("mila@example.com")

    monkeypatch.setattr(Step, "_apply_event", breaks)
    event = encode(Event(event="Product Viewed", message_id="m", user_id="mila@example.com", timestamp_ms=1_000))
    await segmenter.processing.process(owned, shard, [LogRecord(0, 1_000, event)])
    assert owned.state == ShardState.WAITING  # it may have been chance

    again = await acquired(segmenter, owned, store)
    await segmenter.processing.process(owned, again, [LogRecord(0, 1_000, event)])

    assert owned.state == ShardState.HALTED
    assert "RecursionError in flow/step.py" in owned.why
    assert value(segmenter, "segmenter_shard_state", shard="0", state="halted") == 1
    said = capsys.readouterr()
    assert "shard halted" in said.out
    assert "mila@example.com" not in said.out + said.err + "".join(segmenter.report.readiness().problems)


async def test_people_hear_that_redis_has_lost_what_was_committed(capsys: pytest.CaptureFixture[str]) -> None:
    """Emptied under a running worker, all was told anew, and the only word about it was that an epoch was another."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    shard = await acquired(segmenter, owned, store)
    shard._session._store = MemoryStore()
    await segmenter.guard.run(owned, shard.probe)
    assert owned.state == ShardState.WAITING
    assert "the store is empty" in owned.why
    assert value(segmenter, "streamer_alerts_total", kind="store_older") == 1
    assert "is told again from the log" in capsys.readouterr().out
