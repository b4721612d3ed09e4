"""Whether a message is still right: what a last look judges by."""

from __future__ import annotations

from typing import Final

from streamer.customers.state import State
from streamer.segments.plan.plan import Plan

from .decision import SendDecision

STAY: Final = "stay"
WITHDRAWN: Final = "withdrawn"


def still_right(plan: Plan, state: State, decision: SendDecision, now_ms: int) -> str:
    """Why a message must not leave any more, as the reasons of decisions are called; empty where it may."""
    del now_ms
    trigger = decision.data.trigger
    kind, _, segment = (trigger.on or "").partition(" ")
    if kind not in ("entered", "left"):
        return ""
    if segment not in plan.names:
        return WITHDRAWN
    entry = state.members.get(plan.names.index(segment))
    return "" if entry is not None and entry.changes == trigger.sequence else STAY
