"""The step's part in learning: measure a customer, score them, and say as examples how they were and what became of them.

Everything here happens at scoring moments, which are of the log: an event of the customer, a rung of the ladder of their silence, the end
of an awaited example's window or horizon. Nothing measured after such a moment gets into what is said of it.

At an event the order is: what it means for awaited examples, then measuring (the event is remembered already), then scoring, then new
examples. The event that fulfils an example is therefore never part of its features.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from math import exp
from typing import cast

from streamer.customers.features import FEATURES, measure
from streamer.customers.model_data import CAME, DENIED, NOT_SERVED, OPEN, AwaitedExample, KeptScore, awaited_of, score_of
from streamer.customers.profile import AMOUNT_MAX, Profile, next_rung, profile_of
from streamer.customers.state import State
from streamer.events.event import Event
from streamer.examples import Example, ModelSpec
from streamer.learning.scorers.decode import Groups, Reason, Scorer
from streamer.segments.plan import model_memories, predicate_index
from streamer.segments.plan.plan import Plan
from streamer.segments.plan.turns import Turns
from streamer.segments.plan.where import EventFilter, amounts_at, is_activity, names_match
from streamer.units import DAY_MS

UNUSUAL_EVERY = 10  # activities; trees cost ten times what the other models do
PROFILE_EVERY_MS = DAY_MS  # a customer is said as they are at most so often
Say = Callable[[Example], None]


@dataclass(frozen=True, slots=True)
class ScoringMoment:
    """When and where something is measured or said."""

    now: int
    shard: int
    offset: int
    say: Say


@dataclass(slots=True)
class PlannedModel:
    """One model of the plan: its memories by number, and the scorer in force (None: not ready)."""

    spec: ModelSpec
    slot: int
    put: predicate_index.ApplyEvent
    segments: frozenset[int]
    excluded: int | None
    scorer: Scorer | None = None
    groups: Groups | None = None
    version: int = 0
    pending: int | None = None
    await_: predicate_index.ApplyEvent | None = None
    concerns: EventFilter = field(default=lambda event: False)
    amounts: Callable[[Event], int] = field(default=lambda event: 0)


class Scoring:
    """The models of one plan at work on one shard's customers. Outcomes are awaited for all, or only for those that ``awaits`` names."""

    def __init__(self, plan: Plan, scorers: Mapping[str, Scorer | Groups], awaits: Container[str] | None = None) -> None:
        self._plan = plan
        self._profile = plan.slots[model_memories.PROFILE_KEY]
        self._models = [self._model(spec, scorers.get(spec.name)) for spec in plan.definitions.models]
        self._ready = [model for model in self._models if model.scorer is not None or model.groups is not None]
        awaiting = [model for model in self._models if awaits is None or model.spec.name in awaits]
        self._awaiting = [model for model in awaiting if model.pending is not None]
        self._seeds = sorted({name for model in awaiting for name in (model.spec.seed, model.spec.exclude) if name})
        self._by_name = {model.spec.name: model for model in self._models}

    def _model(self, spec: ModelSpec, scorer: Scorer | Groups | None) -> PlannedModel:
        plan, key = self._plan, model_memories.score_key(spec.name)
        slot = plan.slots[key]
        segments = frozenset(number for predicate in plan.predicate_indexes[slot].predicates for number in predicate.segments)
        model = PlannedModel(spec, slot, plan.puts[key], segments, plan.numbers.get(spec.exclude))
        if spec.kind == "groups":
            model.groups = cast("Groups | None", scorer)
        else:
            model.scorer = cast("Scorer | None", scorer)
        model.version = scorer.version if scorer is not None else 0
        if spec.kind in model_memories.OUTCOMES:
            pending = model_memories.pending_key(spec)
            model.pending, model.await_ = plan.slots[pending], plan.puts[pending]
            model.concerns = names_match(spec.events)
            if spec.amount:
                model.amounts = amounts_at(spec.amount)
        return model

    # scoring moments

    def at_event(self, state: State, event: Event, t: int, moment: ScoringMoment, turns: Turns) -> None:
        """An accepted event, remembered already; adds to what it turned."""
        profile = self._profile_in(state)
        if profile is None or not is_activity(event.type, event.name):
            return
        for model in self._awaiting:
            awaited = _awaited_in(state, model)
            if awaited is not None:
                self._at_outcome(model, awaited, event, t, moment)
        x: tuple[float, ...] = ()
        if self._ready or self._wants(state, profile, moment.now):
            x = self._measured(state, profile, moment.now)
        if self._ready:
            self._score(state, profile, x, moment.now, turns)
        if x:
            self._begin_examples(state, profile, x, moment, turns)

    def at_moment(self, state: State, moment: ScoringMoment) -> set[int]:
        """Time alone has come to a moment of the customer's; return the segments to judge for its sake."""
        turns = Turns()
        for model in self._awaiting:
            awaited = _awaited_in(state, model)
            if awaited is not None and awaited.looked_at_ms(model.spec) == moment.now:
                self._at_end(model, state, awaited, moment)
        profile = self._profile_in(state)
        if self._ready and profile is not None and next_rung(profile, moment.now - 1) == moment.now:
            self._score(state, profile, self._measured(state, profile, moment.now), moment.now, turns)
        return turns.dirty

    def drop_overdue(self, state: State, now: int) -> None:
        """Forget the examples whose end has passed unseen, as it does for a customer who is set aside: nothing is learned from those."""
        for model in self._awaiting:
            awaited = _awaited_in(state, model)
            if awaited is not None and awaited.looked_at_ms(model.spec) <= now:
                del state.slots[model.pending]  # type: ignore[arg-type] - it has data

    def _profile_in(self, state: State) -> Profile | None:
        """The profile of a customer. What is changed in it is changed in the state."""
        data = state.slots.get(self._profile)
        if data is None:
            return None
        profile = state.slots[self._profile] = profile_of(data)
        return profile

    def _measured(self, state: State, profile: Profile, now: int) -> tuple[float, ...]:
        return measure(profile, now, self._plan.zone_of(state))

    def _score(self, state: State, profile: Profile, x: tuple[float, ...], now: int, turns: Turns) -> None:
        for model in self._ready:
            before = _score_in(state, model)
            if before is not None and before.version == model.version and not self._is_time_for(model, profile, now):
                continue
            if before is None:  # not ready until now: whoever asks must be judged, whatever it says
                turns.dirty |= model.segments
            groups, scorer = model.groups, model.scorer
            if groups is not None:
                number = groups.assign(x, None if before is None else before.share)
                _put(model.put, state, KeptScore(groups.names[number], number, groups.version), now, turns)
            elif scorer is not None:
                score = 0 if model.spec.seed and self._is_inside(state, model.spec.seed) else scorer.score(x)  # the seed is not like itself
                _put(model.put, state, KeptScore(score, scorer.percentile(score), scorer.version), now, turns)

    @staticmethod
    def _is_time_for(model: PlannedModel, profile: Profile, now: int) -> bool:
        """The dear ones are asked less often: groups once a day, what is unusual each tenth activity of a visit and when silent."""
        match model.spec.kind:
            case "groups":
                return now >= profile.said_ms + PROFILE_EVERY_MS
            case "unusual":
                return profile.session_events % UNUSUAL_EVERY == 1 or now > profile.last_ms
            case _:
                return True

    def in_words(self, state: State, model: str, now: int) -> list[str]:
        """What moved a model's answer most, for a customer as they are; empty when it has nothing to give."""
        found, profile, kept = self._by_name[model], self._profile_in(state), _score_in(state, self._by_name[model])
        if found.groups is not None and kept is not None:
            return found.groups.describe(kept.share)
        if found.scorer is None or profile is None:
            return []
        return [_said(reason) for reason in found.scorer.reasons(self._measured(state, profile, now))]

    # examples

    def _wants(self, state: State, profile: Profile, now: int) -> bool:
        """Whether an example could begin now."""
        return now >= profile.said_ms + PROFILE_EVERY_MS or any(model.pending not in state.slots for model in self._awaiting)

    def _is_left_out(self, model: PlannedModel, state: State) -> bool:
        return model.excluded is not None and state.is_inside(model.excluded)

    def _begin_examples(self, state: State, profile: Profile, x: tuple[float, ...], moment: ScoringMoment, turns: Turns) -> None:
        for model in self._awaiting:
            if model.await_ is not None and model.pending not in state.slots and not self._is_left_out(model, state):
                served, version = _served_in(state, model)
                awaited = AwaitedExample(moment.now, served, version, OPEN, 0, [round(number * 1_000) for number in x])
                _put(model.await_, state, awaited, moment.now, turns)
        if moment.now >= profile.said_ms + PROFILE_EVERY_MS:
            profile.said_ms = moment.now
            seeds = tuple(name for name in self._seeds if self._is_inside(state, name))
            moment.say(self._example("profile", moment, t_ms=moment.now, x=x, seeds=seeds))

    def _is_inside(self, state: State, name: str) -> bool:
        return state.is_inside(self._plan.numbers[name])

    def _at_outcome(self, model: PlannedModel, awaited: AwaitedExample, event: Event, t: int, moment: ScoringMoment) -> None:
        """An event while an example is awaited: it may be what the model waits for, or (churn) what it waits to miss."""
        if not awaited.at_ms < t <= awaited.at_ms + model.spec.horizon_ms or not model.concerns(event):
            return
        awaited.amount = max(-AMOUNT_MAX, min(AMOUNT_MAX, awaited.amount + model.amounts(event)))
        if awaited.stage == CAME:
            return
        awaited.stage = CAME
        if model.spec.kind != "value":  # what was spent is known only at the end
            self._say_train(model, awaited, moment)

    def _at_end(self, model: PlannedModel, state: State, awaited: AwaitedExample, moment: ScoringMoment) -> None:
        """The end of the short window, or of the horizon."""
        if self._is_left_out(model, state):
            del state.slots[model.pending]  # type: ignore[arg-type] - it has data
            return
        if moment.now < awaited.at_ms + model.spec.horizon_ms:
            awaited.stage = DENIED
            self._say_train(model, awaited, moment)
            return
        if model.spec.kind == "value" or awaited.stage == OPEN:  # nobody was told yet
            self._say_train(model, awaited, moment)
        moment.say(self._outcome("mature", model, awaited, moment))
        del state.slots[model.pending]  # type: ignore[arg-type] - it has data

    def _say_train(self, model: PlannedModel, awaited: AwaitedExample, moment: ScoringMoment) -> None:
        moment.say(self._outcome("train", model, awaited, moment))

    def _outcome(self, kind: str, model: PlannedModel, awaited: AwaitedExample, moment: ScoringMoment) -> Example:
        came = awaited.stage == CAME
        return self._example(
            kind,
            moment,
            t_ms=awaited.at_ms,
            x=tuple([number / 1_000 for number in awaited.features]),
            model=model.spec.name,
            label=int(came != (model.spec.kind == "churn")),
            amount=awaited.amount,
            score=awaited.served if awaited.served != NOT_SERVED else None,
            version=awaited.version,
        )

    @staticmethod
    def _example(kind: str, moment: ScoringMoment, **fields: object) -> Example:
        """``ordinal`` is filled in by whoever says it."""
        return Example(kind, moment.shard, moment.offset, 0, moment.now, features=FEATURES.version, **fields)  # type: ignore[arg-type]


