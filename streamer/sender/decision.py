"""A decision to send, as the sender reads it from the topic of messages: what every decision is, and has what a send needs."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from streamer.errors import RefusedError
from streamer.language.message_specs import MessageKind
from streamer.messages.decision import MessageDecision, MessageDecisionData
from streamer.values import Json, parse_time_ms

SEND: Final = "message.send"


class SendData(MessageDecisionData, frozen=True, kw_only=True):
    """What was decided, with everything that rendering needs. An address that is None is one that the channel refuses."""

    kind: MessageKind
    channel: str
    address: str | None = None
    facts: dict[str, Json] = {}


class SendDecision(MessageDecision, frozen=True, kw_only=True):
    """One CloudEvent of the topic, of those that say that something is to be sent."""

    type: Literal["message.send"]
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

    @property
    def order(self) -> tuple[int, int, int]:
        """What decisions of one shard are compared by; of two the later one is above."""
        position = self.data.position
        return position.generation, position.offset, position.ordinal


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
