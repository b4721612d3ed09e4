"""*Messages*: what each begins with, how often it was sent, held and skipped and why, what came of it, what it brings about; its pause."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from streamer.commands import PauseMessages, ResumeMessages
from streamer.messages.checks import EVERYTHING
from streamer.messages.planned import MessagePlan, PlannedMessage
from streamer.page.asking_workers import told
from streamer.page.decision_history import MessageCounts
from streamer.page.lift_history import DAYS, RECORDS_MAX
from streamer.page.sources import PageSources
from streamer.page.view import PageView, SentForm, ViewFacts, ViewOutcome, ViewQuestion
from streamer.server.errors import AnswerError


class MessageRow(NamedTuple):
    """A message of the newest definitions; ``counts`` is None where nothing was decided of it lately."""

    message: PlannedMessage
    counts: MessageCounts | None
    is_paused: bool


def view(sources: PageSources) -> PageView:
    """The list; below it a button for each."""
    return PageView("messages", "/messages", partial(_show, sources), live_seconds=2.0, is_in_menu=True, act=partial(_act, sources))


async def _show(sources: PageSources, _asked: ViewQuestion) -> ViewFacts:
    return await _facts(sources)


async def _facts(sources: PageSources, said: str = "") -> ViewFacts:
    views = await sources.shards()
    plan, counts = await sources.newest_plan(views), sources.decisions.counts()
    paused = {name for view in views if view.body is not None for name in view.body.paused}
    messages = MessagePlan(plan).messages
    has_goals = any(one.spec.goal is not None for one in messages)
    return {
        "rows": [MessageRow(one, counts.get(one.name), one.name in paused) for one in messages],
        "measured": await sources.lifts.get() if has_goals else None,
        "days": DAYS,
        "most": RECORDS_MAX,
        "all_paused": EVERYTHING in paused,
        "reading": sources.decisions.reading,
        "said": said,
    }


async def _act(sources: PageSources, sent: SentForm) -> ViewOutcome:
    name, known = sent.fields.get("message", ""), await _known(sources)
    if name not in known:
        raise AnswerError("bad_request", "expected the name of a message in force", "$.message")
    action = ResumeMessages(name) if sent.fields.get("what") == "resume" else PauseMessages(name)
    answer = await told(sources.settings, action)
    return ViewOutcome(facts=await _facts(sources, answer.text), status=answer.status)


async def _known(sources: PageSources) -> set[str]:
    plan = await sources.newest_plan(await sources.shards())
    return {one.name for one in plan.definitions.messages} | {EVERYTHING}
