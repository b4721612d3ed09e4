"""Who was in a segment at any moment: what was said since, and who is in it now, tell it."""

from __future__ import annotations

import random

import pytest

from streamer.errors import SettingsError
from streamer.previews.past_members import SaidSince
from streamer.wire import CHANGES
from tests.unit.flow.persons import DAY_MS, HOUR_MS, MINUTE_MS, Persons, named, segments

RULES = segments(lately='did("A", within="1h")', twice='count("A") >= 2', never='never("A")')
SHARDS = 2
PEOPLE = [named(begin, shard, SHARDS) for begin in ("u", "v") for shard in range(SHARDS)]


async def members(shop: Persons) -> dict[str, set[str]]:
    """Who is in each segment by the store."""
    inside = {person: await shop.inside(person) for person in PEOPLE}
    return {name: {person for person in PEOPLE if name in inside[person]} for name in ("lately", "twice", "never")}


def said(shop: Persons) -> list[bytes]:
    """All that was published, shard by shard."""
    return [record.value for shard in range(SHARDS) for record in shop.log.records(CHANGES, shard)]


async def lived(seed: int) -> tuple[Persons, dict[int, dict[str, set[str]]]]:
    """Two days of four people, of whom some are joined and one is erased; and who was where at some moments."""
    draw, shop, then = random.Random(seed), Persons(RULES, SHARDS), dict[int, dict[str, set[str]]]()
    for number in range(24):
        shop.wait(draw.choice([MINUTE_MS, 20 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS]))
        match draw.randrange(8) if number > 3 else 7:
            case 0:
                old, new = draw.sample(PEOPLE, 2)
                shop.alias(old, new)
            case 1 if number > 12:
                shop.erase(draw.choice(PEOPLE))
            case _:
                shop.write("A" if draw.randrange(3) else "B", userId=draw.choice(PEOPLE))
        await shop.settle()
        then[shop.now_ms] = await members(shop)
    shop.wait(2 * DAY_MS)
    await shop.settle()
    return shop, then


@pytest.mark.parametrize("seed", range(3))
async def test_the_members_of_any_moment_are_those_of_then(seed: int) -> None:
    """Joined, erased, left by time alone: whoever had a change since is where the first one says that they were."""
    shop, then = await lived(seed)
    now, published = await members(shop), said(shop)
    for at_ms, expected in then.items():
        for name, there in expected.items():
            since = SaidSince(name, at_ms, 1)
            since.take(published)
            assert since.members(now[name]) == sorted(there), (name, at_ms)
    assert any(there != now[name] for expected in then.values() for name, there in expected.items())


async def test_of_before_the_log_began_anew_nothing_is_told() -> None:
    """Positions begin again with each log, so which change was the first one since cannot be told."""
    shop, then = await lived(0)
    since = SaidSince("twice", min(then), 2)
    with pytest.raises(SettingsError, match="began anew"):
        since.take(said(shop))
