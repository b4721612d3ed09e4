"""One person under several ids: what they did as a visitor counts for who they are after the login, exactly once, in whichever shards."""

from __future__ import annotations

from itertools import permutations

import pytest

from streamer.customers.state import State
from streamer.customers.tombstone import Tombstone, encode_tombstone
from streamer.flow.forwards import HOPS_MAX, Forward
from streamer.flow.machine import Limits
from streamer.stores.memory import MemoryStore
from streamer.wire import NO_LINK_HEADER
from tests.unit.flow.persons import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, Persons, named, segments

CART = segments(
    cart_left='idle("*") >= "30m" and last("Product Added") > last("Order Completed")',
    bought_from_cart='sequence("Product Added", "Order Completed", within="1d")',
    viewer='did("Product Viewed", within="1h")',
)
COUNTS = segments(one='count("A") >= 1', two='count("A") >= 2', three='count("A") >= 3', four='count("A") >= 4')
PLACES = [pytest.param(0, 1, id="in two shards"), pytest.param(1, 1, id="in one shard"), pytest.param(1, 0, id="the other way round")]


@pytest.mark.parametrize(("of_visitor", "of_user"), PLACES)
async def test_a_visitor_who_logs_in_and_buys_has_left_no_cart(of_visitor: int, of_user: int) -> None:
    """The commonest flow of any shop: a reminder to somebody who has bought is what everybody complains of."""
    shop = Persons(CART)
    visitor, user = named("an", of_visitor, 2), named("u", of_user, 2)
    shop.write("Product Added", anonymousId=visitor)
    await shop.settle()
    shop.now_ms += 2 * MINUTE_MS
    shop.write("", type="identify", anonymousId=visitor, userId=user)
    await shop.settle()
    shop.now_ms += 2 * MINUTE_MS
    shop.write("Order Completed", anonymousId=visitor, userId=user)
    await shop.settle()
    shop.wait(HOUR_MS)
    await shop.settle()
    assert shop.said() == [(user, "bought_from_cart", "entered", "event")]
    assert await shop.entry(visitor) == Tombstone(user)


@pytest.mark.parametrize(("of_visitor", "of_user"), PLACES)
async def test_the_old_id_leaves_and_the_survivor_enters_what_it_is_not_in(of_visitor: int, of_user: int) -> None:
    """Whoever keeps the members of a segment must not count one person twice, nor lose them."""
    shop = Persons(COUNTS)
    visitor, user = named("an", of_visitor, 2), named("u", of_user, 2)
    shop.write("A", anonymousId=visitor)
    shop.write("A", anonymousId=visitor)
    await shop.settle()
    login = shop.write("A", anonymousId=visitor, userId=user)
    await shop.settle()
    assert await shop.inside(user) == {"one", "two", "three"}
    assert await shop.sizes() == {"one": 1, "two": 1, "three": 1}
    merged = [change for change in shop.changes() if change.data.cause.kind == "merge"]
    left = [(change.data.segment, change.data.cause.into, change.data.cause.id) for change in merged if change.subject == visitor]
    assert left == [("one", user, login), ("two", user, login)]
    entered = [(change.data.segment, change.data.cause.from_, change.type) for change in merged if change.subject == user]
    assert entered == [("three", visitor, "segment.entered"), ("two", visitor, "segment.entered")]


async def test_a_straggler_of_the_old_id_counts_for_the_survivor_once() -> None:
    """SDKs queue events offline and send them again under the same message id."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.settle()
    straggler = shop.write("A", anonymousId=visitor)
    await shop.settle()
    assert await shop.inside(user) == {"one", "two", "three"}
    shop.write("A", anonymousId=visitor, messageId=straggler)
    await shop.settle()
    assert await shop.inside(user) == {"one", "two", "three"}
    counts = await shop.counts()
    assert (counts["sent_on"], counts["duplicate"], counts["linked"]) == (2, 1, 1), "and it linked nobody again"


async def test_a_second_delivery_to_the_survivor_of_what_the_old_id_had_counts_once() -> None:
    """The ids that were seen go along."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    first = shop.write("A", anonymousId=visitor)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.settle()
    shop.write("A", anonymousId=visitor, userId=user, messageId=first)
    await shop.settle()
    assert await shop.inside(user) == {"one", "two"}
    assert (await shop.counts())["duplicate"] == 1


