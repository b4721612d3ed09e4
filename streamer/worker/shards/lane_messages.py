"""What a worker and a process that folds lanes for it say to each other, over a pair of sockets.

A lane has a number within its process. Each question about it has one answer, ``LaneDone`` or ``LaneFailed``, before which no second one is
asked.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Literal, Self

import msgspec

from streamer.flow.amendments import Amendment
from streamer.flow.lane.inherited import Inherited
from streamer.worker.status.lane_status import LaneState, LaneStatus

LENGTH_BYTES: Final = 4

LaneFailure = Literal["unanswered", "halt", "fault"]


class OpenLane(msgspec.Struct, frozen=True, tag="open"):
    """Open a lane of ``shard`` towards the definitions of ``control``, from those that its store has under the digest ``before`` (empty:
    none hold yet); see ``plan_lane`` for ``history`` and ``brought``, and ``LaneSettings`` for ``inherited``."""

    lane: int
    shard: int
    control: bytes
    before: str
    history: int
    brought: int
    amendments: list[Amendment]
    inherited: Inherited


class AdvanceLane(msgspec.Struct, frozen=True, tag="advance"):
    """Fold the log up to the offset ``upto``. ``amendments`` are those that were written since the last question."""

    lane: int
    state: LaneState
    upto: int
    amendments: list[Amendment]


class CloseLane(msgspec.Struct, frozen=True, tag="close"):
    """Fold no more; there is no answer."""

    lane: int


class LiveLag(msgspec.Struct, frozen=True, tag="lag"):
    """How far live traffic of the worker is behind, in milliseconds. It is heard: ``LaneProcessWorks``."""

    ms: float


class LaneTold(msgspec.Struct, frozen=True, tag="told"):
    """How far a lane is."""

    lane: int
    status: LaneStatus


class LaneProcessWorks(msgspec.Struct, frozen=True, tag="works"):
    """The process hears, whether its lanes come on or wait for something."""


class LaneDone(msgspec.Struct, frozen=True, tag="done"):
    """What was asked for is done."""

    lane: int


class LaneFailed(msgspec.Struct, frozen=True, tag="failed"):
    """It is not, and the lane is closed. ``text`` is fit to be shown: of a fault of our own it has only the class and the place."""

    lane: int
    failure: LaneFailure
    text: str


LaneQuestion = OpenLane | AdvanceLane | CloseLane | LiveLag
LaneAnswer = LaneProcessWorks | LaneTold | LaneDone | LaneFailed

encode_message: Final = msgspec.msgpack.Encoder().encode
read_question: Final = msgspec.msgpack.Decoder[LaneQuestion](LaneQuestion).decode
read_answer: Final = msgspec.msgpack.Decoder[LaneAnswer](LaneAnswer).decode


class LaneChannel:
    """Messages over one socket, in order. The other side is a process of ours, so nothing is bounded or checked."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, ours: socket.socket) -> Self:
        """The channel over a connected socket, which it owns from here on."""
        return cls(*await asyncio.open_unix_connection(sock=ours))

    def send(self, message: LaneQuestion | LaneAnswer) -> None:
        """Queue one message; nothing happens where the other side has ended."""
        raw = encode_message(message)
        self._writer.write(len(raw).to_bytes(LENGTH_BYTES, "big") + raw)

    async def receive(self) -> bytes | None:
        """The next message; None where the other side has ended."""
        try:
            length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES), "big")
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def close(self) -> None:
        """Let go of the socket."""
        self._writer.close()


__all__ = [
    "AdvanceLane",
    "CloseLane",
    "LaneAnswer",
    "LaneChannel",
    "LaneDone",
    "LaneFailed",
    "LaneFailure",
    "LaneProcessWorks",
    "LaneQuestion",
    "LaneTold",
    "LiveLag",
    "OpenLane",
    "read_answer",
    "read_question",
]
