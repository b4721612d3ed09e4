"""*Customers*: look one up by an id, or take one of those whom something has just happened to."""

from __future__ import annotations

from functools import partial
from typing import Final

from streamer.page.rendering import path_part
from streamer.page.sources import PageSources
from streamer.page.view import PageView, ViewFacts, ViewOutcome, ViewQuestion
from streamer.wire import is_customer

LOOKED_THROUGH: Final = 1_000
SHOWN: Final = 50


def view(sources: PageSources) -> PageView:
    """The form, and the newest."""
    return PageView("customers", "/customers", partial(_show, sources), is_in_menu=True)


async def _show(sources: PageSources, asked: ViewQuestion) -> ViewFacts | ViewOutcome:
    wanted = asked.query.get("id", "").strip()
    if wanted and is_customer(wanted):
        return ViewOutcome(f"/customers/{path_part(wanted)}")
    newest = {change.customer: change for change in reversed(sources.history.newest(LOOKED_THROUGH))}
    found = sorted(newest.values(), key=lambda change: -change.number)
    return {"newest": found[:SHOWN], "is_bad": bool(wanted), "reading": sources.history.reading}
