"""A decision to send, as the sender reads it from the topic of messages."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from streamer.errors import RefusedError
from streamer.language.message_specs import MessageKind
from streamer.values import Json, parse_time_ms
from streamer.wire import Instant

SEND: Final = "message.send"


class SendTrigger(msgspec.Struct, frozen=True):
    """What began it. ``on`` is as it was written, ``sequence`` which change of it this was."""

    on: str | None
    sequence: int
    at: Instant


class SendPosition(msgspec.Struct, frozen=True):
    """Where in the story a decision stands; of two in a shard the later one is above."""

    generation: int
    shard: int
    offset: int
    ordinal: int

    @property
    def order(self) -> tuple[int, int, int]:
        """What positions of one shard are compared by."""
        return self.generation, self.offset, self.ordinal


class SendData(msgspec.Struct, frozen=True):
    """What was decided, with everything that rendering needs."""

    message: str
    key: str
    definitions: int
    at: Instant
    kind: MessageKind
    channel: str
    trigger: SendTrigger
    due: Instant
    valid_until: Instant
    position: SendPosition
    topic: str | None = None
    reason: str | None = None
    detail: str | None = None
    until: Instant | None = None
    arm: Literal["treated", "held_out"] = "treated"
    variant: str | None = None
    template: str | None = None
    address: str | None = None
    language: str | None = None
    zone: str | None = None
    facts: dict[str, Json] = {}


class SendDecision(msgspec.Struct, frozen=True):
    """One CloudEvent of the topic, of those that say that something is to be sent."""

    id: str
    subject: str
    data: SendData

    @property
    def customer(self) -> str:
        """Whom it is for."""
        return self.subject

    @property
    def valid_until_ms(self) -> int:
        """UTC milliseconds from which on nothing of it leaves."""
        return _ms(self.data.valid_until)

    @property
    def at_ms(self) -> int:
        """UTC milliseconds at which it was decided."""
        return _ms(self.data.at)


class _DecisionHead(msgspec.Struct):
    """What tells a decision to send from one to hold or to skip."""

    type: Annotated[str, msgspec.Meta(pattern=r"^message\.(send|hold|skip)$")]


_head_decoder = msgspec.json.Decoder(_DecisionHead)
_decoder = msgspec.json.Decoder(SendDecision)


def read_decision(raw: bytes) -> SendDecision | None:
    """The decision in a record; None for one to hold or to skip. RefusedError where it is none; it repeats nothing of the record."""
    try:
        if _head_decoder.decode(raw).type != SEND:
            return None
        decision = _decoder.decode(raw)
        _ = decision.valid_until_ms, decision.at_ms
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RefusedError("not_a_decision", detail=type(error).__name__) from None
    return decision


def _ms(text: str) -> int:
    found = parse_time_ms(text)
    if found is None:
        raise ValueError("no moment")
    return found
