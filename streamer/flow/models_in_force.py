"""The scorers that serve in one shard, and what a plan makes of them."""

from __future__ import annotations

from collections.abc import Container, Mapping

from streamer.learning.scorers.decode import Groups, Scorer
from streamer.segments.plan import model_memories
from streamer.segments.plan.plan import Plan

from .checkpoint import CheckpointBody
from .scoring import Scoring


class ModelsInForce:
    """Scorers by model. Of the checkpoint's body it keeps ``models``, their versions and digests. Outcomes are awaited for all models, or
    only for those that ``awaits`` names."""

    def __init__(self, body: CheckpointBody, scorers: Mapping[str, Scorer | Groups], awaits: Container[str] | None = None) -> None:
        self._body = body
        self._awaits = awaits
        self._scorers = dict(scorers)

    def scoring(self, plan: Plan) -> Scoring | None:
        """The models of a plan at work; None where it has none."""
        return Scoring(plan, self._scorers, self._awaits) if plan.definitions.models else None

    def unscored(self, plan: Plan) -> tuple[int, ...]:
        """The memories of the plan's models that do not serve: what such a model said is to be forgotten."""
        return model_memories.unscored_slots(plan.definitions.models, plan.slots, self._scorers)

    @property
    def scorers(self) -> Mapping[str, Scorer | Groups]:
        """Those that serve, by model."""
        return self._scorers

    def serve(self, model: str, version: int, digest: str, scorer: Scorer | Groups) -> None:
        """From here on this scorer serves."""
        self._body.models = {**self._body.models, model: (version, digest)}
        self._scorers[model] = scorer

    def withdraw(self, model: str, version: int) -> bool:
        """From here on nothing up to this version serves. False where a newer one does, or none."""
        serving, _ = self._body.models.get(model, (version + 1, ""))
        if serving > version:
            return False
        self.keep(self._scorers.keys() - {model})
        return True

    def keep(self, models: Container[str]) -> None:
        """Only the scorers of these models serve on."""
        self._scorers = {name: scorer for name, scorer in self._scorers.items() if name in models}
        self._body.models = {name: named for name, named in self._body.models.items() if name in self._scorers}
