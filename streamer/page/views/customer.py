"""*Customer*: one of them: what has changed, where they are and why, where they are not and what it would take, and when."""

from __future__ import annotations

from functools import partial
from typing import Final

from streamer.page.sources import PageSources
from streamer.page.view import PageView, ViewFacts, ViewQuestion
from streamer.segments.explain import Explanation
from streamer.server.customer_answers import Wish
from streamer.server.parameters import customer_of

OTHERS_SHOWN: Final = 10  # segments that a customer is not in and that time alone does not change


def view(sources: PageSources) -> PageView:
    """One customer."""
    return PageView("customer", "/customers/{customer}", partial(_show, sources), live_seconds=2.0)


async def _show(sources: PageSources, asked: ViewQuestion) -> ViewFacts:
    customer = customer_of(asked.variable)
    answer, _ = await sources.answers.customers.one(customer, Wish(explain=True))
    found = await sources.answers.committed.look_up(customer)
    links = {} if found.state is None else found.state.links
    inside, waiting, others = sorted_explanations(answer.explanation)
    return {
        "customer": customer,
        "answer": answer,
        "inside": inside,
        "waiting": waiting,
        "others": others if "all" in asked.query or len(others) <= OTHERS_SHOWN else [],
        "others_number": len(others),
        "passed": [one for one in found.passed if one != customer],
        "links": sorted(links.items(), key=lambda one: -one[1]),
        "changes": sources.history.of_customer(found.customer),
        "is_read": sources.history.is_ready,
    }


def sorted_explanations(found: list[Explanation]) -> tuple[list[Explanation], list[Explanation], list[Explanation]]:
    """Those that the customer is in, those where something besides an event matters, the first to turn first, and the rest."""
    inside = sorted((one for one in found if one.inside), key=lambda one: (one.flips_at or "~", one.segment))
    waiting = sorted((one for one in found if one.matters and not one.inside), key=lambda one: (one.flips_at or "~", one.segment))
    return inside, waiting, [one for one in found if not one.matters]
