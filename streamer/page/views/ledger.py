"""*Ledger*: every message that was decided lately, why, and what became of it; found by customer, message or reason."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Final

from streamer.page.decision_history import SeenDecision
from streamer.page.sources import PageSources
from streamer.page.view import PageView, ViewFacts, ViewQuestion
from streamer.printable import printable

SHOWN: Final = 200


def view(sources: PageSources) -> PageView:
    """The search and its rows."""
    return PageView("ledger", "/ledger", partial(_show, sources), live_seconds=2.0, is_in_menu=True)


async def _show(sources: PageSources, asked: ViewQuestion) -> ViewFacts:
    wanted = {name: asked.query.get(name, "").strip() for name in ("customer", "message", "reason")}
    rows = (one for one in sources.decisions.newest() if _is_wanted(one, wanted))
    return {
        "rows": list(islice(rows, SHOWN)),
        "wanted": {name: printable(text) for name, text in wanted.items()},
        "most": SHOWN,
        "reading": sources.decisions.reading,
    }


def _is_wanted(one: SeenDecision, wanted: dict[str, str]) -> bool:
    return (
        wanted["customer"] in ("", one.decision.subject)
        and wanted["message"] in ("", one.decision.data.message)
        and (not wanted["reason"] or wanted["reason"] in one.reasons)
    )
