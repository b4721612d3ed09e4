"""What a message would be for a customer now, whether or not it would be sent: for a look at it, or a test send."""

from __future__ import annotations

from typing import Final

from streamer.customers.message_state import Intent
from streamer.customers.state import State
from streamer.errors import SettingsError
from streamer.messages.checks import Occasion, Ruling
from streamer.messages.decision import encode_decision
from streamer.messages.planned import MessagePlan
from streamer.messages.telling import Told, tell
from streamer.segments.change import ChangePosition
from streamer.suggest import did_you_mean

from .decision import SendDecision, read_decision

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
