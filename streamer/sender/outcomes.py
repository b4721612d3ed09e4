"""What became of a message, as events of the customer's: caps, suppression and segments over them are the ordinary language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from streamer.events.event import Event
from streamer.values import Json

from .decision import SendDecision

FailReason = Literal["template", "gate", "late", "refused", "gave_up", "bad_address", "no_channel"]
"""Why a message surely did not leave.

``template``: it could not be rendered. ``gate``: the last look found that it should not. ``late``: it would have left after its time.
``refused``: the provider will never take it. ``gave_up``: the provider did not take it however often it was asked. ``bad_address``: it is
none. ``no_channel``: this sender has no such channel.
"""

NAMES: Final = {"sent": "Message Sent", "failed": "Message Failed", "unknown": "Message Unknown"}
BOUNCED: Final = "Message Bounced"


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider has it."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """It surely did not leave, and will not. ``bounced``: its address is none."""

    reason: FailReason
    detail: str = ""
    bounced: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can tell whether it left, and it is not sent again."""

    detail: str = ""


SendOutcome = Sent | Failed | Unknown


def outcome_events(decision: SendDecision, outcome: SendOutcome, now_ms: int) -> list[Event]:
    """The events that say so. Their ids are the same whoever says it: what is said twice counts once."""
    match outcome:
        case Sent():
            return [_event(decision, "sent", NAMES["sent"], now_ms, {})]
        case Failed(reason, detail, bounced):
            more: dict[str, Json] = {"permanent": True, "reason": reason, **({"detail": detail} if detail else {})}
            failed = _event(decision, "failed", NAMES["failed"], now_ms, more)
            return [failed, _event(decision, "bounced", BOUNCED, now_ms, {"permanent": True})] if bounced else [failed]
        case Unknown():
            return [_event(decision, "unknown", NAMES["unknown"], now_ms, {})]


def message_properties(message: str, key: str, channel: str, topic: str, variant: str) -> dict[str, Json]:
    """What every event about a message says of it."""
    found: dict[str, Json] = {"message": message, "key": key, "channel": channel}
    return {**found, **({"topic": topic} if topic else {}), **({"variant": variant} if variant else {})}


def _event(decision: SendDecision, kind: str, name: str, now_ms: int, more: dict[str, Json]) -> Event:
    data = decision.data
    about = message_properties(data.message, data.key, data.channel, data.topic or "", data.variant or "")
    return Event(
        event=name,
        message_id=f"out:{data.key}:{kind}",
        user_id=decision.customer,
        timestamp_ms=now_ms,
        properties={**about, **more},
    )


__all__ = ["FailReason", "Failed", "SendOutcome", "Sent", "Unknown", "message_properties", "outcome_events"]
