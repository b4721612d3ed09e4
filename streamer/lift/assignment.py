"""A decision on a message as far as lift asks: which customer came into which arm, when, and what counts as success."""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from streamer.errors import RefusedError
from streamer.events.moments import moment_ms

TrialArm = Literal["treated", "held_out"]


class Assignment(NamedTuple):
    """One customer in one arm of one message. ``key`` is that of the decision, ``at_ms`` UTC.

    Success is an event ``goal`` at most ``within_ms`` after the decision. ``worth`` is the path of what it is worth; empty: nobody asks.
    """

    message: str
    key: str
    customer: str
    at_ms: int
    arm: TrialArm
    variant: str | None
    goal: str
    within_ms: int
    worth: tuple[str, ...] = ()


class _LedgerGoal(msgspec.Struct):
    event: str
    within_ms: Annotated[int, msgspec.Meta(gt=0)]
    value: str | list[str] | None = None


class _LedgerData(msgspec.Struct):
    message: str
    key: str
    at: str
    reason: str | None = None
    variant: str | None = None
    goal: _LedgerGoal | None = None


class _LedgerRecord(msgspec.Struct):
    type: str
    subject: str
    data: _LedgerData


_decode: Final = msgspec.json.Decoder(_LedgerRecord).decode


def read_assignment(raw: bytes) -> Assignment | None:
    """The assignment in a record of the ledger; None where it is none: a hold, a message that was not sent for another reason than the
    hold-out, or one without a goal. RefusedError if it is no decision at all.

    Whoever is held out has passed all tests, as has whoever is sent the message, so the two differ by chance alone.
    """
    try:
        record = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("wrong_type", detail=f"no decision on a message: {error}"[:200]) from None
    data, arm = record.data, _arm(record)
    if arm is None or data.goal is None:
        return None
    at_ms = moment_ms(data.at, path="$.data.at")
    return Assignment(
        data.message, data.key, record.subject, at_ms, arm, data.variant, data.goal.event, data.goal.within_ms, _path(data.goal)
    )


def _arm(record: _LedgerRecord) -> TrialArm | None:
    """By what was decided: the arm is drawn for whoever fails another test too, and lift does not ask about them."""
    if record.type == "message.send":
        return "treated"
    return "held_out" if record.type == "message.skip" and record.data.reason == "holdout" else None


def _path(goal: _LedgerGoal) -> tuple[str, ...]:
    if goal.value is None:
        return ()
    return tuple(goal.value.split(".")) if isinstance(goal.value, str) else tuple(goal.value)
