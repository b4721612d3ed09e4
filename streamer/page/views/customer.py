"""*Customer*: one of them: what has changed, where they are and why, where they are not and what it would take, and when."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Final

from streamer.commands import Erase
from streamer.customers.state import State
from streamer.flow.committed import CommittedCustomer
from streamer.messages.explain import MessageExplanation, explain_message
from streamer.messages.planned import MessagePlan
from streamer.page.asking_workers import told
from streamer.page.customer_events import LOOKED_THROUGH
from streamer.page.reading import worst
from streamer.page.sources import PageSources
from streamer.page.time_line import anchor, event_json, story_of
from streamer.page.view import PageView, SentForm, ViewFacts, ViewOutcome, ViewQuestion
from streamer.segments.explain import Explanation
from streamer.server.customer_answers import Wish
from streamer.server.parameters import customer_of

OTHERS_SHOWN: Final = 10  # segments that a customer is not in and that time alone does not change


def view(sources: PageSources) -> PageView:
    """One customer."""
    return PageView(
        "customer", "/customers/{customer}", partial(_show, sources), live_seconds=2.0, act=partial(_erase, sources), act_role="erase"
    )


async def _erase(sources: PageSources, sent: SentForm) -> ViewOutcome:
    """Forget them: only where whoever asks has written the id once more."""
    customer = customer_of(sent.asked.variable)
    if sent.fields.get("again", "") != customer:
        return ViewOutcome(facts=await _facts(sources, sent.asked, is_unlike=True), status=HTTPStatus.BAD_REQUEST)
    answer = await told(sources.settings, Erase(customer))
    return ViewOutcome(facts=await _facts(sources, sent.asked, said=answer.text), status=answer.status)


async def _show(sources: PageSources, asked: ViewQuestion) -> ViewFacts:
    return await _facts(sources, asked)


async def _facts(sources: PageSources, asked: ViewQuestion, *, said: str = "", is_unlike: bool = False) -> ViewFacts:
    customer = customer_of(asked.variable)
    answer, _ = await sources.answers.customers.one(customer, Wish(explain=True))
    found = await sources.answers.committed.look_up(customer)
    links = {} if found.state is None else found.state.links
    line = None if found.state is None else await sources.events.of(found, found.state)
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
        "story": story_of(
            [] if line is None else line.events,
            sources.history.of_customer(found.customer),
            sources.decisions.of_customer(found.customer),
        ),
        "line": line,
        "looked_through": LOOKED_THROUGH,
        "anchor": anchor,
        "event_json": event_json,
        "reasons": await sources.answers.committed.score_reasons(found),
        "next_messages": [] if found.state is None else await _next_messages(sources, found, found.state),
        "reading": worst(sources.history.reading, sources.decisions.reading),
        "said": said,
        "is_unlike": is_unlike,
    }


async def _next_messages(sources: PageSources, found: CommittedCustomer, state: State) -> list[MessageExplanation]:
    """The messages that wait for their moment, and what is decided of them then if nothing happens."""
    if state.messages is None or state.aside_ms or found.view.body is None:
        return []
    plan = await asyncio.to_thread(MessagePlan, await sources.answers.committed.plan_of(found))
    now_ms = max(found.view.log_time_ms, min(sources.now_ms(), found.view.log_time_ms + sources.settings.tick))
    waiting = {intent.message for intent in state.messages.intents}
    paused = found.view.body.paused
    asked = [one for one in plan.messages if one.number in waiting]
    return await asyncio.to_thread(lambda: [explain_message(plan, found.customer, state, one, now_ms, paused) for one in asked])


def sorted_explanations(found: list[Explanation]) -> tuple[list[Explanation], list[Explanation], list[Explanation]]:
    """Those that the customer is in, those where something besides an event matters, the first to turn first, and the rest."""
    inside = sorted((one for one in found if one.inside), key=lambda one: (one.flips_at or "~", one.segment))
    waiting = sorted((one for one in found if one.matters and not one.inside), key=lambda one: (one.flips_at or "~", one.segment))
    return inside, waiting, [one for one in found if not one.matters]