async def test_a_straggler_is_late_by_when_it_first_arrived() -> None:
    """The way round by the tombstone makes nothing late that was in time."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.settle()
    shop.write("A", anonymousId=visitor)
    await shop.catch_up(0)
    shop.wait(3 * DAY_MS)
    await shop.catch_up(1)
    await shop.settle()
    assert await shop.inside(user) == {"one", "two"}
    assert "late" not in await shop.counts()


async def test_linking_again_changes_nothing() -> None:
    """Every event after the login names both ids: only the first one sends anything."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    for _ in range(3):
        shop.write("A", anonymousId=visitor, userId=user)
        await shop.settle()
    shop.alias(visitor, user)
    await shop.settle()
    assert len(shop.sent("link")) == 1
    assert shop.sent("adopt") == [], "there was nothing to adopt"


async def test_an_alias_joins_two_known_customers() -> None:
    """The one way for it: an event with another userId says nothing of the kind."""
    shop = Persons(COUNTS)
    before, after = named("old", 0, 2), named("new", 1, 2)
    shop.write("A", userId=before)
    shop.write("A", userId=after)
    await shop.settle()
    shop.alias(before, after)
    await shop.settle()
    assert await shop.inside(after) == {"one", "two"}
    assert await shop.entry(before) == Tombstone(after)


async def test_a_chain_ends_one_hop_away() -> None:
    """Visitor, then customer, then customer of another name: each tombstone points to who it is in the end."""
    shop = Persons(COUNTS, shards=3)
    a, u, w = named("a", 0, 3), named("u", 1, 3), named("w", 2, 3)
    shop.write("A", anonymousId=a)
    shop.write("A", anonymousId=a, userId=u)
    await shop.settle()
    shop.alias(u, w)
    shop.write("A", userId=w)
    await shop.settle()
    assert [await shop.entry(a), await shop.entry(u)] == [Tombstone(w), Tombstone(w)]
    assert await shop.inside(w) == {"one", "two", "three"}
    entry = await shop.entry(w)
    assert isinstance(entry, State)
    assert set(entry.links) == {a, u}
    shop.write("A", anonymousId=a)
    await shop.settle()
    assert await shop.inside(w) == {"one", "two", "three", "four"}


async def test_a_past_on_its_way_is_sent_on_to_whom_the_survivor_has_become() -> None:
    """The second link is applied before what the first one sent has come."""
    shop = Persons(COUNTS, shards=3)
    a, u, w = named("a", 0, 3), named("u", 1, 3), named("w", 2, 3)
    shop.write("A", anonymousId=a)
    shop.write("A", anonymousId=a, userId=u)
    shop.alias(u, w)
    await shop.catch_up(1)  # a is to be drained
    await shop.catch_up(2)  # u is to be drained
    await shop.catch_up(1)  # and is, before a was
    await shop.catch_up(0)  # a's past goes to u
    await shop.settle()
    assert len(shop.sent("adopt")) == 3, "it passed a tombstone"
    assert await shop.inside(w) == {"one", "two"}
    assert [await shop.entry(a), await shop.entry(u)] == [Tombstone(w), Tombstone(w)]


@pytest.mark.parametrize("first", [0, 1])
async def test_of_two_who_are_linked_crosswise_the_smaller_id_survives(first: int) -> None:
    """Each was drained into the other at the same moment: neither is lost, and it is the same whoever was quicker."""
    shop = Persons(COUNTS)
    u, v = named("u", 0, 2), named("v", 1, 2)
    shop.write("A", userId=u)
    shop.write("A", userId=v)
    await shop.settle()
    shop.alias(u, v)
    shop.alias(v, u)
    await shop.catch_up(0)
    await shop.catch_up(1)
    assert len(shop.sent("link")) == 2, "they crossed"
    await shop.catch_up(first)
    await shop.catch_up(1 - first)
    await shop.settle()
    assert await shop.inside(u) == {"one", "two"}
    assert await shop.entry(v) == Tombstone(u)
    assert await shop.sizes() == {"one": 1, "two": 1}
    shop.write("A", userId=v)
    shop.write("A", userId=u)
    await shop.settle()
    assert await shop.inside(u) == {"one", "two", "three", "four"}
    assert _alternate(shop)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
