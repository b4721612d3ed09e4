"""*Dead letters*: what was refused lately, by reason; and driving it through the log again once the cause is gone."""

from __future__ import annotations

from functools import partial
from typing import Final

from streamer.commands import LetterFilter, Redrive
from streamer.events.admission import REASONS
from streamer.page.asking_workers import told
from streamer.page.sources import PageSources
from streamer.page.view import PageView, SentForm, ViewFacts, ViewOutcome, ViewQuestion
from streamer.server.errors import AnswerError
from streamer.transports.kafka.dead_letters_topic import place_in_words

SHOWN: Final = 100


def view(sources: PageSources) -> PageView:
    """The list, with a button for each reason."""
    return PageView("letters", "/dead-letters", partial(_show, sources), is_in_menu=True, act=partial(_act, sources))


async def _show(sources: PageSources, asked: ViewQuestion) -> ViewFacts:
    return _facts(sources, asked.query.get("reason", ""))


def _facts(sources: PageSources, reason: str, said: str = "") -> ViewFacts:
    chosen = reason if reason in REASONS else ""
    return {
        "letters": sources.letters.newest(chosen)[:SHOWN],
        "reasons": sources.letters.reasons(),
        "chosen": chosen,
        "place": place_in_words,
        "reading": sources.letters.reading,
        "said": said,
    }


async def _act(sources: PageSources, sent: SentForm) -> ViewOutcome:
    reason = sent.fields.get("reason", "")
    if reason not in REASONS:
        raise AnswerError("bad_request", "expected a reason for which records are refused", "$.reason")
    answer = await told(sources.settings, Redrive(LetterFilter(reason=reason)))
    return ViewOutcome(facts=_facts(sources, reason, answer.text), status=answer.status)
