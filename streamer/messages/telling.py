"""From what was decided to the record that says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec.structs import replace

from streamer.customers.message_state import Intent
from streamer.language.message_specs import Goal
from streamer.segments.change import ChangePosition
from streamer.values import Json, time_text

from .arms import EVERY_MESSAGE, decision_key, is_held_out, variant_of
from .checks import Occasion, Ruling, address_of
from .decision import TYPES, Arm, DecisionGoal, MessageDecision, MessageDecisionData, MessageDecisionTrigger
from .planned import MessagePlan, PlannedMessage

LANGUAGE_CHARS_MAX: Final = 35  # RFC 5646: as long as a tag need be


class Told(NamedTuple):
    """Who says it, under which version of the definitions, and where in the story."""

    source: str
    definitions: int
    position: ChangePosition


def tell(plan: MessagePlan, occasion: Occasion, intent: Intent, verdict: Ruling, told: Told) -> MessageDecision:
    """The record of a decision. The intent is named by ``plan``."""
    message = plan.find(intent.message)
    data = _bare(plan, occasion, intent, verdict, told)
    if message is not None:
        data = _filled(data, message, occasion, intent)
        if verdict.outcome == "send":
            data = _filled_to_send(data, message, occasion)
    position = told.position
    id_ = f"{position.generation}-{position.shard}-{position.offset}-{position.ordinal}"
    return MessageDecision(id_, told.source, TYPES[verdict.outcome], occasion.customer, data.at, data, "1.0")


def _bare(plan: MessagePlan, occasion: Occasion, intent: Intent, verdict: Ruling, told: Told) -> MessageDecisionData:
    """What is known of an intent whatever the definitions say."""
    message = plan.find(intent.message)
    name = str(intent.message) if message is None else message.name
    due = _text(intent.due_ms, occasion)
    return MessageDecisionData(
        message=name,
        key=decision_key(name, occasion.customer, intent.sequence).hex(),
        definitions=told.definitions,
        at=_text(occasion.now, occasion),
        kind=None,
        channel=None,
        topic=None,
        trigger=MessageDecisionTrigger(None, intent.sequence, _text(intent.at_ms, occasion)),
        due=due,
        valid_until=due,
        reason=verdict.reason,
        detail=verdict.detail,
        until=None if verdict.until is None else _text(verdict.until, occasion),
        arm=None,
        variant=None,
        template=None,
        address=None,
        language=None,
        zone=plan.plan.zone_of(occasion.state).key,
        facts={},
        goal=None,
        position=told.position,
    )


def _filled(data: MessageDecisionData, message: PlannedMessage, occasion: Occasion, intent: Intent) -> MessageDecisionData:
    """With what the definitions say of the message."""
    spec = message.spec
    return replace(
        data,
        kind=spec.kind,
        channel=spec.channel,
        topic=spec.topic,
        template=spec.template,
        trigger=replace(data.trigger, on=message.on),
        valid_until=_text(intent.due_ms + spec.expiry_ms, occasion),
        arm=_arm(message, occasion.customer),
        variant=variant_of(spec.name, occasion.customer, spec.variants),
        goal=None if spec.goal is None else _goal(spec.goal),
    )


def _filled_to_send(data: MessageDecisionData, message: PlannedMessage, occasion: Occasion) -> MessageDecisionData:
    """With what rendering and sending need of the customer."""
    said: Iterator[Json] = (read(occasion.state, occasion.now) for read in message.language)
    language = next((value[:LANGUAGE_CHARS_MAX] for value in said if type(value) is str and value), None)
    return replace(data, address=address_of(message, occasion), language=language, facts=message.facts(occasion.state, occasion.now))


def _text(own_ms: int, occasion: Occasion) -> str:
    return time_text(own_ms + occasion.state.origin_ms)


def _arm(message: PlannedMessage, customer: str) -> Arm:
    held_out = is_held_out(EVERY_MESSAGE, customer, message.global_holdout_bp) or is_held_out(
        message.name, customer, message.spec.holdout_bp
    )
    return "held_out" if held_out else "treated"


def _goal(goal: Goal) -> DecisionGoal:
    return DecisionGoal(goal.event, goal.within_ms, ".".join(goal.value) or None)
