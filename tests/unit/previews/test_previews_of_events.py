"""A preview says what a replay under the same definitions comes to, and what would change."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

import streamer
from streamer.errors import TooMuchError
from streamer.flow.replay import Arrival, Replay
from streamer.flow.rules import Rules
from streamer.messages.decision import decode_decision
from streamer.previews.result import Preview, SegmentPreview
from streamer.previews.share import Estimate, Persons, Share
from streamer.stores.memory import MemoryStore
from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS
from streamer.values import time_text
from streamer.wire import MESSAGES as MESSAGES_TOPIC

START_MS = 1_772_323_200_000  # 2026-03-01 00:00 UTC
NOW = streamer.parse_definitions(
    {
        "segments": {
            "buyer": {"for": "Has bought.", "when": 'did("Order Completed")'},
            "old": {"for": "Was there.", "when": 'did("*")'},
        }
    }
)
NEW = streamer.parse_definitions(
    {
        "segments": {
            "buyer": {"for": "Bought twice.", "when": 'count("Order Completed") >= 2'},
            "looker": {"for": "Looked today.", "when": 'did("Product Viewed", within="1d")'},
            "shy": {"for": "Never bought.", "when": 'never("Order Completed")'},
        }
    }
)


def shop(people: int = 300, seed: int = 1) -> list[dict[str, Any]]:
    """Events of three days, some people under two ids; one event is none."""
    draw, events = random.Random(seed), list[dict[str, Any]]()
    for number in range(people * 6):
        person = draw.randrange(people)
        ids: dict[str, str] = {"anonymousId": f"v{person}"} if draw.random() < 0.4 else {"userId": f"u{person}"}
        if person % 3 == 0 and draw.random() < 0.3:
            ids = {"anonymousId": f"v{person}", "userId": f"u{person}"}
        at_ms = START_MS + number * 3 * DAY_MS // (people * 6)
        name = draw.choice(["Product Viewed", "Product Viewed", "Order Completed"])
        events.append({"event": name, "messageId": f"m{number}", "timestamp": at_ms, **ids})
    return events


def named(found: Preview, name: str) -> SegmentPreview:
    """One segment of a preview."""
    return next(segment for segment in found.segments if segment.name == name)


def members(events: list[dict[str, Any]], definitions: streamer.Definitions, until_ms: int) -> dict[str, set[str]]:
    """Who is inside by the changes of a replay."""
    found: dict[str, set[str]] = {segment.name: set() for segment in definitions.segments}
    for change in streamer.replay(events, definitions, until_ms=until_ms):
        inside = found[change.data.segment]
        inside.add(change.subject) if change.type == "segment.entered" else inside.discard(change.subject)
    return found


def test_sizes_and_differences_are_those_of_a_replay() -> None:
    """The law of the preview: what it says before is what is so afterwards."""
    events, until_ms = shop(), START_MS + 3 * DAY_MS
    then, now = members(events, NEW, until_ms), members(events, NOW, until_ms)
    found = streamer.preview(events, NEW, against=NOW, until_ms=until_ms)
    assert found.share == 1.0
    assert found.events == len(events)
    for segment in found.segments:
        before, after = now.get(segment.name, set()), then[segment.name]
        assert after, "a segment without members would prove nothing"
        assert segment.members == Estimate(len(after), len(after), len(after))
        assert segment.difference is not None
        counted = (segment.difference.members.count, segment.difference.enter.count, segment.difference.leave.count)
        assert counted == (len(before), len(after - before), len(before - after))
        for overlap in segment.overlaps:
            other = (now if overlap.in_force else then)[overlap.segment]
            assert overlap.members.count == len(after & other)
    assert {name: size.count for name, size in found.gone.items()} == {"old": len(now["old"])}
    assert {overlap.in_force for segment in found.segments for overlap in segment.overlaps} == {True, False}


def test_a_share_is_exact_on_its_people_under_all_their_ids() -> None:
    """A preview of a tenth of the customers is the preview of a shop that has only these; time passes with everybody's events."""
    events, until_ms = shop(600), START_MS + 3 * DAY_MS
    persons = Persons()
    for event in events:
        persons.add(streamer.decode_event(json.dumps(event).encode()), frozenset())
    share = Share(0.25, persons)
    theirs = [event for event in events if share.takes(event.get("userId") or event["anonymousId"])]
    assert 0.1 < len(theirs) / len(events) < 0.4
    part = streamer.preview(events, NEW, against=NOW, share=0.25, until_ms=until_ms)
    whole = streamer.preview(theirs, NEW, against=NOW, until_ms=until_ms)
    assert part.events == len(theirs)
    for mine, alone in zip(part.segments, whole.segments, strict=True):
        assert mine.members.count == round(alone.members.count / 0.25)
        assert mine.members.low <= mine.members.count <= mine.members.high
        assert [sample.customer for sample in mine.samples] == [sample.customer for sample in alone.samples]
        assert [day.entered.count for day in mine.days] == [round(day.entered.count / 0.25) for day in alone.days]


def test_lateness_is_judged_by_everybodys_time_on_a_share_too() -> None:
    """An event of two days ago is late since others have been there meanwhile, also when they are not looked at."""
    share = Share(0.5, Persons())
    inside = next(f"c{number}" for number in range(99) if share.takes(f"c{number}"))
    outside = next(f"c{number}" for number in range(99) if not share.takes(f"c{number}"))
    order = {"event": "Order Completed", "messageId": "1", "userId": inside, "timestamp": START_MS}
    before = {"event": "Product Viewed", "messageId": "2", "userId": outside, "timestamp": START_MS + 2 * DAY_MS}
    found = streamer.preview([before, order], NOW, share=0.5)
    assert found.refused == {"late": 1}
    assert found.begins == "2026-03-03T00:00:00.000Z", "the log begins where it does for everybody"
    assert found.at == "2026-03-03T00:00:00.000Z", "it holds at the end of the log, whoever wrote there last"