async def test_a_circle_of_three_ends_in_one(order: tuple[int, int, int], rounds: int) -> None:
    """No past of the three is lost, whichever of them is drained first."""
    shop = Persons(COUNTS, shards=3)
    ids = [named("u", 0, 3), named("v", 1, 3), named("w", 2, 3)]
    for id_ in ids:
        shop.write("A", userId=id_)
    await shop.settle()
    for before, after in zip(ids, [*ids[1:], ids[0]], strict=True):
        shop.alias(before, after)
    for _ in range(rounds):
        for shard in order:
            await shop.catch_up(shard)
    await shop.settle()
    found = [id_ for id_ in ids if isinstance(await shop.entry(id_), State)]
    assert len(found) == 1
    assert await shop.inside(found[0]) == {"one", "two", "three"}
    assert [await shop.entry(id_) for id_ in ids if id_ not in found] == [Tombstone(found[0])] * 2
    assert await shop.sizes() == {"one": 1, "two": 1, "three": 1}


async def test_a_second_user_of_a_device_adopts_nothing() -> None:
    """The iPad on the counter: what the first one did stays theirs, and what nobody is logged in for follows the newest login."""
    shop = Persons(COUNTS, shards=3)
    device, u, v = named("ipad", 0, 3), named("u", 1, 3), named("v", 2, 3)
    shop.write("A", anonymousId=device)
    shop.write("A", anonymousId=device, userId=u)
    await shop.settle()
    shop.now_ms += HOUR_MS
    shop.write("A", anonymousId=device, userId=v)
    await shop.settle()
    before = START_MS + HOUR_MS
    shop.now_ms += HOUR_MS
    shop.write("A", anonymousId=device)
    shop.write("A", anonymousId=device, timestamp=before)
    await shop.settle()
    assert await shop.inside(u) == {"one", "two", "three"}, "with the one that is dated before the second login"
    assert await shop.inside(v) == {"one", "two"}
    assert await shop.entry(device) == Tombstone(v, before, ((0, u),))
    assert (await shop.counts())["shared_device"] == 1


async def test_an_alias_of_an_id_that_is_somebody_elses_joins_that_person() -> None:
    """Of two known customers one was linked to the device before; who says alias means the person."""
    shop = Persons(COUNTS, shards=3)
    device, u, v = named("ipad", 0, 3), named("u", 1, 3), named("v", 2, 3)
    shop.write("A", anonymousId=device)
    shop.write("A", anonymousId=device, userId=u)
    shop.write("A", userId=v)
    await shop.settle()
    shop.alias(device, v)
    await shop.settle()
    assert await shop.inside(v) == {"one", "two", "three"}
    assert [await shop.entry(device), await shop.entry(u)] == [Tombstone(v), Tombstone(v)]


async def test_an_event_that_may_not_link_links_nobody() -> None:
    """What comes by a key that everybody can read out of a page must not weld people together; also by way of another shard."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor, userId=user, headers=((NO_LINK_HEADER, b"1"),))
    shop.write("A", anonymousId=visitor, userId=user, headers=((NO_LINK_HEADER, b"1"),), shard=0)
    await shop.settle()
    assert await shop.inside(user) == {"one", "two"}
    assert shop.sent("link") == []
    assert len([record for record in shop.sent("event") if (NO_LINK_HEADER, b"1") in record.headers]) == 1, "one lay in another shard"


async def test_an_event_of_two_ids_in_the_wrong_shard_links_at_home() -> None:
    """Producers with another partitioner write most events into another shard."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor)
    shop.write("A", anonymousId=visitor, userId=user, shard=0)
    await shop.settle()
    assert await shop.inside(user) == {"one", "two"}


async def test_a_person_gets_fifty_new_ids_a_month_and_no_more() -> None:
    """A kiosk, or an id that stands for many people. A browser that renews its id weekly gets by."""
    shop = Persons(COUNTS)
    user = named("u", 1, 2)
    for number in range(51):
        shop.write("A", anonymousId=f"browser-{number}", userId=user)
    await shop.settle()
    counts = await shop.counts()
    assert (counts["linked"], counts["link_refused"], counts["accepted"]) == (50, 1, 51), "the event counts all the same"
    shop.now_ms += 31 * DAY_MS
    shop.write("A", anonymousId="browser-51", userId=user)
    await shop.settle()
    entry = await shop.entry(user)
    assert isinstance(entry, State)
    assert len(entry.links) == 50
    assert "browser-51" in entry.links


