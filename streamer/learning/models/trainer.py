"""What every model of the learner promises.

A trainer is a state machine over examples: no clock, no I/O, no chance but a seeded one that is part of its state. The same examples in the
same order leave the same bytes, whatever the batches, the hash seed or the number of times it was put down and taken up again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.examples import Example, FeatureList, ModelSpec
    from streamer.learning.reports.model_card import Card
    from streamer.learning.reports.outputs import LearnerOutput


class Trainer(Protocol):
    """One model that learns. The learner hands it only examples of its own model and, if it wants them, profiles.

    A class of trainers also has ``restore(spec, features, dumped)``, the inverse of ``dump``: what is restored learns on as if it had never
    been put down.
    """

    spec: ModelSpec

    def take(self, example: Example) -> list[LearnerOutput]:
        """Learn or judge one example, which is not touched. Its numbers are finite and as many as there are features."""
        ...

    def on_watermark(self, at_ms: int) -> list[LearnerOutput]:
        """A full minute of log time is over and complete. Only here may anything be published."""
        ...

    def dump(self) -> Mapping[str, object]:
        """Everything it knows, as JSON can hold it; every float finite."""
        ...

    def card(self) -> Card:
        """How good it is by now."""
        ...


class TrainerClass(Protocol):
    """A class of trainers: what the learner makes new ones and restored ones with. ``extra`` is what only some kinds take."""

    def __call__(self, spec: ModelSpec, features: FeatureList, **extra: object) -> Trainer: ...  # noqa: D102

    def restore(self, spec: ModelSpec, features: FeatureList, dumped: Mapping[str, object], **extra: object) -> Trainer:
        """The inverse of ``Trainer.dump``."""
        ...
