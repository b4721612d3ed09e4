"""Who was in a segment, found out in a process of its own: all states are read for it, and a server has others to answer meanwhile."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from typing import Final

import msgspec

from streamer.aside import Aside, Outcomes, done_aside
from streamer.errors import SettingsError, StoreUnavailableError, TooMuchError, UnansweredError
from streamer.settings import Settings

from .past_members import NoSuchSegmentError, PastMembers, members_at

SECONDS_MAX: Final = 120.0
MEMBERS_MAX: Final = 500_000  # of one answer: about 50 MB while it is kept


class PastMembersTask(msgspec.Struct, frozen=True):
    """What the process is to do."""

    segment: str
    at_ms: int


_encode: Final = msgspec.msgpack.Encoder().encode
_tasks: Final = msgspec.msgpack.Decoder(PastMembersTask)
_outcomes: Final = Outcomes(PastMembers, NoSuchSegmentError, SettingsError, StoreUnavailableError, UnansweredError, TooMuchError)


class PastMembersAside(Aside):
    """Finds out, one question after the other: each reads all states."""

    async def members_at(self, segment: str, at_ms: int) -> PastMembers:
        """See ``past_members.members_at``, of which it raises what is ours; TooMuchError after ``SECONDS_MAX``, and for more than
        ``MEMBERS_MAX``; HaltError where what the store has cannot be read, or the process ended without an answer."""
        async with self.turn:
            try:
                raw = await done_aside(work, self.settings, _encode(PastMembersTask(segment, at_ms)), seconds_max=SECONDS_MAX)
            except TimeoutError:
                raise TooMuchError(f"not found out after {SECONDS_MAX:g} s") from None
        return _outcomes.read(raw, without="the process that finds out who was in a segment ended without an answer")


def work(connection: Connection, settings: Settings, raw: bytes) -> None:
    """What the process does."""
    connection.send_bytes(asyncio.run(_outcomes.of(_found(settings, _tasks.decode(raw)))))
    connection.close()


async def _found(settings: Settings, task: PastMembersTask) -> PastMembers:
    store = settings.open_store()
    try:
        found = await members_at(settings, store, task.segment, task.at_ms)
        if len(found.members) > MEMBERS_MAX:
            raise TooMuchError(f"{len(found.members):,} were in it, and {MEMBERS_MAX:,} is as many as are told: use the command line")
        return found
    finally:
        await store.close()


__all__ = ["PastMembersAside"]