async def test_an_erasure_by_any_id_erases_the_person() -> None:
    """Who asks to be forgotten knows one of their ids at best. What they do later begins anew."""
    shop = Persons(COUNTS)
    visitor, other, user = named("an", 0, 2), named("other", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor)
    shop.write("A", anonymousId=visitor, userId=user)
    shop.write("A", anonymousId=other, userId=user)
    await shop.settle()
    shop.erase(visitor)
    await shop.settle()
    assert [await shop.entry(id_) for id_ in (visitor, other, user)] == [None, None, None]
    assert await shop.sizes() == {}
    for id_ in (visitor, other):
        shop.write("A", anonymousId=id_, timestamp=START_MS)
    await shop.settle()
    assert (await shop.counts())["of_erased"] == 2, "stragglers from before the erasure"
    shop.now_ms += MINUTE_MS
    shop.write("A", anonymousId=other)
    await shop.settle()
    assert await shop.inside(other) == {"one"}
    assert _alternate(shop)


async def test_an_erasure_of_one_user_of_a_device_leaves_the_other() -> None:
    """The device leads to whoever is left."""
    shop = Persons(COUNTS, shards=3)
    device, u, v = named("ipad", 0, 3), named("u", 1, 3), named("v", 2, 3)
    shop.write("A", anonymousId=device, userId=u)
    await shop.settle()
    shop.write("A", anonymousId=device, userId=v)
    await shop.settle()
    shop.erase(u)
    await shop.settle()
    assert await shop.entry(u) is None
    assert await shop.entry(device) == Tombstone(v)
    assert await shop.inside(v) == {"one"}


async def test_a_past_that_comes_after_the_erasure_is_dropped() -> None:
    """It was on its way when the survivor was erased: to adopt it would bring back what was to be forgotten."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.catch_up(1)
    await shop.catch_up(0)
    shop.now_ms += MINUTE_MS
    shop.erase(user)
    shop.write("A", userId=user, timestamp=shop.now_ms + 1)
    adopt = shop.sent("adopt")
    assert len(adopt) == 1, "it lies in the log already"
    await shop.settle()
    assert (await shop.counts()).get("adopt_of_erased", 0) == 0, "it stood before the erasure, so it was erased with the rest"
    assert await shop.inside(user) == {"one"}


async def test_a_past_that_is_sent_after_the_erasure_is_dropped_and_counted() -> None:
    """The shard of the old id lags behind."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor)
    await shop.catch_up(0)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.catch_up(1)
    shop.erase(user)
    await shop.catch_up(1)
    await shop.settle()
    assert (await shop.counts())["adopt_of_erased"] == 1
    assert [await shop.entry(visitor), await shop.entry(user)] == [None, None]
    assert await shop.sizes() == {}


async def test_a_past_of_somebody_erased_does_not_come_to_who_began_anew() -> None:
    """The shard of the old id lags; meanwhile the customer was erased, came again, and logged in on the same device."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor)
    await shop.catch_up(0)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.catch_up(1)
    shop.now_ms += MINUTE_MS
    shop.erase(user)
    shop.now_ms += MINUTE_MS
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.catch_up(1)
    await shop.settle()
    assert (await shop.counts())["adopt_of_erased"] == 1
    assert await shop.inside(user) == {"one"}


async def test_an_event_passes_eight_tombstones_and_no_more() -> None:
    """While pointers are not shortened yet; what is longer is put aside whole, and can be driven again."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.settle()
    for hops in (HOPS_MAX - 1, HOPS_MAX):
        shop.write("A", anonymousId=visitor, headers=Forward(1, 1, 1_000 + hops, 0, shop.now_ms, "event", hops).headers)
    await shop.settle()
    assert shop.reasons() == ["too_many_hops"]
    assert await shop.inside(user) == {"one", "two"}, "the one that had passed fewer"


async def test_what_a_rebuilt_shard_sends_again_is_applied_once() -> None:
    """Redis was emptied: the shard links, drains and adopts again, and nobody is twice what they were."""
    shop = Persons(COUNTS)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("A", anonymousId=visitor)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.settle()
    said, inside = shop.said(), await shop.inside(user)
    for shard in (0, 1):
        shop.stores[shard] = MemoryStore()
        await shop.settle()
    assert (await shop.counts())["forwarded_again"] == 2, "a link and a past came a second time"
    assert (shop.said(), await shop.inside(user)) == (said, inside)


@pytest.mark.parametrize("limits", [Limits(records=1, states=1, wakes=1), Limits(records=2), Limits()])
async def test_where_commits_are_cut_changes_nothing(limits: Limits) -> None:
    """One story: also of people with several ids."""
    said = [await _long_story(Limits()), await _long_story(limits)]
    assert said[0] == said[1]


