"""Who was in a segment, found out in a process of its own: all states are read for it, and a server has others to answer meanwhile."""

from __future__ import annotations

import asyncio
from multiprocessing.connection import Connection
from typing import Final

import msgspec

from streamer.aside import Aside, done_aside
from streamer.errors import HaltError, SettingsError, StoreUnavailableError, StreamerError, TooMuchError, UnansweredError
from streamer.settings import Settings

from .past_members import NoSuchSegmentError, PastMembers, members_at

SECONDS_MAX: Final = 120.0
MEMBERS_MAX: Final = 500_000  # of one answer: about 50 MB while it is kept


class PastMembersTask(msgspec.Struct, frozen=True):
    """What the process is to do."""

    segment: str
    at_ms: int


class PastMembersOutcome(msgspec.Struct, frozen=True):
    """What it found, or the class and the text of the error."""

    found: PastMembers | None = None
    error: str = ""
    text: str = ""


_encode: Final = msgspec.msgpack.Encoder().encode
_tasks: Final = msgspec.msgpack.Decoder(PastMembersTask)
_outcomes: Final = msgspec.msgpack.Decoder(PastMembersOutcome)
_ERRORS: Final = {one.__name__: one for one in (NoSuchSegmentError, SettingsError, StoreUnavailableError, UnansweredError, TooMuchError)}


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
        if not raw:
            raise HaltError("the process that finds out who was in a segment ended without an answer")
        outcome = _outcomes.decode(raw)
        if outcome.found is None:
            raise _ERRORS.get(outcome.error, HaltError)(outcome.text)
        return outcome.found


def work(connection: Connection, settings: Settings, raw: bytes) -> None:
    """What the process does."""
    connection.send_bytes(_encode(asyncio.run(_outcome(settings, _tasks.decode(raw)))))
    connection.close()


async def _outcome(settings: Settings, task: PastMembersTask) -> PastMembersOutcome:
    store = settings.open_store()
    try:
        found = await members_at(settings, store, task.segment, task.at_ms)
        if len(found.members) > MEMBERS_MAX:
            raise TooMuchError(f"{len(found.members):,} were in it, and {MEMBERS_MAX:,} is as many as are told: use the command line")
        return PastMembersOutcome(found)
    except StreamerError as error:
        return PastMembersOutcome(error=type(error).__name__, text=str(error))
    finally:
        await store.close()


__all__ = ["PastMembersAside"]
