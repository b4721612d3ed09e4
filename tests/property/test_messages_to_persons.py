"""Messages to people who go by several ids: the step says exactly what the oracle says, wherever links and pasts are on their way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from hypothesis import given

from streamer.messages.decision import REASONS
from streamer.wire import MESSAGES
from tests.oracle.person_decisions import PersonMessageStory
from tests.oracle.persons import Post, tell_all
from tests.oracle.story import Change
from tests.property.effort import WANTED, effort
from tests.property.message_persons import busy_history, message_histories
from tests.property.persons import SHARDS, History
from tests.property.said import decisions_of, in_order
from tests.property.town import Town, changes_of, home


def told(town: Town) -> list[PersonMessageStory]:
    """The oracle, over the logs as they came to lie."""
    history, post = town.history, Post()
    options = {"lateness_ms": history.lateness_ms, "skew_ms": history.skew_ms}
    stories = [PersonMessageStory(number, home, post, history.definitions, **options) for number in range(SHARDS)]
    tell_all(stories, town.logs())
    assert not post.undelivered()
    return stories


def said_by(town: Town, number: int) -> list[dict[str, Any]]:
    """What a shard said, in its order."""
    decisions = decisions_of(record.value for record in town.log.records(MESSAGES, number))
    return in_order(decisions, _placed(town, number))


def _placed(town: Town, number: int) -> list[Change]:
    """The changes with their ordinals among all that was said."""
    ordinals = [change.data.position.ordinal for change in town.log.read_changes() if change.data.position.shard == number]
    changes = changes_of(town.log.read_changes(), number)
    return [replace(change, ordinal=ordinal) for change, ordinal in zip(changes, ordinals, strict=True)]


def compare(history: History) -> Counter[str]:
    """Both say the same; what was decided, and what happened to people. People of whom an answer is approximate are left out."""
    town, met = Town(history), Counter[str]()
    asyncio.run(town.play())
    stories = told(town)
    for story in stories:
        found, expected = said_by(town, story.number), in_order(story.decisions, story.changes)
        if found != expected:
            in_doubt = _in_doubt(town, stories)
            met["in doubt"] += 1
            found, expected = _but(found, in_doubt), _but(expected, in_doubt)
        assert found == expected, next(pair for pair in zip_longest(found, expected) if pair[0] != pair[1])
        met["compared"] += bool(found)
        met.update(each.reason or each.outcome for each in story.decisions)
        met.update(story.met)
    return met


@given(history=message_histories())
@effort(0.5)
def test_what_is_decided_of_persons_is_what_the_oracle_says(history: History) -> None:
    """Under any definitions."""
    compare(history)


def test_what_waits_ends_with_an_old_id_and_what_was_sent_goes_along() -> None:
    """Of people who are written to often: each way in which a decision can end comes up, and little is in doubt."""
    met: Counter[str] = Counter()
    for seed in range(WANTED):
        try:
            met += compare(busy_history(seed))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    missing = {*REASONS, "send", "lifted", "adopted across a switch", "places joined"} - {"no_address"} - met.keys()
    assert not missing, met
    assert met["in doubt"] < met["compared"] / 20, met


def _in_doubt(town: Town, stories: Sequence[PersonMessageStory]) -> set[str]:
    """Whose answers are said to be approximate, and whoever has their past."""
    found = {customer for number in range(SHARDS) for customer in asyncio.run(town.doubtful_people(number))}
    pasts = [message for messages in stories[0].post.sent.values() for message in messages if message.kind == "adopt"]
    for _ in pasts:
        found |= {message.about for message in pasts if message.old in found}
    return found


def _but(said: list[dict[str, Any]], left_out: set[str]) -> list[dict[str, Any]]:
    return [each for each in said if each["customer"] not in left_out]
