"""What a message would be for a customer now, whether or not it would be sent: for a look at it, or a test send."""

from __future__ import annotations

from typing import Final

import msgspec

from streamer.customers.message_state import Intent
from streamer.customers.state import State
from streamer.errors import SettingsError
from streamer.flow.committed import CommittedCustomers
from streamer.message_links import LinkKeys
from streamer.messages.checks import Occasion, Ruling
from streamer.messages.decision import encode_decision
from streamer.messages.planned import MessagePlan
from streamer.messages.telling import Told, tell
from streamer.segments.change import ChangePosition
from streamer.suggest import did_you_mean

from .content import MessageContent
from .decision import SendDecision, read_decision
from .templates.folder import TemplateError, Templates
from .templates.rendering import render

NO_CHANGE: Final = 1 << 62


def decision_now(plan: MessagePlan, message: str, customer: str, state: State, now_ms: int, position: ChangePosition) -> SendDecision:
    """A decision to send a message at ``now_ms`` (UTC), with the address and the facts that the customer has. SettingsError where there is
    no such message. Its key is that of no real one: nobody changes so often."""
    number = plan.numbers.get(message)
    if number is None:
        close = did_you_mean(message, plan.numbers)
        raise SettingsError(f"there is no message {message!r}{f' ({close})' if close else ''}")
    now = now_ms - state.origin_ms
    occasion = Occasion(customer, state, now, ())
    told = tell(plan, occasion, Intent(number, NO_CHANGE, now, now, now), Ruling("send"), Told("/streamer/preview", 0, position))
    found = read_decision(encode_decision(told))
    assert found is not None
    return found


async def decision_of(committed: CommittedCustomers, message: str, customer: str, generation: int) -> SendDecision:
    """A decision to send a message to a customer at the log time of their shard; ``generation`` is that of the log. SettingsError where
    there is no such message, or nothing is known of them. Raises what reading the store may."""
    found = await committed.look_up(customer)
    if found.state is None:
        raise SettingsError(f"nothing is known of the customer {customer!r}")
    plan = MessagePlan(await committed.plan_of(found))
    position = ChangePosition(generation, found.view.shard, found.view.position.offset, 0)
    return decision_now(plan, message, found.customer, found.state, found.view.log_time_ms, position)


def content_now(decision: SendDecision, templates: Templates, language: str | None) -> tuple[SendDecision, MessageContent]:
    """The message as it would leave now, and its decision: in ``language``, or in the customer's. Links in it are not signed, as they
    would count for the customer. SettingsError where its template cannot be used."""
    if language is not None:
        decision = msgspec.structs.replace(decision, data=msgspec.structs.replace(decision.data, language=language))
    try:
        return decision, render(decision, templates, LinkKeys({}, ""))
    except TemplateError as error:
        raise SettingsError(str(error)) from None
