"""Begins, decides and ends the messages of one plan, and says each decision."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from streamer.customers.message_state import Intent
from streamer.customers.state import State
from streamer.events.event import Event
from streamer.language.message_events import BOUNCED, FAILED
from streamer.messages import intents
from streamer.messages.arms import KEY_BYTES
from streamer.messages.checks import Occasion, Ruling
from streamer.messages.decision import DecisionReason
from streamer.messages.past import join_past
from streamer.messages.planned import MessagePlan
from streamer.messages.telling import Told, tell
from streamer.segments.change import CauseKind
from streamer.segments.plan.plan import Plan, SegmentRule

from .checkpoint import CheckpointBody
from .identity_records import Adopt
from .outputs import OutputLog

NEVER_DELIVERED: Final = frozenset({FAILED, BOUNCED})  # where they are permanent

TOO_MANY_WAIT: Final = Ruling("skip", "cap", f"waiting {intents.WAITING_MAX}")
_KEY: Final = re.compile(f"[0-9a-f]{{{2 * KEY_BYTES}}}")


class MessageWriter:
    """Of the checkpoint's body it reads ``paused``: the names of messages that are, and ``*`` for all. It changes the states that it is
    given: whoever gives one sees to its timer."""

    def __init__(self, plan: Plan, body: CheckpointBody, outputs: OutputLog) -> None:
        self.messages = MessagePlan(plan)
        self._body = body
        self._outputs = outputs

    def after(self, customer: str, state: State, changed: Iterable[SegmentRule], now: int, cause: CauseKind, offset: int) -> None:
        """Memberships stand as they do at ``now`` (UTC): begin what the changes begin, decide what is due, and see that the customer's
        timer is not later than the next decision."""
        own_now = now - state.origin_ms
        surplus = intents.begin(self.messages, state, changed, own_now, cause) if self.messages.listens else []
        if state.messages is None:
            return
        if surplus:
            self._end(customer, state, surplus, TOO_MANY_WAIT, now, offset)
        for intent in intents.due(state, own_now):
            occasion = Occasion(customer, state, own_now, self._body.paused)
            self._say(occasion, intent, intents.decide(self.messages, intent, occasion), offset)
        intents.drop_empty(state)
        state.timer_ms = min(state.timer_ms, intents.next_due(state))

    def note_outcome(self, state: State, event: Event) -> None:
        """What an accepted event says of a message that was sent: one that can never be delivered counts for no cap."""
        if state.messages is None or event.name not in NEVER_DELIVERED or event.properties is None:
            return
        key = event.properties.get("key")
        if event.properties.get("permanent") is True and isinstance(key, str) and _KEY.fullmatch(key):
            intents.give_back(state, bytes.fromhex(key))

    def end(self, customer: str, state: State, reason: DecisionReason, now: int, offset: int) -> None:
        """The customer is erased, or goes by another id from now on: nothing waits any more."""
        if state.messages is not None:
            self._end(customer, state, intents.in_order(state.messages.intents), Ruling("skip", reason), now, offset)

    def carry(self, customer: str, state: State, before: MessagePlan, now: int, offset: int) -> None:
        """The customer comes under this plan. What waits for a change that does not begin its message any more ends."""
        ended = intents.carry(state, before, self.messages)
        self._end(customer, state, ended, Ruling("skip", "withdrawn"), now, offset)

    def join(self, state: State, adopt: Adopt, now: int) -> None:
        """What was sent under another id of the customer counts for them."""
        join_past(self.messages, state, adopt.places, adopt.sent_ms, now - state.origin_ms)

    def _end(self, customer: str, state: State, ended: Iterable[Intent], ruling: Ruling, now: int, offset: int) -> None:
        occasion = Occasion(customer, state, now - state.origin_ms, self._body.paused)
        for intent in ended:
            self._say(occasion, intent, ruling, offset)

    def _say(self, occasion: Occasion, intent: Intent, verdict: Ruling, offset: int) -> None:
        told = Told(self._outputs.source, self._body.version, self._outputs.position(offset))
        self._outputs.add_decision(occasion.customer, tell(self.messages, occasion, intent, verdict, told), offset)
