"""The logs of several shards told as one come to the same people in the same segments."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence

import pytest

from streamer.errors import HaltError
from streamer.flow.amendments import Amendment, Amendments
from streamer.flow.catalog import Plans
from streamer.flow.committed import CommittedCustomers
from streamer.flow.shard_history import ShardHistory
from streamer.flow.whole_log import ShardRecords, ShardStory, whole_log
from streamer.language.definitions import Definitions
from streamer.previews.bounds import Bounds
from streamer.previews.conclusion import Wishes, conclude
from streamer.previews.events import Chosen, tie
from streamer.previews.findings import findings_of, united
from streamer.previews.fold import Fold
from streamer.previews.in_force import read_in_force
from streamer.previews.share import Persons, Portion, Share
from streamer.previews.survey import members_of, numbers_in
from streamer.signing import NO_KEYS, Keyring, Signer
from streamer.stores.memory import MemoryStore
from streamer.values import time_text
from streamer.wire import EVENTS, Control, LogRecord, encode_control
from tests.unit.flow.persons import HOUR_MS, MINUTE_MS, SECOND_MS, named, segments
from tests.unit.flow.persons import Persons as Shop

pytestmark = pytest.mark.fast

RULES = segments(
    buyer='did("Order Completed")',
    looker='count("Product Viewed", within="1h") >= 2',
    left='last("Product Viewed") > last("Order Completed") and idle("*") >= "10m"',
    shy='never("Order Completed")',
)
ALL = Share(1.0, Persons())


async def some(records: Sequence[LogRecord], limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
    """Records in batches, as they are read."""
    for start in range(0, len(records), limit):
        yield records[start : start + limit]


async def told(
    shop: Shop,
    amendments: dict[int, list[Amendment]] | None = None,
    limit: int = 7,
    keyring: Keyring = NO_KEYS,
    history: dict[int, int] | None = None,
    definitions: Definitions = RULES,
    share: Share = ALL,
) -> Fold:
    """The whole log of a shop under definitions, with its history below these offsets."""
    shards = range(shop.rules.shards)
    logs = [
        ShardStory(
            some(shop.log.fetch(shard, 0, 100_000), limit),
            ShardRecords(shard, shop.rules, Amendments((amendments or {}).get(shard, [])), keyring),
            ShardHistory(shop.log, shard, ends[shard]) if (ends := history or {}).get(shard) else None,
            shop.now_ms,
        )
        for shard in shards
    ]
    fold = await Fold.begin(definitions, shop.rules, Bounds())
    chosen = Chosen(share, fold.placeholder_ids)
    async for stretch in whole_log(logs):
        await fold.take(chosen.of(stretch))
    fold.begins_ms = chosen.begins_ms
    await fold.until(shop.now_ms)
    return fold


async def in_force(shop: Shop, store: MemoryStore) -> dict[str, set[str]]:
    """Who is where by what the shards have committed."""
    found = await read_in_force(store, CommittedCustomers(store, shop.rules, Plans(store, shop.rules)), shop.rules.shards, ALL)
    return {customer: {found.names[number] for number in numbers_in(bits)} for customer, bits in found.members.items()}


async def folded(fold: Fold) -> dict[str, set[str]]:
    """Who is where by the fold."""
    found = await members_of(fold, ALL)
    return {customer: {found.names[number] for number in numbers_in(bits)} for customer, bits in found.members.items()}


def shop_of(shards: int) -> tuple[Shop, MemoryStore]:
    """A shop whose shards have one store."""
    shop, store = Shop(RULES, shards), MemoryStore()
    shop.stores = [store] * shards
    return shop, store


@pytest.mark.parametrize("seed", range(6))
async def test_all_shards_told_as_one_come_to_what_they_have_committed(seed: int) -> None:
    """With logins across shards, stragglers, merges, erasures and time: what a preview says now is what a deployment has now."""
    draw = random.Random(seed)
    shop, store = shop_of(3)
    for _ in range(60):
        person, visitor = f"u{draw.randrange(8)}", f"v{draw.randrange(8)}"
        what = draw.choice(["Product Viewed", "Product Viewed", "Order Completed"])
        match draw.randrange(8):
            case 0:
                shop.write(what, userId=person, anonymousId=visitor)
            case 1:
                shop.alias(f"u{draw.randrange(8, 10)}", person)
            case 2:
                shop.erase(person)
            case 3 | 4:
                shop.write(what, anonymousId=visitor)
            case _:
                shop.write(what, userId=person)
        await shop.settle()
        shop.now_ms += draw.choice([SECOND_MS, MINUTE_MS, 20 * MINUTE_MS])
    for number in range(9):
        shop.write("Product Viewed", userId=f"alone{number}")
    shop.wait(HOUR_MS)
    await shop.settle()
    assert (await shop.counts())["drained"], "nobody has logged in"
    assert await folded(await told(shop)) == await in_force(shop, store)
    await check_divided(shop)


async def check_divided(shop: Shop) -> None:
    """Told in three parts, one after the other, it comes to the same findings as told at once; and no part has them all."""
    persons = Persons()
    for shard in range(shop.rules.shards):
        records = ShardRecords(shard, shop.rules, Amendments(), NO_KEYS)
        for record in shop.log.fetch(shard, 0, 100_000):
            if (arrival := records.take(record)) is not None:
                tie(persons, arrival, frozenset())
    parts = [Share(1.0, persons, Portion(number, 3)) for number in range(3)]
    found = [await findings_of(await told(shop, share=part), None, days=3, samples=2) for part in parts]
    fold = await told(shop)
    whole = await findings_of(fold, None, days=3, samples=2)
    assert conclude(united(found, 2), fold.plan, Wishes()) == conclude(whole, fold.plan, Wishes())
    assert whole.refused["erased"], "nobody was forgotten"
    assert all(0 < part.events < whole.events for part in found)


async def test_what_shards_have_sent_each_other_counts_once() -> None:
    """The log has the event where it was written and where it was sent on to; told as one there is only the first."""
    shop, store = shop_of(2)
    visitor, user = named("an", 0, 2), named("u", 1, 2)
    shop.write("Product Viewed", anonymousId=visitor)
    shop.write("Product Viewed", userId=user, anonymousId=visitor)
    await shop.settle()
    shop.write("Order Completed", anonymousId=visitor)  # a straggler
    await shop.settle()
    assert shop.sent("event")
    assert shop.sent("adopt")
    fold = await told(shop)
    assert fold.events == 3
    assert await folded(fold) == await in_force(shop, store) == {user: {"buyer", "looker"}}


async def test_what_a_person_has_decided_about_places_of_the_log_holds() -> None:
    """A record that was passed over, a clock that was bounded, and a part of a log that is gone."""
    shop, _ = shop_of(2)
    first, second = named("a", 0, 2), named("b", 1, 2)
    place = shop.log.end(EVENTS, 0)
    shop.write("Order Completed", userId=first)
    shop.write("Order Completed", userId=second)
    assert set(await folded(await told(shop))) == {first, second}
    skip = Amendment("skip", 0, place)
    assert set(await folded(await told(shop, {0: [skip]}))) == {second}
    bound = Amendment("arrival", 1, 0, to=99, arrival_ms=shop.now_ms - HOUR_MS)
    fold = await told(shop, {1: [bound]})
    assert set(await folded(fold)) == {first}, "an event from the future of the bounded clock is refused"
    assert fold.refused == {"future": 1}
    assert set(await folded(await told(shop, {0: [Amendment("resume", 0, place, to=place + 1)]}))) == {second}


async def test_what_is_not_signed_where_keys_hold_is_not_obeyed() -> None:
    """Whoever may write events may write a record that says that somebody is erased; and without the key nobody can tell."""
    keyring = Keyring("shop", {"key": b"s" * 32})
    signer = Signer(keyring, "key", "ab", lambda: 1)
    shop, _ = shop_of(1)
    shop.log.send_control(encode_control(Control("keys", keys={"key": keyring.check_value("key")})), signer=signer)
    shop.write("Order Completed", userId="ann")
    shop.write("Order Completed", userId="bob")
    shop.log.send_control(encode_control(Control("erase", customer="ann")))
    shop.log.send_control(encode_control(Control("erase", customer="bob")), signer=signer)
    assert set(await folded(await told(shop, keyring=keyring))) == {"ann"}
    with pytest.raises(HaltError, match="not in STREAMER_SIGNING_KEYS"):
        await told(shop)


async def test_stretches_come_in_the_order_of_arrival_however_they_are_read() -> None:
    """Shards are read at different speeds, and one may be empty."""
    shop, _ = shop_of(3)
    for number in range(50):
        shop.write("Product Viewed", userId=named(f"c{number % 7}", number % 2, 3))
        shop.now_ms += SECOND_MS
    for limit in (1, 3, 1_000):
        logs = [ShardStory(some(shop.log.fetch(n, 0, 999), limit), ShardRecords(n, shop.rules, Amendments(), NO_KEYS)) for n in range(3)]
        arrivals = [arrival async for stretch in whole_log(logs) for arrival in stretch]
        assert len(arrivals) == 50
        assert [one.arrival_ms for one in arrivals] == sorted(one.arrival_ms for one in arrivals)
        assert sum(story.records.read for story in logs) == 53, "with the definitions of each shard"


async def test_a_log_that_has_lost_its_beginning_says_which_clauses_do_not_see_it() -> None:
    """``never`` over a log that begins last week is a guess, and says so."""
    shop, _ = shop_of(1)
    fold = await Fold.begin(RULES, shop.rules, Bounds())
    fold.lack_before(shop.now_ms)
    for _ in range(2):
        shop.write("Product Viewed", userId="ann")
    logs = [ShardStory(some(shop.log.fetch(0, 0, 99), 9), ShardRecords(0, shop.rules, Amendments(), NO_KEYS))]
    async for stretch in whole_log(logs):
        await fold.take(stretch)
    assert set(fold.since_ms.values()) == {shop.now_ms}
    found = conclude(await findings_of(fold, None, days=1, samples=1, is_cut=True), fold.plan, Wishes())
    clauses = {one.name: one.samples[0].explanation.because for one in found.segments if one.samples}
    assert {(one.known_since, one.whole_from) for one in clauses["shy"]} == {(time_text(shop.now_ms), None)}, (
        "never looks back to the beginning"
    )
    assert {(one.known_since, one.whole_from) for one in clauses["looker"]} == {(time_text(shop.now_ms), time_text(shop.now_ms + HOUR_MS))}
    assert {one.name: one.warming for one in found.segments} == {
        "buyer": ['did("Order Completed")'],
        "left": ['last("Product Viewed") > last("Order Completed")', 'since(last("*")) >= "10m"'],
        "looker": ['count("Product Viewed", within="1h") >= 2'],
        "shy": ['did("Order Completed")'],
    }
