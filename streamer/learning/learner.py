"""All models of a deployment, learning from one ordered stream of examples.

The stream's order is that of ``merge_key``: by minute of log time. When the first example of a later minute comes, the minute before is
complete, and that is the only moment at which anything is published: how examples were fetched cannot be told from what is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NotRequired, TypedDict, assert_never, cast
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from streamer.errors import HaltError
from streamer.examples import MARK_MS, Example, FeatureList, ModelSpec
from streamer.learning.models.propensity import PropensityTrainer, TrainingLimits
from streamer.learning.models.trainer import Trainer, TrainerClass
from streamer.learning.reports.model_card import Card
from streamer.learning.reports.outputs import Alert, LearnerOutput, ModelPublished, ModelWithdrawn
from streamer.learning.scorers.contract import canonical
from streamer.learning.snapshot import SCHEMA, decode_state, encode_state
from streamer.zones import PINNED

if TYPE_CHECKING:
    from streamer.learning.models.size_anomaly import Surges, SurgesState

RIVER: Final = version("river")  # written into snapshots for whoever has to read an old one


class PinnedVersion(msgspec.Struct):
    """A model kept at a version by hand (0: to be let go at the next mark), and what was held back since: the newest scorer, or that none
    serves any more."""

    version: int
    held: ModelPublished | None = None
    withdrawn: ModelWithdrawn | None = None


class History(msgspec.Struct, frozen=True):
    """Of which time a model has learned: since the moment at which its first customer was measured, and of what lies before ``joined_ms``
    afterwards, from the log (0: of nothing)."""

    from_ms: int
    joined_ms: int = 0


class LearnerState(TypedDict):
    """What ``Learner.dump`` gives, as JSON; ``river`` is the version that wrote it."""

    schema: int
    river: str
    features: int
    minute: int
    specs: list[object]
    trainers: dict[str, Mapping[str, object]]
    surges: SurgesState
    pins: dict[str, object]
    versions: NotRequired[tuple[dict[str, int], dict[str, int]]]
    histories: NotRequired[dict[str, object]]


HOMES: Final = {  # where each kind's trainer lives; read when a definitions file first asks for one
    "purchase": ("propensity", "PropensityTrainer"),
    "churn": ("propensity", "PropensityTrainer"),
    "value": ("value", "ValueTrainer"),
    "groups": ("groups", "GroupsTrainer"),
    "lookalike": ("lookalike", "LookalikeTrainer"),
    "unusual": ("unusual", "UnusualTrainer"),
}


class Learner:
    """The trainers of all models of one definitions file, and the watch over sizes of segments.

    ``zone`` is the shop's time zone, by the zone data of the definitions: a surge is told from what is usual in an hour of its week.
    ``left_out`` names for each lookalike the features that are measured from what its seed is defined by.
    """

    def __init__(
        self,
        specs: Sequence[ModelSpec],
        features: FeatureList,
        limits: TrainingLimits | None = None,
        zone: ZoneInfo = PINNED.utc,
        left_out: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._left_out = left_out or {}
        self.features = features
        self.limits = limits or TrainingLimits()
        self.trainers: dict[str, Trainer] = {}
        for spec in specs:
            self.trainers[spec.name] = _home(spec.kind)(spec, features, **self._extra(spec))
        self._surges = _surges()(zone)
        self._minute = -1  # of log time, the newest begun
        self._pins: dict[str, PinnedVersion] = {}
        self._bases: dict[str, int] = {}  # what a trainer's own versions are counted on from: it is not the first of its name
        self._histories: dict[str, History] = {}
        self._newest: dict[str, int] = {}  # version of every model there ever was: two scorers never have the same name

    def _extra(self, spec: ModelSpec) -> dict[str, object]:
        if spec.kind == "lookalike":
            return {"left_out": self._left_out.get(spec.name, ())}
        return {"limits": self.limits} if spec.kind in ("purchase", "churn", "value") else {}

    def take(self, example: Example, without: Collection[str] = ()) -> list[LearnerOutput]:
        """One example, in the order of ``merge_key``, for all models but those ``without``. What is said is a function of the examples so
        far."""
        said = self._come_to(example.at_ms // MARK_MS)
        if example.kind == "mark":
            said += self._surges.take(example)
        for trainer in self._concerned(example):
            if trainer.spec.name not in without:
                said += self._teach(trainer, example)
        return said

    def take_past(self, example: Example, models: Collection[str]) -> list[LearnerOutput]:
        """One example of the past of these models, for them alone."""
        said = self._come_to(example.at_ms // MARK_MS)
        for trainer in self._concerned(example):
            if trainer.spec.name in models:
                said += self._teach(trainer, example)
        return said

    def _come_to(self, minute: int) -> list[LearnerOutput]:
        """A minute of log time has begun, perhaps: the one before is complete then."""
        if minute <= self._minute:
            return []
        said = self._at_mark(minute * MARK_MS) if self._minute >= 0 else []
        self._minute = minute
        return said

    def _concerned(self, example: Example) -> Iterable[Trainer]:
        """Whom an example may be for."""
        match example.kind:
            case "mark":
                return [trainer for trainer in self.trainers.values() if trainer.spec.kind == "lookalike"]  # how large is its seed?
            case "profile":
                return self.trainers.values()
            case "train" | "mature":
                trainer = self.trainers.get(example.model)  # None: of definitions that are gone
                return () if trainer is None else (trainer,)
            case "switch":
                return ()
            case _:
                assert_never(example.kind)

    def _teach(self, trainer: Trainer, example: Example) -> list[LearnerOutput]:
        if example.kind != "mark":
            self._histories.setdefault(trainer.spec.name, History(example.t_ms))
        return trainer.take(example)

    def join(self, past: Learner, at_ms: int) -> list[LearnerOutput]:
        """The models of a learner that has learned their past up to a moment go on here, from that moment on. It must not be used again."""
        minute = at_ms // MARK_MS
        said = self._come_to(minute) if self._minute >= 0 else []
        said += past._come_to(minute) if past._minute >= 0 else []
        self._minute = max(self._minute, past._minute)
        for name, trainer in past.trainers.items():
            self.trainers[name] = trainer
            if (history := past._histories.get(name)) is not None:
                self._histories[name] = replace(history, joined_ms=at_ms)
        for name in past._newest.keys() & past.trainers.keys():
            self._newest[name] = past._newest[name]
        self._pins |= {name: pin for name, pin in past._pins.items() if name in past.trainers}
        return said

    def _at_mark(self, at_ms: int) -> list[LearnerOutput]:
        said: list[LearnerOutput] = list(self._surges.on_watermark(at_ms))
        for name, trainer in self.trainers.items():
            pin = self._pins.get(name)
            for one in map(self._numbered, trainer.on_watermark(at_ms)):
                if pin is not None and isinstance(one, ModelPublished):
                    pin.held, pin.withdrawn = one, None
                elif pin is not None and isinstance(one, ModelWithdrawn):
                    pin.held, pin.withdrawn = None, one
                else:
                    said.append(one)
        for name, pin in sorted(self._pins.items()):
            if pin.version == 0:
                del self._pins[name]
                said += [one for one in (pin.held, pin.withdrawn) if one is not None]
        return said

    def _numbered(self, one: LearnerOutput) -> LearnerOutput:
        """Count a version on from those of the former trainers of its name, in the scorer's bytes too."""
        if isinstance(one, Alert):
            return one
        base = self._bases.get(one.model, 0)
        self._newest[one.model] = version = base + one.version
        if isinstance(one, ModelWithdrawn):
            return replace(one, version=version)
        scorer = canonical({**msgspec.json.decode(one.scorer), "version": version}) if base else one.scorer
        return replace(one, version=version, scorer=scorer, card=self._card(one.card))

    def _card(self, card: Card) -> Card:
        base, history = self._bases.get(card.model, 0), self._histories.get(card.model)
        if history is not None:
            card = replace(card, from_ms=history.from_ms, joined_ms=history.joined_ms)
        return replace(card, version=base + card.version) if base and card.version else card

    def pin(self, model: str, version: int) -> None:
        """Keep a model at a version: nothing is published for it until ``unpin``. Learning goes on. KeyError for an unknown model."""
        card, before = self._card(self.trainers[model].card()), self._pins.get(model, PinnedVersion(0))
        if model not in self._pins and card.version and card.state == "not ready":
            before.withdrawn = ModelWithdrawn(model, card.version, max(0, self._minute) * MARK_MS, card.why)
        self._pins[model] = PinnedVersion(version, before.held, before.withdrawn)

    def unpin(self, model: str) -> None:
        """Publish again: at the next mark what was held back, then as usual."""
        if model in self._pins:
            self._pins[model].version = 0

    def accept(self, model: str) -> None:
        """The next scorer of this model need not be like the one before: somebody has looked at why it was refused."""
        trainer = self.trainers[model]
        if isinstance(trainer, PropensityTrainer):
            trainer.accept()

    @property
    def pins(self) -> dict[str, int]:
        """Versions at which models are kept by hand."""
        return {name: pin.version for name, pin in self._pins.items() if pin.version}

    def cards(self) -> dict[str, Card]:
        """How good each model is, by name."""
        return {name: self._card(trainer.card()) for name, trainer in self.trainers.items()}

    def dump(self) -> bytes:
        """The whole learner, canonical JSON."""
        state: LearnerState = {
            "schema": SCHEMA,
            "river": RIVER,
            "features": self.features.version,
            "minute": self._minute,
            "specs": [msgspec.to_builtins(trainer.spec) for trainer in self.trainers.values()],
            "trainers": {name: trainer.dump() for name, trainer in self.trainers.items()},
            "surges": self._surges.dump(),
            "pins": {name: msgspec.to_builtins(pin) for name, pin in self._pins.items()},
            "versions": (self._bases, self._newest),
            "histories": {name: msgspec.to_builtins(history) for name, history in self._histories.items()},
        }
        return encode_state(state)

    def _count_on(self) -> None:
        """Trainers that began anew count on from the newest version of their name; snapshots of older releases do not know it."""
        for name, trainer in self.trainers.items():
            own = trainer.card().version
            if own:
                self._newest[name] = self._bases.get(name, 0) + own
            elif name in self._newest:
                self._bases[name] = self._newest[name]

    @classmethod
    def restore(
        cls,
        specs: Sequence[ModelSpec],
        features: FeatureList,
        dumped: bytes,
        limits: TrainingLimits | None = None,
        zone: ZoneInfo = PINNED.utc,
        left_out: Mapping[str, Collection[str]] | None = None,
    ) -> Learner:
        """The inverse of ``dump``. A model whose definition changed, or all if the features did, begin anew; one that is gone is dropped.

        HaltError if the snapshot cannot be read.
        """
        state = cast("LearnerState", decode_state(dumped))
        learner = cls(specs, features, limits, zone, left_out)
        try:
            known = {spec.name: spec for spec in msgspec.convert(state["specs"], list[ModelSpec])}
            for spec in specs:
                if state["features"] == features.version and known.get(spec.name) == spec:
                    restore = _home(spec.kind).restore
                    learner.trainers[spec.name] = restore(spec, features, state["trainers"][spec.name], **learner._extra(spec))
            learner._bases, learner._newest = (dict(numbers) for numbers in state.get("versions", ({}, {})))
            learner._count_on()
            pins = msgspec.convert(state["pins"], dict[str, PinnedVersion])
            learner._pins = {name: pin for name, pin in pins.items() if name in learner.trainers}
            learner._surges = _surges().restore(state["surges"], zone)
            learner._minute = int(state["minute"])
            histories = msgspec.convert(state.get("histories", {}), dict[str, History])
            learner._histories = {name: history for name, history in histories.items() if known.get(name) in specs}
        except (KeyError, TypeError, ValueError, IndexError, msgspec.ValidationError) as error:
            raise HaltError(f"the learner's snapshot is damaged: {type(error).__name__}: {error}") from error
        return learner

    @classmethod
    def of_the_past(
        cls,
        specs: Sequence[ModelSpec],
        features: FeatureList,
        dumped: bytes,
        limits: TrainingLimits | None = None,
        zone: ZoneInfo = PINNED.utc,
        left_out: Mapping[str, Collection[str]] | None = None,
    ) -> Learner:
        """One that is to learn the past of new models, until it can ``join`` the one that was dumped (empty: there is none). Their versions
        are counted on from that one's, and it looks after no segment."""
        learner = cls(specs, features, limits, zone, left_out)
        if dumped:
            learner._count_on_from(cls.restore(specs, features, dumped, limits, zone, left_out))
        return learner

    def _count_on_from(self, other: Learner) -> None:
        self._bases, self._newest, self._pins = other._bases, other._newest, other._pins


def _home(kind: str) -> TrainerClass:
    module, name = HOMES[kind]
    return getattr(import_module(f"streamer.learning.models.{module}"), name)


def _surges() -> type[Surges]:
    return import_module("streamer.learning.models.size_anomaly").Surges
