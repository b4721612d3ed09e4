"""The notes in the store are those of this moment, also when the worker ends."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from time import monotonic

from streamer.stores.memory import MemoryStore
from streamer.worker.status.shard_notes import ShardNote, read_note
from streamer.worker.status.shard_state import ShardState
from tests.unit.worker.one_shard import acquired, owning


async def test_a_shard_leaves_a_note_at_once_when_its_state_changes() -> None:
    """`streamer doctor` looks at the store, not at workers: it said "ok" beside halted shards."""
    store = MemoryStore()
    segmenter, owned = owning(store)

    async def leaves() -> ShardNote | None:
        await segmenter.notes.note_all()
        return await read_note(store, 0)

    await acquired(segmenter, owned, store)
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
    segmenter, owned = owning(store)
    await acquired(segmenter, owned, store)
    await segmenter.notes.note_all()
    await segmenter.give_up_shards()
    note = await read_note(store, 0)
    assert note is not None
    assert (note.status.state, "its worker was stopped" in note.status.problem) == (ShardState.RELEASED, True)

    segmenter, owned = owning(store)
    segmenter.stopper.halt(owned, "a hole in the log")
    await segmenter.give_up_shards()
    note = await read_note(store, 0)
    assert note is not None
    assert note.status.state == ShardState.HALTED


async def test_a_transaction_that_holds_the_log_of_an_owned_shard_is_in_its_note() -> None:
    """`streamer shards` shows what the note says."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    await acquired(segmenter, owned, store)
    owned.held.see(20, 7, monotonic() - 60)
    await segmenter.notes.note_all()
    note = await read_note(store, 0)
    assert note is not None
    assert note.status.problem.startswith("an open transaction holds the log at offset 7 for 60 s")
