"""*Models*: each with its card: whether it serves, how good it was on outcomes after its scores, what it promised and what came."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from streamer.errors import SettingsError
from streamer.flow.learner_checkpoint import LearnerCheckpoint, read_learner
from streamer.learning.reports.model_card import Card
from streamer.page.sources import PageSources
from streamer.page.view import PageView, ViewFacts, ViewQuestion


class ModelRow(NamedTuple):
    """A card, the version that serves, and the figures that are known, by the names of their texts."""

    card: Card
    serving: int
    figures: list[tuple[str, float]]


def view(sources: PageSources) -> PageView:
    """What ``streamer models show`` says of each."""
    return PageView("models", "/models", partial(_show, sources), live_seconds=5.0, is_in_menu=True)


async def _show(sources: PageSources, _asked: ViewQuestion) -> ViewFacts:
    try:
        learner = await read_learner(sources.store)
    except SettingsError:  # nothing was learned yet
        return {"rows": []}
    return {"rows": [_row(card, learner) for _, card in sorted(learner.cards.items())]}


def _row(card: Card, learner: LearnerCheckpoint) -> ModelRow:
    named = (
        ("base_rate", card.base_rate),
        ("log_loss", card.log_loss),
        ("entropy", card.entropy),
        ("auc", card.auc),
        ("ratio", card.ratio),
        ("coverage", card.coverage),
    )
    return ModelRow(card, learner.current.get(card.model, (card.version, ""))[0], [(key, one) for key, one in named if one is not None])
