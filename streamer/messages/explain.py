"""What a message would say to one customer and why not: every test with its value, and when it is sent if nothing happens."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from streamer.customers.message_state import Intent
from streamer.customers.state import NO_TIMER, State, decode_state, encode_state
from streamer.language.durations import format_duration
from streamer.segments.change import Clause, clauses_of
from streamer.segments.evaluate import evaluate_at_timer
from streamer.values import time_text
from streamer.zones import local

from .checks import Check, Occasion, address_of, checks
from .decision import DecisionOutcome, DecisionReason
from .intents import begin, decide, due, next_due
from .planned import MessagePlan, PlannedMessage

MOMENTS_MAX: Final = 2_000  # looked at ahead


class ExplainedCheck(msgspec.Struct, omit_defaults=True):
    """One test: the reason that it would give, whether it holds, and what it looked at. ``clauses``: of a condition, its parts."""

    reason: DecisionReason
    holds: bool
    value: list[str] | str | None = None
    clauses: list[Clause] = []


class NextDecision(msgspec.Struct, omit_defaults=True):
    """What would be decided if nothing happens, and when."""

    at: str
    outcome: DecisionOutcome
    reason: DecisionReason | None = None
    detail: str | None = None


class MessageExplanation(msgspec.Struct, omit_defaults=True):
    """One customer and one message.

    ``begun_at`` and ``due``: of the intent that waits; None where none does, and the tests are those of one that would begin and be
    decided now, which has nothing to stay in. ``ahead``: what is decided of it if nothing happens, up to the first that is no hold; empty:
    nothing, as far as was looked.
    """

    message: str
    purpose: str
    on: str
    channel: str
    begun_at: str | None
    due: str | None
    checks: list[ExplainedCheck]
    ahead: list[NextDecision]


def explain_message(
    plan: MessagePlan, customer: str, state: State, message: PlannedMessage, now_ms: int, paused: Collection[str]
) -> MessageExplanation:
    """How it stands at ``now_ms`` (UTC, not before the state's last event). ``state`` is not changed."""
    settled = decode_state(encode_state(state))
    now = now_ms - state.origin_ms
    plan.plan.settle(settled, now)
    occasion = Occasion(customer, settled, now, paused)
    waiting = sorted((one for one in occasion.held.intents if one.message == message.number), key=lambda one: one.next_ms)
    intent = waiting[0] if waiting else _as_if_begun(message, settled, now)
    return MessageExplanation(
        message.name,
        message.spec.purpose,
        message.on,
        message.spec.channel,
        time_text(intent.at_ms + state.origin_ms) if waiting else None,
        time_text(intent.next_ms + state.origin_ms) if waiting else None,
        [
            _explained(plan, message, check, intent, occasion)
            for check in checks(plan, message, intent, occasion)
            if waiting or check.reason != "stay"
        ],
        list(_ahead(plan, message, occasion)),
    )


def _as_if_begun(message: PlannedMessage, state: State, now: int) -> Intent:
    entry = state.members.get(message.rule)
    return Intent(message.number, entry.changes if entry is not None else 0, now, now, now)


def _explained(plan: MessagePlan, message: PlannedMessage, check: Check, intent: Intent, occasion: Occasion) -> ExplainedCheck:
    condition = message.spec.require if check.reason == "require" else None
    found = [] if condition is None else clauses_of(plan.plan, condition, occasion.state, occasion.now)
    return ExplainedCheck(check.reason, check.holds, _value(plan, message, check, intent, occasion), found)


def _value(plan: MessagePlan, message: PlannedMessage, check: Check, intent: Intent, occasion: Occasion) -> list[str] | str | None:
    """What a test looked at, as a reader sees it."""
    spec, state, now = message.spec, occasion.state, occasion.now
    match check.reason:
        case "expired":
            return time_text(intent.due_ms + spec.expiry_ms + state.origin_ms)
        case "stay":
            entry = state.members.get(message.rule)
            return f"change {intent.sequence}, the newest is {entry.changes if entry is not None else 0}" if spec.stay else "not asked for"
        case "again":
            newest_ms = occasion.held.newest_ms.get(message.number)
            return None if newest_ms is None else f"last {format_duration(now - newest_ms)} ago" if now > newest_ms else "just now"
        case "no_address":
            return address_of(message, occasion)
        case "cap":
            slots, channel = occasion.held.slots, spec.channel
            return [f"{cap.text}: {cap.taken(slots, message.number, channel, now)} taken" for cap in message.caps]
        case "quiet":
            zone = plan.plan.zone_of(state)
            clock = f"{local(occasion.now_utc, zone):%H:%M} in {zone.key}"
            return clock if spec.quiet is None else f"{clock}, quiet {spec.quiet.text}"
        case "no_consent":
            return None if spec.topic is None else f"{spec.topic}, {plan.plan.definitions.topics[spec.topic]}"
        case "paused" | "withdrawn" | "require" | "erased" | "merged" | "suppressed" | "holdout":
            return check.detail


def _ahead(plan: MessagePlan, message: PlannedMessage, occasion: Occasion) -> Iterator[NextDecision]:
    """What is decided of the message, ahead of its time: the same judgement and the same tests, over a copy."""
    state, moment = occasion.state, occasion.now
    state.timer_ms = min(plan.plan.next_due(state, moment), next_due(state))
    for _ in range(MOMENTS_MAX):
        moment = state.timer_ms
        if moment >= NO_TIMER:
            return
        begin(plan, state, evaluate_at_timer(plan.plan, state, moment), moment, "timer")
        for intent in due(state, moment):
            then = occasion._replace(now=moment)
            ruling = decide(plan, intent, then)
            if intent.message == message.number:
                yield NextDecision(time_text(then.now_utc), ruling.outcome, ruling.reason, ruling.detail)
                if ruling.outcome != "hold":
                    return
        state.timer_ms = min(state.timer_ms, next_due(state))
