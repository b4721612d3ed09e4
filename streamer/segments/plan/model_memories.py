"""What models add to a plan: the profile they measure, the scores that rules read, the examples whose outcome is awaited.

A score is what a model said at the last scoring moment: each event of the customer, and a ladder of moments of their silence. Between
those it stands still, so a rule over it is as exact as any other. Before a model is ready there is nothing to read, and a segment that
asks it is not evaluated at all: nobody enters it and nobody leaves it for want of knowledge.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Final, assert_never

import msgspec

from streamer.customers.memories import Data
from streamer.customers.model_data import awaited_of, score_of
from streamer.customers.profile import next_rung
from streamer.customers.state import NO_TIMER, State
from streamer.examples import ModelSpec
from streamer.language import tree
from streamer.language.references import nodes, references
from streamer.language.segment_specs import Segment
from streamer.language.tree import AnyNode, Atom
from streamer.values import Json

from .predicates.numbers import show_scaled
from .predicates.predicate import Predicate, ValueExpression, never
from .single_pass import Due

OUTCOMES: Final = ("purchase", "churn", "value")  # kinds whose examples wait for what becomes of the customer
PROFILE_KEY: Final = "profile"


def score_key(model: str) -> str:
    """The memory of a model's score."""
    return f"score {model}"


def pending_key(spec: ModelSpec) -> str:
    """The memory of a model's awaited example: another question is another memory."""
    return f"pending {msgspec.json.encode(spec).decode()}"


def memories_of(spec: ModelSpec) -> tuple[str, ...]:
    """The keys of the memories that are of one model alone."""
    return (score_key(spec.name), pending_key(spec)) if spec.kind in OUTCOMES else (score_key(spec.name),)


def unscored_slots(models: tuple[ModelSpec, ...], slots: dict[str, int], in_force: Container[str]) -> tuple[int, ...]:
    """The memories of scores that nothing vouches for: the model has no scorer, or none any more."""
    return tuple(slots[score_key(spec.name)] for spec in models if spec.name not in in_force)


def drop_scores(state: State, unscored: tuple[int, ...]) -> None:
    """Let go of such scores. Done whenever a state is read, so a withdrawn model is silent everywhere at once."""
    for slot in unscored:
        if slot in state.slots:
            del state.slots[slot]
            state.truth_bits.pop(slot, None)


def timer_predicates(models: tuple[ModelSpec, ...], slots: dict[str, int]) -> Iterator[Predicate]:
    """Predicates that hold of nobody and stand in no segment: they only set timers for when a model has something to do."""
    if not models:
        return
    yield _timer_predicate(PROFILE_KEY, slots[PROFILE_KEY], _due_of_silence)
    for spec in models:
        if spec.kind in OUTCOMES:
            yield _timer_predicate(pending_key(spec), slots[pending_key(spec)], _due_of(spec))


def _due_of_silence(data: Data, now: int, state: State) -> int:
    due_ms = next_rung(data, now + state.origin_ms)
    return due_ms - state.origin_ms if due_ms < NO_TIMER else NO_TIMER


def _due_of(spec: ModelSpec) -> Due:
    def due(data: Data, now: int, state: State) -> int:
        if data is None:
            return NO_TIMER
        moment = awaited_of(data).looked_at_ms(spec) - state.origin_ms
        return moment if moment > now else NO_TIMER

    return due


def _timer_predicate(text: str, slot: int, due: Due) -> Predicate:
    return Predicate(text, never, due, slots=(slot,))


def score_expression() -> ValueExpression:
    """The score, in ten-thousandths; missing while the model is not ready."""
    return ValueExpression(lambda data, now, state: score_of(data).value if data is not None else None, span_ms=0, show=show_scaled)


def percentile_expression() -> ValueExpression:
    """The share of recent customers at or below the score, in ten-thousandths."""
    return ValueExpression(lambda data, now, state: score_of(data).share if data is not None else None, span_ms=0, show=show_scaled)


def group_expression() -> ValueExpression:
    """The name of the group."""
    return ValueExpression(_name, span_ms=0)


def _name(data: Data, _now: int, _state: State) -> Json:
    return score_of(data).value if data is not None else None


def models_asked(conditions: Iterable[AnyNode]) -> set[str]:
    """The models that conditions ask."""
    return {model for condition in conditions for node in nodes(condition) if (model := model_of(node)) is not None}


def with_all_asked(
    segments: Iterable[str], models: Iterable[str], by_name: Mapping[str, Segment], specs: Iterable[ModelSpec]
) -> tuple[set[str], set[str]]:
    """The names of these segments and models, and of all segments and models that they refer to by any way."""
    by_model = {spec.name: spec for spec in specs}
    found, asked, todo, to_ask = set[str](), set[str](), list(segments), list(models)
    while todo or to_ask:
        if to_ask and (model := to_ask.pop()) not in asked:
            asked.add(model)
            todo += [name for name in (by_model[model].seed, by_model[model].exclude) if name]
        if todo and (name := todo.pop()) not in found:
            found.add(name)
            todo += references(by_name[name].conditions)
            to_ask += models_asked(by_name[name].conditions)
    return found, asked


def model_asked(atom: Atom) -> str | None:
    """The model on whose answer an atom of a condition stands; None for others."""
    match atom:
        case tree.Compare(left=of) | tree.OneOf(left=of) | tree.Exists(of=of) | tree.Contains(of=of) | tree.StartsWith(of=of):
            return model_of(of)
        case tree.CompareDuration() | tree.CompareTime() | tree.Birthday() | tree.Did() | tree.Sequence() | tree.InSegment():
            return None  # no time, duration or event is of a model
        case _:
            assert_never(atom)


def model_of(node: AnyNode) -> str | None:
    """The model that a node of a tree asks; None for others."""
    return node.model if isinstance(node, (tree.Score, tree.Percentile, tree.Group)) else None
