"""A last look at a customer right before something is sent: whether what was decided a moment ago is still right."""

from __future__ import annotations

from streamer.customers.state import State

from .checks import contact_checks
from .decision import DecisionReason
from .planned import MessagePlan


def still_right(plan: MessagePlan, state: State | None, message: str, sequence: int, now_ms: int) -> DecisionReason | None:
    """Why a message must not be sent any more, by what the customer's committed state says at ``now_ms`` (UTC); None where it may be.

    ``sequence`` is that of its trigger. Caps, quiet hours and hold-out were settled by the decision. ``state`` is None of a customer who is
    not known, or goes by another id.
    """
    number = plan.numbers.get(message)
    if state is None:
        return "erased"
    if number is None:
        return "withdrawn"
    planned, now = plan.messages[number], now_ms - state.origin_ms
    if planned.spec.stay and not planned.stays(state, sequence):
        return "stay"
    if not planned.requires(state, now):
        return "require"
    return next((check.reason for check in contact_checks(planned, state, now) if not check.holds), None)
