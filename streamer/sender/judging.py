"""Whether a message is still right: what the last look judges by, with the same tests as the decision."""

from __future__ import annotations

from typing import Final

from streamer.customers.state import State
from streamer.flow.checkpoint import CheckpointBody
from streamer.messages.checks import EVERYTHING
from streamer.messages.gate import still_right
from streamer.messages.planned import MessagePlan
from streamer.segments.plan.plan import Plan

from .decision import SendDecision

PLANS_MAX: Final = 8  # as many as are kept compiled


class MessageJudge:
    """Judges decisions by the definitions in force in a shard."""

    def __init__(self) -> None:
        self._plans: dict[int, MessagePlan] = {}  # by the plan's identity, which each holds on to

    def __call__(self, plan: Plan, body: CheckpointBody, state: State, decision: SendDecision) -> str | None:
        """Why it must not leave; empty: it may; None: it is paused, and waits for as long as it is valid."""
        data = decision.data
        if EVERYTHING in body.paused or data.message in body.paused:
            return None
        return still_right(self._of(plan), state, data.message, data.trigger.sequence, body.log_time_ms) or ""

    def _of(self, plan: Plan) -> MessagePlan:
        found = self._plans.get(id(plan))
        if found is None:
            found = self._plans[id(plan)] = MessagePlan(plan)
            for old in [*self._plans][:-PLANS_MAX]:
                del self._plans[old]
        return found
