"""Models on the page: the figures of their cards, as `streamer models card` says them."""

from __future__ import annotations

import pytest

from streamer.flow.learner_checkpoint import LearnerCheckpoint
from streamer.learning.reports.model_card import Card, Contender, Decile
from streamer.page.languages import LANGUAGES
from streamer.page.views import models
from tests.unit.flow.persons import segments

from .desk import looking
from .test_hostile_texts import check_harmless

RULES = segments(seen='did("A")')
READY = Card(
    "buys",
    "purchase",
    "ready",
    version=3,
    published_ms=1_767_225_600_000,
    learned=12_345,
    judged=678,
    base_rate=0.125,
    log_loss=0.4321,
    entropy=0.8765,
    auc=0.7654,
    ratio=1.02,
    coverage=0.5,
    deciles=(Decile(70, 0.0123, 0.0234), Decile(71, 0.5, 0.25)),
    roster=(Contender("linear", 0.41234, 0.71, 600, 0.00123, 0.0001, "<b>why"),),
    figures={"<i>trees": 12.5},
    joined_ms=1_767_225_600_000,
)
NOT_READY = Card("leaves", "churn", "not ready", "<script>too few</script>")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_card_has_its_figures_and_its_calibration(monkeypatch: pytest.MonkeyPatch, language: str) -> None:
    """What was promised stands beside what came; what is not known is not there."""

    async def learned(_store: object) -> LearnerCheckpoint:
        return learner(READY, NOT_READY)

    async with looking(RULES) as desk:
        await desk.settle()
        assert (await desk.look(f"/models?lang={language}")).status == 200
        monkeypatch.setattr(models, "read_learner", learned)
        found = await desk.look("/models")
        check_harmless(found.html)
        assert found.status == 200
        if language == "en":
            for text in (
                "buys purchase serves version 4 published 1 Jan 2026, 00:00:00",
                "Learned 12,345 Judged 678 Base rate 12.5% Log loss 0.4321 Of the base rate's log loss 0.8765 AUC 0.7654",
                "Scores over outcomes 1.02 Served of judged 50.0%",
                "1 0.0123 0.0234 70 2 0.5 0.25 71",
                "linear <b>why 0.41234 0.71 600 0.00123",
                "<i>trees : 12.5",
                "leaves churn not ready: <script>too few</script> Learned 0 Judged 0",
            ):
                assert text in found.text


async def test_where_nothing_was_learned_that_is_said() -> None:
    """Most shops begin without models."""
    async with looking(RULES) as desk:
        await desk.settle()
        assert "Nothing was learned yet" in (await desk.look("/models")).text


def learner(*cards: Card) -> LearnerCheckpoint:
    """What a learner has committed."""
    return LearnerCheckpoint(cards={card.model: card for card in cards}, current={"buys": (4, "x")})
