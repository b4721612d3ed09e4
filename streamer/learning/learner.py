"""All models of a deployment, learning from one ordered stream of examples.

The stream's order is that of ``merge_key``: by minute of log time. When the first example of a later minute comes, the minute before is
complete, and that is the only moment at which anything is published: how examples were fetched cannot be told from what is said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NotRequired, TypedDict, cast
from zoneinfo import ZoneInfo

import msgspec

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
        self._newest: dict[str, int] = {}  # version of every model there ever was: two scorers never have the same name

    def _extra(self, spec: ModelSpec) -> dict[str, object]:
        if spec.kind == "lookalike":
            return {"left_out": self._left_out.get(spec.name, ())}
        return {"limits": self.limits} if spec.kind in ("purchase", "churn", "value") else {}

    def take(self, example: Example) -> list[LearnerOutput]:
        """One example, in the order of ``merge_key``. What is said is a function of the examples so far."""
        said: list[LearnerOutput] = []
        minute = example.at_ms // MARK_MS
        if minute > self._minute:
            if self._minute >= 0:
                said = self._at_mark(minute * MARK_MS)
            self._minute = minute
        if example.kind == "mark":
            said += self._surges.take(example)
            for trainer in self.trainers.values():
                if trainer.spec.kind == "lookalike":  # it wants to know how large its seed is
                    said += trainer.take(example)
        elif example.kind == "profile":
            for trainer in self.trainers.values():
                said += trainer.take(example)
        else:
            trainer = self.trainers.get(example.model)
            if trainer is not None:  # a model of definitions that are gone
                said += trainer.take(example)
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
        if not base:
            return one
        if isinstance(one, ModelWithdrawn):
            return msgspec.structs.replace(one, version=version)
        scorer = canonical({**msgspec.json.decode(one.scorer), "version": version})
        return msgspec.structs.replace(one, version=version, scorer=scorer, card=self._card(one.card))

    def _card(self, card: Card) -> Card:
        base = self._bases.get(card.model, 0)
        return msgspec.structs.replace(card, version=base + card.version) if base and card.version else card

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
        except (KeyError, TypeError, ValueError, IndexError, msgspec.ValidationError) as error:
            raise HaltError(f"the learner's snapshot is damaged: {type(error).__name__}: {error}") from error
        return learner


def _home(kind: str) -> TrainerClass:
    module, name = HOMES[kind]
    return getattr(import_module(f"streamer.learning.models.{module}"), name)


def _surges() -> type[Surges]:
    return import_module("streamer.learning.models.size_anomaly").Surges
