"""What a template is told of the customer: named facts, read at the instant of the decision, within a bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from streamer.customers.state import State
from streamer.language.message_specs import FACTS_BYTES_MAX, CartFact, MessageFact
from streamer.segments.change import encode_json
from streamer.segments.plan.plan import Plan
from streamer.segments.plan.plan_expressions import ShownValue
from streamer.values import TEXT_KEPT, Json

ReadFacts = Callable[[State, int], dict[str, Json]]


def facts_of(facts: Sequence[MessageFact], plan: Plan) -> ReadFacts:
    """A function that reads them."""
    readers = [(fact.name, plan.cart(fact) if isinstance(fact, CartFact) else _whole(plan.shown(fact.expression))) for fact in facts]
    return lambda state, now: bounded({name: read(state, now) for name, read in readers})


def _whole(read: ShownValue) -> ShownValue:
    """The same, but nothing where a text is so long that only its beginning is remembered: half of an address is none."""

    def whole(state: State, now: int) -> Json:
        value = read(state, now)
        return None if type(value) is str and len(value) >= TEXT_KEPT else value

    return whole


def bounded(facts: dict[str, Json]) -> dict[str, Json]:
    """The same in ``FACTS_BYTES_MAX`` bytes of JSON: the last items of the longest list go first, then the longest value becomes null."""
    while len(encode_json(facts)) > FACTS_BYTES_MAX:
        longest = max(facts, key=lambda name: (bool(_items(facts[name])), len(encode_json(facts[name])), name))
        items = _items(facts[longest])
        facts[longest] = items[:-1] if items else None
    return facts


def _items(value: Json) -> list[Json]:
    return cast("list[Json]", value) if isinstance(value, list) else []
