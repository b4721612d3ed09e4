"""*Sources*: what became of the records that came in, why some were refused and whose those were, clocks, and what comes in now."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from streamer.page.letter_history import KEPT
from streamer.page.sources import PageSources
from streamer.page.view import PageView, ViewFacts, ViewQuestion
from streamer.worker.status.record_counts import record_counts

SHOWN: Final = 100


class ReasonRow(NamedTuple):
    """``in_log``: refused by the shards since their logs began; ``lately``: among the newest dead letters, also of doors before the log."""

    reason: str
    in_log: int
    lately: int


def view(sources: PageSources) -> PageView:
    """The counts."""
    return PageView("record_sources", "/sources", partial(_show, sources), live_seconds=2.0, is_in_menu=True)


async def _show(sources: PageSources, _asked: ViewQuestion) -> ViewFacts:
    counts, lately = record_counts(await sources.shards()), dict(sources.letters.reasons())
    reasons = list(dict.fromkeys((*counts.refused, *lately)))
    return {
        "tail": sources.tail.look(),
        "counts": counts,
        "reasons": [ReasonRow(reason, counts.refused.get(reason, 0), lately.get(reason, 0)) for reason in reasons],
        "producers": sources.letters.producers()[:SHOWN],
        "shown": SHOWN,
        "letters_kept": KEPT,
        "reading": sources.letters.reading,
    }
