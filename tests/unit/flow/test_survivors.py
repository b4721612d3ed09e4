"""Who takes what of whom, where people share a device, were erased and began anew, or survived twice: what must not be confused."""

from __future__ import annotations

import pytest

from streamer.customers.state import State
from streamer.customers.tombstone import Tombstone
from streamer.flow.forwards import Forward
from streamer.flow.identity_records import Redirect, encode_identity
from streamer.wire import EVENTS, shard_of
from tests.unit.flow.persons import HOUR_MS, MINUTE_MS, Persons, named, segments

COUNTS = segments(**{f"n{times}": f'count("A") >= {times}' for times in range(1, 5)})


async def test_a_user_of_a_shared_device_who_gets_another_name_keeps_their_part_of_it() -> None:
    """The device leads to both of its users, each under their new name; neither gets what is the other's."""
    shop = Persons(COUNTS, shards=3)
    device, u, v, w = named("ipad", 0, 3), named("u", 1, 3), named("v", 2, 3), named("w", 1, 3)
    shop.write("A", anonymousId=device, userId=u)
    await shop.settle()
    shop.now_ms += HOUR_MS
    shop.write("A", anonymousId=device, userId=v)
    await shop.settle()
    since_ms = shop.now_ms
    shop.alias(u, w)
    await shop.settle()
    assert await shop.entry(device) == Tombstone(v, since_ms, ((0, w),))
    assert (await shop.inside(v), await shop.inside(w)) == ({"n1"}, {"n1"})


async def test_an_erasure_by_a_shared_device_erases_everybody_on_it() -> None:
    """The first user has its past, the newest what came in under it since: both are asked to forget."""
    shop = Persons(COUNTS, shards=3)
    device, u, v = named("ipad", 0, 3), named("u", 1, 3), named("v", 2, 3)
    for user in (u, v):
        shop.write("A", anonymousId=device, userId=user)
        await shop.settle()
    shop.erase(device)
    await shop.settle()
    assert [await shop.entry(id_) for id_ in (device, u, v)] == [None] * 3
    assert await shop.sizes() == {}


async def test_a_past_that_comes_by_an_old_id_does_not_come_to_who_began_anew() -> None:
    """The device was linked to somebody who was to be joined, and whoever wanted that was erased meanwhile."""
    shop = Persons(COUNTS, shards=3)
    device, u, w = named("ipad", 0, 3), named("u", 1, 3), named("w", 2, 3)
    shop.write("A", anonymousId=device, userId=u)
    await shop.settle()
    shop.alias(device, w)
    await shop.catch_up(2)
    shop.now_ms += MINUTE_MS
    shop.erase(w)
    shop.now_ms += MINUTE_MS
    shop.write("A", userId=w)
    await shop.catch_up(2)
    await shop.settle()
    assert [await shop.entry(id_) for id_ in (u, device)] == [Tombstone(w), Tombstone(u)], "the link was on its way"
    assert (await shop.counts())["adopt_of_erased"] == 1
    assert await shop.inside(w) == {"n1"}


async def test_who_began_anew_does_not_meet_who_they_were() -> None:
    """An old id was erased and is a new customer, when it is told whose it is: that is no second survivor."""
    shop = Persons(COUNTS, shards=3)
    a, u, w = named("a", 0, 3), named("u", 1, 3), named("w", 2, 3)
    shop.write("A", anonymousId=a)
    shop.write("A", anonymousId=a, userId=u)
    await shop.settle()
    shop.alias(u, w)
    await shop.catch_up(2)
    await shop.catch_up(1)
    shop.erase(a)
    await shop.catch_up(0)
    shop.now_ms += MINUTE_MS
    shop.write("A", anonymousId=a)
    await shop.catch_up(0)
    await shop.catch_up(2)
    assert len(shop.sent("point")) == 1, "w has adopted u, and tells a"
    await shop.catch_up(0)
    await shop.catch_up(2)
    await shop.settle()
    assert await shop.inside(a) == {"n1"}
    assert [await shop.entry(id_) for id_ in (u, w)] == [None, None]


@pytest.mark.parametrize("told", ["smaller", "larger"])
async def test_of_two_survivors_the_smaller_id_stays_whichever_is_told(told: str) -> None:
    """The larger one may be merged into somebody else when it is told: so the smaller one asks for it."""
    shop = Persons(COUNTS, shards=4)
    r, s, device = named("r", 0, 4), named("s", 1, 4), named("ipad", 2, 4)
    for survivor in (r, s):
        shop.write("A", anonymousId=device, userId=survivor)
    await shop.settle()
    one, other = (r, s) if told == "smaller" else (s, r)
    _point(shop, one, other, device)
    if told == "larger":
        shop.write("A", anonymousId=s, userId=r)
        await shop.advance(0)  # the smaller one has noted the larger, as it has whenever it tells it
    await shop.advance(0 if one == r else 1)
    assert len(shop.sent("adopt")) == (0 if told == "smaller" else 1), "the larger one drains at once"
    await shop.settle()
    assert isinstance(await shop.entry(r), State)
    assert await shop.entry(s) == Tombstone(r)
    assert await shop.inside(r) == {f"n{times}" for times in range(1, 3 if told == "smaller" else 4)}


def _point(shop: Persons, customer: str, to: str, shared: str) -> None:
    """What a survivor says to whoever they take for an old id of theirs, as of a shard that sends nothing else."""
    point = Redirect(id=customer, to=to, instead_of=[shared], cause="m0", linked_ms=shop.now_ms)
    forward = Forward(1, 3, 1_000, 0, shop.now_ms, "point")
    shard = shard_of(customer, shop.rules.shards)
    shop.log.append(EVENTS, shard, encode_identity(point), key=customer.encode(), headers=forward.headers)
