"""Two who were joined by mistake are two again: what each knows, what is said of it, and what joins them once more."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from streamer.customers.state import State
from streamer.customers.tombstone import Tombstone
from streamer.segments.change import encode_json
from streamer.segments.merge import decode_change_or_merge
from streamer.wire import CHANGES, shard_of
from tests.unit.flow.parting import told_apart
from tests.unit.flow.persons import MINUTE_MS, Persons, named, segments

SCHEMAS = Path(__file__).parents[3] / "schemas"
COUNTS = segments(one='count("A") >= 1', two='count("A") >= 2', three='count("A") >= 3', none='never("A")')
SHARDS = 2
USER = named("u", 1, SHARDS)
HERE, THERE = named("an", 1, SHARDS), named("an", 0, SHARDS)  # in the shard of the user, and in the other one
PHONE = named("phone", 0, SHARDS)


async def record_of(shop: Persons, old: str) -> bytes:
    """What parts ``old`` from whom it goes by."""

    async def stored(customer: str) -> bytes | None:
        number = shard_of(customer, SHARDS)
        return (await shop.stores[number].fetch(number, [customer], until_ms=0, limit=0)).states[0]

    found = await told_apart(shop.log, shop.rules, stored, old)
    assert found is not None
    return found[1]


async def part(shop: Persons, old: str) -> None:
    """Have them parted, and see to the end of it."""
    shop.log.send_control(await record_of(shop, old), [shard_of(USER, SHARDS)])
    await shop.settle()


async def joined(old: str) -> Persons:
    """One of two events came under the old id before they were joined, the other after that; the user has one of their own."""
    shop = Persons(COUNTS, SHARDS)
    shop.write("A", userId=old)
    shop.write("A", userId=USER)
    await shop.settle()
    shop.wait(MINUTE_MS)
    shop.alias(old, USER)
    await shop.settle()
    shop.wait(MINUTE_MS)
    shop.write("A", userId=old)
    await shop.settle()
    assert await shop.inside(USER) == {"one", "two", "three"}
    return shop


@pytest.mark.parametrize("old", [HERE, THERE])
async def test_each_knows_what_was_said_of_them_alone(old: str) -> None:
    """Before the merge and after it; and they are in what they would be in."""
    shop = await joined(old)
    await part(shop, old)
    assert (await shop.inside(USER), await shop.inside(old)) == ({"one"}, {"one", "two"})
    assert {entry for entry in shop.said() if entry[3] == "unmerge"} == {
        (USER, "two", "exited", "unmerge"),
        (USER, "three", "exited", "unmerge"),
        (old, "one", "entered", "unmerge"),
        (old, "two", "entered", "unmerge"),
    }
    assert await shop.sizes() == {"one": 2, "two": 1}
    user, other = await shop.entry(USER), await shop.entry(old)
    assert isinstance(user, State)
    assert isinstance(other, State)
    assert (user.links, user.parted, other.links) == ({}, {old: old}, {})


async def test_numbers_of_changes_are_never_used_twice() -> None:
    """Whoever keeps the newest of a customer and a segment would drop what has an older number."""
    shop = await joined(THERE)
    await part(shop, THERE)
    shop.alias(THERE, USER)
    await shop.settle()
    await part(shop, THERE)
    numbers = [(change.subject, change.data.segment, change.data.sequence) for change in shop.changes()]
    assert len(numbers) == len(set(numbers))
    assert len([one for one in numbers if one[0] == THERE and one[1] == "two"]) == 3


async def test_readers_are_told_before_the_changes_which_id_is_a_customer_again() -> None:
    """Whoever keeps something of their own by customer: under the id itself, so in order with what is said of it."""
    shop = await joined(THERE)
    assert shop.unmerges() == []
    await part(shop, THERE)
    [said] = shop.unmerges()
    assert (said.subject, said.data.to, said.data.from_, said.data.also) == (THERE, THERE, USER, [])
    entered = [change for change in shop.changes() if change.subject == THERE and change.data.cause.kind == "unmerge"]
    places = [(one.data.position.shard, one.data.position.offset, one.data.position.ordinal) for one in (said, *entered)]
    assert places == [(shard_of(THERE, SHARDS), places[0][1], number) for number in range(3)]
    schema = jsonschema_rs.Draft202012Validator(json.loads((SCHEMAS / "customer-unmerged.v1.json").read_text(encoding="utf-8")))
    [record] = [record for record in shop.log.records(CHANGES, shard_of(THERE, SHARDS)) if b"customer.unmerged" in record.value]
    schema.validate(json.loads(record.value))
    assert encode_json(decode_change_or_merge(record.value)) == record.value
    assert record.key == THERE.encode()


async def test_the_evidence_by_which_they_were_joined_does_not_join_them_again() -> None:
    """A browser goes on to send both ids with each event: what was judged to be wrong stays so, until somebody says it outright."""
    shop = await joined(THERE)
    await part(shop, THERE)
    shop.write("A", userId=USER, anonymousId=THERE)
    await shop.settle()
    assert (await shop.counts())["link_parted"] == 1
    assert isinstance(await shop.entry(THERE), State)
    shop.alias(THERE, USER)
    await shop.settle()
    assert await shop.entry(THERE) == Tombstone(USER)
    assert await shop.inside(USER) == {"one", "two", "three"}


async def test_what_came_meanwhile_is_not_lost() -> None:
    """Something came to the user after the logs were read: the record lacks it, so it counts for nothing, and is asked for anew."""
    shop = await joined(THERE)
    record = await record_of(shop, THERE)
    shop.write("A", userId=USER)
    shop.log.send_control(record, [shard_of(USER, SHARDS)])
    await shop.settle()
    assert (await shop.counts())["part_refused"] == 1
    assert await shop.entry(THERE) == Tombstone(USER)
    await part(shop, THERE)
    assert await shop.inside(USER) == {"one", "two"}


async def test_what_was_on_its_way_to_the_survivor_is_sent_back() -> None:
    """It came under the old id, and its shard had sent it on, before they were parted."""
    shop = await joined(THERE)
    record = await record_of(shop, THERE)
    shop.log.send_control(record, [shard_of(USER, SHARDS)])
    shop.write("A", userId=THERE)
    await shop.catch_up(shard_of(THERE, SHARDS))
    assert len(shop.sent("event")) == 2
    await shop.settle()
    assert (await shop.counts())["parted"] == 1
    assert len(shop.sent("event")) == 3
    assert (await shop.inside(USER), await shop.inside(THERE)) == ({"one"}, {"one", "two", "three"})


async def test_ids_that_were_joined_into_the_old_one_stay_with_it() -> None:
    """Two users were joined, each with devices: a device goes with its user, and so does what it says from then on."""
    shop = Persons(COUNTS, SHARDS)
    other = named("v", 0, SHARDS)
    shop.write("A", anonymousId=PHONE)
    shop.write("A", userId=other)
    await shop.settle()
    shop.alias(PHONE, other)
    shop.alias(HERE, USER)
    await shop.settle()
    shop.alias(other, USER)
    await shop.settle()
    assert await shop.entry(PHONE) == Tombstone(USER)
    shop.write("A", anonymousId=PHONE)
    await shop.settle()
    assert await shop.inside(USER) == {"one", "two", "three"}
    await part(shop, other)
    assert (await shop.inside(USER), await shop.inside(other)) == ({"none"}, {"one", "two", "three"})
    assert await shop.entry(PHONE) == Tombstone(other)
    assert await shop.entry(HERE) == Tombstone(USER)
    shop.write("A", anonymousId=PHONE)
    await shop.settle()
    entry = await shop.entry(other)
    assert isinstance(entry, State)
    assert set(entry.links) == {PHONE}


async def test_somebody_in_the_middle_of_a_chain_is_parted_with_what_came_by_them() -> None:
    """The old id is not the one whose past came to the survivor last: the logs say who came by whom."""
    shop = Persons(COUNTS, SHARDS)
    other = named("v", 0, SHARDS)
    for id_ in (PHONE, other, USER):
        shop.write("A", userId=id_)
    await shop.settle()
    shop.alias(PHONE, other)
    await shop.settle()
    shop.alias(other, USER)
    await shop.settle()
    assert await shop.inside(USER) == {"one", "two", "three"}
    await part(shop, PHONE)
    assert (await shop.inside(USER), await shop.inside(PHONE)) == ({"one", "two"}, {"one"})
    assert await shop.entry(other) == Tombstone(USER)


async def test_what_was_erased_does_not_come_back() -> None:
    """Everybody who was one person at the erasure was forgotten: only what came after it is told anew."""
    shop = await joined(THERE)
    shop.erase(USER)
    await shop.settle()
    shop.wait(MINUTE_MS)
    shop.write("A", userId=THERE)
    shop.write("A", userId=USER)
    await shop.settle()
    shop.alias(THERE, USER)
    await shop.settle()
    await part(shop, THERE)
    assert (await shop.inside(USER), await shop.inside(THERE)) == ({"one"}, {"one"})


async def test_a_record_that_cannot_be_read_is_refused() -> None:
    """Anybody who may write into the log may write nonsense there; nobody is changed by it."""
    shop = await joined(THERE)
    control = msgspec.json.decode(await record_of(shop, THERE))
    shop.log.send_control(msgspec.json.encode({**control, "past": "eJwDAAAAAAE="}), [shard_of(USER, SHARDS)])
    await shop.settle()
    assert shop.reasons() == ["bad_control"]
    assert await shop.entry(THERE) == Tombstone(USER)
