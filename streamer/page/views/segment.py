"""*Segment*: one of them: what it says, how large it was, which clauses let people in and out, who is in it and in what else they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple

from streamer.errors import SettingsError, TooMuchError
from streamer.page.definition_words import DefinitionWords
from streamer.page.sources import PageSources
from streamer.page.standing import standing_of
from streamer.page.view import PageView, SentForm, ViewFacts, ViewOutcome, ViewQuestion
from streamer.previews.cost import SegmentCost
from streamer.segments.plan.plan import Plan
from streamer.server.answers import Member
from streamer.server.errors import AnswerError
from streamer.server.parameters import segment_of
from streamer.units import DAY_MS, MINUTE_MS
from streamer.wire import shard_of

STEP_MS: Final = 30 * MINUTE_MS
STEPS: Final = DAY_MS // STEP_MS
MEMBERS_LOOKED_AT: Final = 100
MEMBERS_SHOWN: Final = 20
CLAUSES_SHOWN: Final = 8
OVERLAPS_SHOWN: Final = 8


class SizeStep(NamedTuple):
    """A stretch of time that began at ``at_ms``: who came and went in it, and how many were in at its end."""

    at_ms: int
    entered: int
    left: int
    size: int


def view(sources: PageSources) -> PageView:
    """One segment."""
    return PageView(
        "segment", "/segments/{segment}", partial(_show, sources), live_seconds=2.0, act=partial(_measure, sources), act_role="read"
    )


async def _measure(sources: PageSources, sent: SentForm) -> ViewOutcome:
    """What it costs, measured now for whoever asks."""
    name, views = segment_of(sent.asked.variable), await sources.shards()
    if sources.costs.is_busy:
        raise AnswerError("overloaded", "another segment is being measured at this moment; try again in half a minute")
    content = (await sources.newest_plan(views)).definitions.content()
    try:
        return ViewOutcome(facts=await _facts(sources, sent.asked, cost=await sources.costs.cost(content, name)))
    except (SettingsError, TooMuchError) as error:
        return ViewOutcome(facts=await _facts(sources, sent.asked, why_no_cost=str(error)), status=HTTPStatus.BAD_GATEWAY)


async def _show(sources: PageSources, asked: ViewQuestion) -> ViewFacts:
    return await _facts(sources, asked)


async def _facts(sources: PageSources, asked: ViewQuestion, *, cost: SegmentCost | None = None, why_no_cost: str = "") -> ViewFacts:
    name, history, now_ms = segment_of(asked.variable), sources.history, sources.now_ms()
    page = await sources.answers.members.members(name, None, MEMBERS_LOOKED_AT)
    views = await sources.shards()
    plan = await sources.newest_plan(views)
    number = plan.numbers.get(name)
    if number is None:
        raise AnswerError("unknown_segment", "no such segment is in force")
    forecast = await sources.forecasts.get()
    steps = size_steps(sources, name, page.size, now_ms)
    segment, said = plan.rules[number].segment, DefinitionWords(asked.words)
    return {
        "segment": segment,
        "cost": cost,
        "why_no_cost": why_no_cost,
        "enters_when": said.enters(segment),
        "leaves_when": said.leaves(segment),
        "definition": in_reading_order(segment.source),
        "size": page.size,
        "readiness": standing_of(plan, views, now_ms).of(name),
        "flow": history.flow(name, now_ms - DAY_MS),
        "leaves": None if forecast is None else forecast.leaves.get(name, 0),
        "enters": None if forecast is None else forecast.enters.get(name, 0),
        "is_bounded": forecast is not None and forecast.is_bounded,
        "steps": steps,
        "reading": history.reading,
        "whole_since_ms": history.whole_since_ms,
        "lets_in": history.why(name, enters=True)[:CLAUSES_SHOWN],
        "lets_out": history.why(name, enters=False)[:CLAUSES_SHOWN],
        "members": page.members[:MEMBERS_SHOWN],
        "looked_at": len(page.members),
        "overlaps": (await _overlaps(sources, plan, number, page.members))[:OVERLAPS_SHOWN],
    }


def in_reading_order(source: Mapping[str, str]) -> list[tuple[str, str]]:
    """What a definition says, as somebody writes it: who comes in, who goes out, then the rest."""
    return sorted(
        ((key, text) for key, text in source.items() if key != "for"), key=lambda one: (one[0] != "when", one[0] != "exit", one[0])
    )


def size_steps(sources: PageSources, segment: str, size: int, now_ms: int) -> list[SizeStep]:
    """The last day in steps, reckoned back from the present size: that of the changes where they are all there, else the committed one,
    which is a moment ahead of them."""
    known = sources.history.size(segment)
    size = size if known is None else known
    since_ms = (now_ms // STEP_MS + 1 - STEPS) * STEP_MS
    found: list[SizeStep] = []
    for step, flow in reversed(list(enumerate(sources.history.by_step(segment, since_ms, STEP_MS, STEPS)))):
        found.append(SizeStep(since_ms + step * STEP_MS, flow.entered, flow.left, max(0, size)))
        size -= flow.entered - flow.left
    return found[::-1]


async def _overlaps(sources: PageSources, plan: Plan, number: int, members: list[Member]) -> list[tuple[str, int]]:
    """In which other segments these members are, and how many of them, the most first."""
    by_shard: dict[int, list[str]] = {}
    for member in members:
        by_shard.setdefault(shard_of(member.customer, sources.settings.shards), []).append(member.customer)
    counts = Counter[str]()
    for shard, customers in by_shard.items():
        for found in await sources.answers.committed.in_shard(shard, customers):
            if found.state is None or found.view.body is None or found.view.body.digest != plan.digest:
                continue
            inside = [one for one, entry in found.state.members.items() if entry.inside and one != number and one < len(plan.names)]
            counts.update(plan.names[one] for one in inside)
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))
