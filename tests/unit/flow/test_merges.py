"""``customer.merged``: whoever keeps something of their own by customer learns whose it has become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import jsonschema_rs
import pytest

from streamer.segments.change import Change, encode_json
from streamer.segments.merge import decode_change_or_merge
from streamer.wire import CHANGES
from tests.unit.flow.persons import Persons, named, segments

SCHEMAS: Final = Path(__file__).parents[3] / "schemas"
COUNTS: Final = segments(one='count("A") >= 1', two='count("A") >= 2')


@pytest.mark.parametrize(("of_visitor", "of_user"), [pytest.param(0, 1, id="in two shards"), pytest.param(1, 1, id="in one shard")])
async def test_a_merge_is_said_under_the_survivor_before_what_it_brings_about(of_visitor: int, of_user: int) -> None:
    """Who joins two rows of their own must have done so before the first change of the one that is left."""
    shop = Persons(COUNTS)
    visitor, user = named("an", of_visitor, 2), named("u", of_user, 2)
    shop.write("A", anonymousId=visitor)
    await shop.settle()
    login = shop.write("A", anonymousId=visitor, userId=user)
    await shop.settle()
    [merge] = shop.merges()
    assert (merge.subject, merge.data.from_, merge.data.to, merge.data.also, merge.data.cause) == (user, visitor, user, [], login)
    [entered] = [change for change in shop.changes() if change.subject == user and change.data.cause.kind == "merge"]
    assert (entered.data.position.offset, entered.data.position.ordinal) == (merge.data.position.offset, merge.data.position.ordinal + 1)


async def test_a_merge_is_as_its_schema_says_and_lies_among_changes_under_its_customer() -> None:
    """A reader in another language has only the schema, and order by key only where the key is the customer."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.settle()
    schema = jsonschema_rs.Draft202012Validator(json.loads((SCHEMAS / "customer-merged.v1.json").read_text(encoding="utf-8")))
    [record] = [record for record in shop.log.records(CHANGES, 1) if not isinstance(decode_change_or_merge(record.value), Change)]
    schema.validate(json.loads(record.value))
    assert encode_json(decode_change_or_merge(record.value)) == record.value
    assert record.key == user.encode()


async def test_a_chain_says_each_step_and_which_ids_came_along() -> None:
    """Visitor, then customer, then customer of another name: whoever joined the first two needs only the second step."""
    shop = Persons(COUNTS, shards=3)
    a, u, w = named("a", 0, 3), named("u", 1, 3), named("w", 2, 3)
    shop.write("A", anonymousId=a)
    shop.write("A", anonymousId=a, userId=u)
    await shop.settle()
    shop.alias(u, w)
    await shop.settle()
    assert [(merge.data.from_, merge.data.to, merge.data.also) for merge in shop.merges()] == [(a, u, []), (u, w, [a])]


async def test_an_id_of_which_nothing_was_known_merges_nothing() -> None:
    """The first event of a new visitor often names both ids: there is no past, and nobody was in a segment by it."""
    shop = Persons(COUNTS)
    shop.write("A", anonymousId=named("an", 0, 2), userId=named("u", 1, 2))
    await shop.settle()
    assert len(shop.sent("link")) == 1
    assert shop.merges() == []


async def test_the_second_user_of_a_device_is_not_merged_with_the_first() -> None:
    """What is said of persons must not be said of devices."""
    shop = Persons(COUNTS, shards=3)
    device, u, v = named("ipad", 0, 3), named("u", 1, 3), named("v", 2, 3)
    shop.write("A", anonymousId=device)
    for user in (u, v):
        shop.write("A", anonymousId=device, userId=user)
        await shop.settle()
    assert (await shop.counts())["shared_device"] == 1
    assert [(merge.data.from_, merge.data.to) for merge in shop.merges()] == [(device, u)]


async def test_readers_of_changes_are_handed_none() -> None:
    """Whoever asks only who is in which segment must not break on what is something else."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.settle()
    assert len(shop.merges()) == 1
    assert {change.type for change in shop.changes()} == {"segment.entered", "segment.exited"}
