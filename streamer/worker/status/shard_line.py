"""How a shard is doing, as somebody sees it who is no worker: from the checkpoint, the last note on it, and the ends of its log."""

from __future__ import annotations

import re

import msgspec

from streamer.stores.base import Store

from .shard_notes import read_note


class ShardLine(msgspec.Struct, omit_defaults=True):
    """One shard. What is not known is absent; ``stale``: its worker has said nothing for a while, so it may be otherwise by now."""

    shard: int
    state: str
    stale: bool
    position: int
    epoch: int
    owner: str = ""
    since_seconds: float | None = None
    why: str = ""
    begin: int | None = None
    end: int | None = None
    lag: int | None = None
    outbox: int | None = None

    @property
    def is_at_work(self) -> bool:
        """Whether a worker has it and nothing holds it up: ``why`` says what does, such as a transaction that somebody left open."""
        return self.state == "owned" and not self.stale and not self.why


async def shard_line(store: Store, shard: int, now_ms: int, *, begin: int | None = None, end: int | None = None) -> ShardLine:
    """The line of a shard at ``now_ms``. ``begin`` and ``end`` are those of its log, None where Kafka did not say. Raises what the store
    raises."""
    checkpoint, note = await store.checkpoint(shard), await read_note(store, shard)
    line = ShardLine(shard, "unknown", True, checkpoint.position.offset, checkpoint.epoch)
    if note is not None:
        line.state, line.stale, line.owner = note.status.state.value, note.is_stale(now_ms), note.worker
        line.since_seconds = note.status.since_seconds + max(0.0, (now_ms - note.at_ms) / 1_000)
        line.why, line.outbox = _reason(note.status.problem), note.status.outbox
    if end is not None:
        end = max(end, line.position)  # it was looked at before, and what is committed is in the log
        line.lag = end - line.position
    line.begin, line.end = begin, end
    return line


def _reason(problem: str) -> str:
    """Why, without the state and its age at the time of the note, which stand in the line with today's."""
    return re.sub(r"^(acquiring|waiting|halted|released) for [^:]*: ", "", problem)


__all__ = ["ShardLine", "shard_line"]