def _put(put: predicate_index.ApplyEvent, state: State, what: KeptScore | AwaitedExample, now: int, turns: Turns) -> None:
    """Put something into a memory of a model; memories go by the customer's own clock."""
    at_ms = now - state.origin_ms
    put(state, what, at_ms, at_ms, turns)


def _awaited_in(state: State, model: PlannedModel) -> AwaitedExample | None:
    """The example that is awaited for a customer. What is changed in it is changed in the state."""
    data = state.slots.get(model.pending) if model.pending is not None else None
    if data is None or model.pending is None:
        return None
    awaited = state.slots[model.pending] = awaited_of(data)
    return awaited


def _score_in(state: State, model: PlannedModel) -> KeptScore | None:
    data = state.slots.get(model.slot)
    return score_of(data) if data is not None else None


def _served_in(state: State, model: PlannedModel) -> tuple[int, int]:
    """The score that a customer has, and the version that gave it."""
    kept = _score_in(state, model)
    return (kept.value, kept.version) if kept is not None and isinstance(kept.value, int) else (NOT_SERVED, 0)


def _said(reason: Reason) -> str:
    """``an open cart: 1 (×7.39)``: the words, the value, and by what factor it moves the odds, or the amount."""
    return f"{reason.words}: {reason.value:g} (×{exp(reason.effect):.3g})"
