"""A history in which messages are decided, played by the product's shards and judged by the oracle."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from streamer.wire import MESSAGES
from tests.oracle.person_decisions import PersonMessageStory
from tests.oracle.persons import Post, tell_all
from tests.oracle.story import Change
from tests.property.born_old_town import played
from tests.property.persons import SHARDS, History
from tests.property.said import but, decisions_of, in_order
from tests.property.town import Town, changes_of, home


class DifferenceError(AssertionError):
    """What was said is not what the oracle says."""


def judged(history: History) -> Counter[str]:
    """What was decided, and what happened to people. DifferenceError at the first difference, but for people of whom an answer is
    approximate."""
    town, met = played(history)[0], Counter[str]()
    stories = _told(town)
    for story in stories:
        found, expected = _said_by(town, story.number), in_order(story.decisions, story.changes)
        if found != expected:
            in_doubt = asyncio.run(town.in_doubt(stories[0].post))
            met["in doubt"] += 1
            found, expected = but(found, in_doubt), but(expected, in_doubt)
        if found != expected:
            raise DifferenceError(next(pair for pair in zip_longest(found, expected) if pair[0] != pair[1]))
        met["compared"] += bool(found)
        met.update(each.reason or each.outcome for each in story.decisions)
        met.update(story.met)
    return met


def _told(town: Town) -> list[PersonMessageStory]:
    """The oracle, over the logs as they came to lie."""
    history, post = town.history, Post()
    options = {"lateness_ms": history.lateness_ms, "skew_ms": history.skew_ms}
    stories = [PersonMessageStory(number, home, post, history.definitions, **options) for number in range(SHARDS)]
    try:
        tell_all(stories, town.logs())
    except AssertionError as error:
        raise DifferenceError(f"a record that no shard should have sent: {error}") from error
    if missing := post.undelivered():
        raise DifferenceError(f"never arrived: {missing}")
    return stories


def _said_by(town: Town, number: int) -> list[dict[str, Any]]:
    """What a shard said, in its order."""
    ordinals = [change.data.position.ordinal for change in town.log.read_changes() if change.data.position.shard == number]
    changes: list[Change] = [
        replace(change, ordinal=ordinal) for change, ordinal in zip(changes_of(town.log.read_changes(), number), ordinals, strict=True)
    ]
    return in_order(decisions_of(record.value for record in town.log.records(MESSAGES, number)), changes)
