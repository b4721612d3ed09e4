"""The tests of a message at its instant, in their order: the first that fails is the reason.

Hold-out comes last, so that who gets the message and who does not have passed the same tests at the same moment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from streamer.customers.message_state import CapSlot, Intent, MessageState
from streamer.customers.state import State
from streamer.language.message_specs import AGAIN_ALWAYS, AGAIN_ONCE

from .addresses import as_address
from .arms import EVERY_MESSAGE, is_held_out
from .caps import first_full
from .decision import DecisionOutcome, DecisionReason
from .planned import MessagePlan, PlannedMessage
from .quiet_hours import quiet_until

EVERYTHING: Final = "*"  # paused: no message is sent


class Occasion(NamedTuple):
    """Whose message is tested and when. ``now`` is by the customer's own clock; ``paused`` has names of messages, or ``EVERYTHING``."""

    customer: str
    state: State
    now: int
    paused: Collection[str]

    @property
    def now_utc(self) -> int:
        """The moment in UTC milliseconds."""
        return self.now + self.state.origin_ms

    @property
    def held(self) -> MessageState:
        """What the customer has of messages."""
        return self.state.messages or MessageState()


class Check(NamedTuple):
    """One test: the reason that it gives where it does not hold, more about it, and of quiet hours when they end (own clock)."""

    reason: DecisionReason
    holds: bool
    detail: str | None = None
    until: int | None = None


class Ruling(NamedTuple):
    """What is to become of an intent. ``until`` (own clock) is when a hold is decided again."""

    outcome: DecisionOutcome
    reason: DecisionReason | None = None
    detail: str | None = None
    until: int | None = None

    @property
    def takes_place(self) -> bool:
        """Whether it counts as sent for caps and ``again``: who is held out meets the same limits as who is not."""
        return self.outcome == "send" or self.reason == "holdout"


def verdict(plan: MessagePlan, intent: Intent, occasion: Occasion) -> Ruling:
    """What becomes of an intent at this moment."""
    message = plan.find(intent.message)
    if message is None:
        return Ruling("skip", _paused_or_withdrawn(intent, occasion))
    for check in checks(plan, message, intent, occasion):
        if not check.holds:
            return _failed(check, intent.due_ms + message.spec.expiry_ms)
    return Ruling("send")


def _paused_or_withdrawn(intent: Intent, occasion: Occasion) -> DecisionReason:
    return "paused" if EVERYTHING in occasion.paused or intent.message in occasion.paused else "withdrawn"


def _failed(check: Check, valid_until: int) -> Ruling:
    if check.until is None:
        return Ruling("skip", check.reason, check.detail)
    if check.until >= valid_until:
        return Ruling("skip", "expired", check.reason)
    return Ruling("hold", check.reason, check.detail, check.until)


def checks(plan: MessagePlan, message: PlannedMessage, intent: Intent, occasion: Occasion) -> Iterator[Check]:
    """Every test of a message that the definitions have, in order."""
    spec, state, now = message.spec, occasion.state, occasion.now
    yield Check("paused", not (EVERYTHING in occasion.paused or message.name in occasion.paused))
    yield Check("expired", now < intent.due_ms + spec.expiry_ms)
    yield Check("stay", not spec.stay or message.stays(state, intent.sequence))
    yield Check("require", message.requires(state, now))
    yield Check("again", _may_come_again(message, occasion))
    yield Check("no_address", address_of(message, occasion) is not None)
    yield from contact_checks(message, state, now)
    yield _cap_check(message, occasion)
    yield _quiet_check(plan, message, occasion)
    yield _holdout_check(message, occasion)


def contact_checks(message: PlannedMessage, state: State, now: int) -> Iterator[Check]:
    """Whether the customer may be written to on the channel at all, and allows messages of the topic."""
    why = next((name for name, is_so in message.suppressed if is_so(state, now)), None)
    yield Check("suppressed", why is None, why)
    yield Check("no_consent", message.consent is None or message.consent(state, now), message.spec.topic)


def address_of(message: PlannedMessage, occasion: Occasion) -> str | None:
    """Where it is sent to; None where there is no such address."""
    value = occasion.customer if message.address is None else message.address(occasion.state, occasion.now)
    return as_address(value, message.spec.channel)


def _may_come_again(message: PlannedMessage, occasion: Occasion) -> bool:
    again_ms, newest_ms = message.spec.again_ms, occasion.held.newest_ms.get(message.number)
    if newest_ms is None or again_ms == AGAIN_ALWAYS:
        return True
    return again_ms != AGAIN_ONCE and newest_ms <= occasion.now - again_ms


def _cap_check(message: PlannedMessage, occasion: Occasion) -> Check:
    slots: list[CapSlot] = occasion.held.slots
    full = first_full(message.caps, slots, message.number, message.spec.channel, occasion.now) if slots else None
    return Check("cap", full is None, None if full is None else full.text)


def _quiet_check(plan: MessagePlan, message: PlannedMessage, occasion: Occasion) -> Check:
    quiet = message.spec.quiet
    until = None if quiet is None else quiet_until(quiet, occasion.now_utc, plan.plan.zone_of(occasion.state))
    if quiet is None or until is None:
        return Check("quiet", holds=True)
    return Check("quiet", holds=False, detail=quiet.text, until=until - occasion.state.origin_ms)


def _holdout_check(message: PlannedMessage, occasion: Occasion) -> Check:
    if is_held_out(EVERY_MESSAGE, occasion.customer, message.global_holdout_bp):
        return Check("holdout", holds=False, detail="global")
    if is_held_out(message.name, occasion.customer, message.spec.holdout_bp):
        return Check("holdout", holds=False, detail="message")
    return Check("holdout", holds=True)