async def _long_story(limits: Limits) -> tuple[list[tuple[str, str, str, str]], list[bytes]]:
    shop = Persons(COUNTS, limits=limits)
    a, b, u, v = named("a", 0, 2), named("b", 1, 2), named("u", 1, 2), named("v", 0, 2)
    for id_ in (a, b):
        shop.write("A", anonymousId=id_)
    shop.write("A", anonymousId=a, userId=u)
    shop.write("A", anonymousId=b, userId=u)
    shop.write("A", anonymousId=b, userId=v)
    shop.write("A", anonymousId=a)
    shop.alias(u, v)
    shop.alias(v, u)
    await shop.settle()
    shop.erase(b)
    shop.write("A", anonymousId=b)
    await shop.settle()
    digests = [(await shop.stores[shard].checkpoint(shard)).output_digest for shard in (0, 1)]
    return shop.said(), digests


async def test_a_large_past_comes_in_parts_and_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record has an end. What was remembered of the parts that came first is judged with the last."""
    monkeypatch.setattr("streamer.flow.identity_records.ADOPT_BYTES_MAX", 1)
    shop = Persons(segments(both='count("A") >= 2 and count("B") >= 2', none='count("A") >= 2 and count("B") < 2'))
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    for name in "AB":
        shop.write(name, anonymousId=visitor)
        shop.write(name, userId=user)
    shop.write("C", anonymousId=visitor, userId=user)
    await shop.settle()
    assert len(shop.sent("adopt")) >= 2
    assert shop.said() == [(user, "both", "entered", "merge")]
    shop.write("A", anonymousId=visitor, userId=user, messageId="m1")
    await shop.settle()
    assert (await shop.counts())["duplicate"] == 1


async def test_definitions_may_change_between_drain_and_adopt() -> None:
    """Memories go by what they remember, not by their numbers; one that nobody asks for any more is nothing."""
    shop = Persons(segments(gone='count("B") >= 1', once='count("A") >= 1'))
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    for name in "AAB":
        shop.write(name, anonymousId=visitor)
    shop.write("A", anonymousId=visitor, userId=user)
    await shop.catch_up(1)
    shop.define(segments(thrice='count("A", within="1d") >= 3', fresh='did("C", within="1h")', once='count("A") >= 1'), 2, [1])
    await shop.catch_up(0)
    await shop.catch_up(1)
    assert (await shop.counts())["adopted"] == 1, "under the other definitions"
    assert await shop.inside(user) == {"once"}, "what the other memory would have had is not known"
    shop.define(segments(once='count("A") >= 1'), 3)
    await shop.settle()
    assert await shop.entry(visitor) == Tombstone(user), "a tombstone is the same under all definitions"
    assert await shop.inside(user) == {"once"}


def _alternate(shop: Persons) -> bool:
    """Whether every customer enters and leaves each segment in turn."""
    last: dict[tuple[str, str], str] = {}
    for subject, segment, kind, _ in shop.said():
        if last.get((subject, segment), "exited") == kind:
            return False
        last[subject, segment] = kind
    return True


async def test_a_past_that_cannot_be_joined_exactly_is_counted_once() -> None:
    """The halves of a sequence came under two names, and days later neither knows its half any more. Who has forgotten nothing is joined
    exactly."""
    shop = Persons(segments(bought='sequence("Product Added", "Order Completed", within="1h")'))
    visitor, user, other = named("an", 0, 2), named("u", 1, 2), named("v", 1, 2)
    shop.write("Product Added", anonymousId=visitor)
    shop.now_ms += MINUTE_MS
    shop.write("Order Completed", userId=user)
    await shop.settle()
    shop.wait(5 * DAY_MS)
    await shop.settle()
    for id_ in (visitor, user):
        shop.write("Product Added", userId=id_)
    await shop.settle()
    shop.alias(visitor, user)
    await shop.settle()
    assert ((await shop.counts())["adopted"], (await shop.counts())["approximate"]) == (1, 1)
    shop.write("Product Added", anonymousId="fresh")
    shop.write("Order Completed", anonymousId="fresh", userId=other)
    await shop.settle()
    assert ((await shop.counts())["adopted"], (await shop.counts())["approximate"]) == (2, 1)


def test_a_tombstone_is_small() -> None:
    """One is left for every visitor who ever logged in, as long as the log."""
    uuid = "7d0c2f61-3f7e-4d29-9c1a-5b8e2f1a9d04"
    assert len(encode_tombstone(Tombstone(uuid, changes=1_000))) <= 60
