"""What is written down of deliveries: a line an attempt, for a week, and each change that could not be delivered, for thirty days."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from streamer.errors import RefusedError

from .schedule import AttemptVerdict


class DeliveryLine(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One attempt. ``attempt`` is the how manieth of the schedule it was, 0 for a probe; ``answer`` is the beginning of what came back."""

    subscription: str
    webhook_id: str
    at_ms: int
    attempt: int
    verdict: AttemptVerdict
    status: int | None = None
    problem: str = ""
    milliseconds: int = 0
    answer: str = ""


class DeadDelivery(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A change that was given up: its last attempt, where among the changes it lies, and its bytes in base64."""

    last: DeliveryLine
    shard: Annotated[int, msgspec.Meta(ge=0)]
    offset: Annotated[int, msgspec.Meta(ge=0)]
    raw: str


_lines: Final = msgspec.json.Decoder(DeliveryLine)
_dead: Final = msgspec.json.Decoder(DeadDelivery)
encode_line: Final = msgspec.json.Encoder().encode
encode_dead: Final = msgspec.json.Encoder().encode


def decode_line(raw: bytes) -> DeliveryLine:
    """A line of the delivery log; RefusedError for what is none."""
    try:
        return _lines.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("bad_line", detail=str(error)[:200]) from None


def decode_dead(raw: bytes) -> DeadDelivery:
    """A change that was given up; RefusedError for what is none."""
    try:
        return _dead.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("bad_dead_delivery", detail=str(error)[:200]) from None