def test_days_and_what_is_ahead_are_what_a_replay_says() -> None:
    """Counted from the changes themselves, by another way."""
    events, until_ms = shop(), START_MS + 3 * DAY_MS
    found = named(streamer.preview(events, NEW, until_ms=until_ms, days=3), "looker")
    turns: dict[tuple[str, bool], set[str]] = {}
    ahead: dict[int, set[str]] = {1: set(), 24: set(), 168: set()}
    merged = {"merge"}
    for change in streamer.replay(events, NEW, until_ms=until_ms + 7 * DAY_MS):
        if change.data.segment != "looker" or change.data.cause.kind in merged:
            continue
        if change.time <= found_at(until_ms):
            turns.setdefault((change.time[:10], change.type == "segment.entered"), set()).add(change.subject)
        else:
            for hours, seen in ahead.items():
                if change.time <= found_at(until_ms + hours * HOUR_MS):
                    seen.add(change.subject)
    assert [day.day for day in found.days] == ["2026-03-02", "2026-03-03", "2026-03-04"]
    for day in found.days[:2]:
        assert day.left.count == len(turns[day.day, False])
        assert day.entered.count >= len(turns[day.day, True]), "whoever enters by a login is one more"
    assert [(one.hours, one.leave.count) for one in found.ahead] == [(hours, len(seen)) for hours, seen in ahead.items()]
    assert found.ahead[0].leave.count < found.ahead[1].leave.count, "else nothing was told apart"


def found_at(ms: int) -> str:
    """A moment as changes have it."""
    return time_text(ms)


def test_samples_say_why() -> None:
    """A number alone convinces nobody; a name and a reason can be looked up."""
    found = named(streamer.preview(shop(), NEW, samples=2), "buyer")
    assert len(found.samples) == 2
    for sample in found.samples:
        assert sample.explanation.inside
        [clause] = sample.explanation.because
        assert clause.holds
        assert clause.clause == 'count("Order Completed") >= 2'


def test_an_empty_log_and_a_segment_of_nobody_are_answers() -> None:
    """The first preview of a new shop."""
    found = streamer.preview([], NEW)
    assert (found.begins, found.customers.count, found.events) == (None, 0, 0)
    assert [segment.members.count for segment in found.segments] == [0, 0, 0]


def test_what_would_take_too_long_is_given_up() -> None:
    """A page that anybody may ask must not compute for ever."""
    with pytest.raises(TooMuchError, match="not done after 0 s"):
        streamer.preview(shop(600), NEW, seconds_max=0)
    with pytest.raises(ValueError, match="share"):
        streamer.preview([], NEW, share=0)


def test_a_rule_that_waits_for_a_model_says_so() -> None:
    """Nobody enters for the sake of a model that has said nothing, which looks like a rule that catches nobody."""
    definitions = streamer.parse_definitions(
        {
            "models": {"buys": {"kind": "purchase"}},
            "segments": {"hot": {"for": "Likely to buy.", "when": 'score("buys") >= 90'}},
        }
    )
    events = [{"event": "Product Viewed", "messageId": f"m{n}", "userId": f"u{n}", "timestamp": START_MS + n * MINUTE_MS} for n in range(9)]
    [segment] = streamer.preview(events, definitions).segments
    assert (segment.members.count, segment.waits_for) == (0, ["buys"])


MESSAGES = streamer.parse_definitions(
    {
        "segments": {"buyer": {"for": "Has bought.", "when": 'count("Order Completed", within="1d") >= 1'}},
        "channels": {"email": {}},
        "messages": {
            "thanks": {"for": "Thanks.", "on": 'entered("buyer")', "channel": "email", "kind": "transactional", "template": "thanks"},
        },
    }
)


async def decided(events: list[dict[str, Any]], until_ms: int) -> dict[str, set[str]]:
    """The customers of a replay's decisions, by what was decided and why."""
    run, found = await Replay.begin(MESSAGES, MemoryStore(), Rules(shards=1), batch=100), dict[str, set[str]]()
    arrivals = [Arrival(line, event["timestamp"], json.dumps(event).encode()) for line, event in enumerate(events)]
    for stretch in (run.feed(arrivals, batch=100), run.until(until_ms)):
        async for said in stretch:
            if said.output.topic == MESSAGES_TOPIC:
                decision = decode_decision(said.output.value)
                found.setdefault(f"{decision.outcome}: {decision.data.reason}", set()).add(decision.subject)
    return found


def test_messages_are_counted_as_a_replay_would_decide_them() -> None:
    """By customers, each once, so that a share can say what it means for all; and by the reasons why the others get none."""
    events, until_ms = shop(200), START_MS + 3 * DAY_MS
    for number in range(0, 200, 2):
        traits = {"email": f"u{number}@shop.example"}
        events.append({"type": "identify", "messageId": f"i{number}", "timestamp": START_MS, "userId": f"u{number}", "traits": traits})
    events.sort(key=lambda event: event["timestamp"])
    expected = asyncio.run(decided(events, until_ms))
    [message] = streamer.preview(events, MESSAGES, until_ms=until_ms).messages
    assert message.sent.count == len(expected["send: None"]) > 20
    assert {what: count.count for what, count in message.others.items()} == {"skip: no_address": len(expected["skip: no_address"])}
    assert message.others["skip: no_address"].count > 20
    assert max(day.sent.count for day in message.days) < message.sent.count < sum(day.sent.count for day in message.days)
    [of_today] = streamer.preview(events, MESSAGES, until_ms=until_ms, days=1).messages
    assert of_today.sent.count < message.sent.count, "older ones are not of the days that were asked for"
