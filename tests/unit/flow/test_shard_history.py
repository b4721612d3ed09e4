"""Logs told as one, with history that was brought in, come to what shards have committed that obeyed it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from streamer.flow.amendments import Amendments
from streamer.flow.shard_history import AT_ONCE, ShardHistory
from streamer.flow.whole_log import ShardRecords, ShardStory, whole_log
from streamer.signing import NO_KEYS
from streamer.stores.memory import MemoryStore
from streamer.wire import ARRIVED_HEADER, COMPARED_HEADER, HISTORY, Control, arrived_text, encode_control, shard_of
from tests.unit.flow.lane.test_history import RULES, SHARDS, OldShop
from tests.unit.flow.persons import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, named
from tests.unit.flow.test_whole_log import folded, in_force, some, told

pytestmark = pytest.mark.fast

ANN, BERT = named("ann", 0, SHARDS), named("bert", 1, SHARDS)


def shop_of() -> tuple[OldShop, MemoryStore]:
    """A shop whose shards have one store."""
    shop, store = OldShop(RULES, SHARDS), MemoryStore()
    shop.stores = [store] * SHARDS
    return shop, store


def ends_of(shop: OldShop) -> dict[int, int]:
    """What of history is part of the past, once that was brought in."""
    return {shard: shop.log.end(HISTORY, shard) for shard in range(SHARDS)}


def remember_compared(shop: OldShop, at_ms: int, customer: str, *, is_compared: bool) -> None:
    """An order that happened when the log had begun."""
    headers = [(ARRIVED_HEADER, arrived_text(at_ms, "00000000000000aa")), *([(COMPARED_HEADER, b"1")] if is_compared else [])]
    body: dict[str, Any] = {"event": "Order Completed", "messageId": f"c{customer}{at_ms}", "timestamp": at_ms, "userId": customer}
    shop.log.append(HISTORY, shard_of(customer, SHARDS), json.dumps(body).encode(), key=customer.encode(), headers=tuple(headers))


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_told_with_history_is_what_shards_that_obeyed_it_have(seed: int) -> None:
    """People of the log and of history alone, logins in both, erasures, time. Without history they differ.

    Nobody logs in between the log's beginning and the record that brings history: lanes of two shards would wait for each other, and the
    shards of this shop go on one after the other. And whom history ties to others nobody erases before: it ties them at that record, where
    a log told as one does when it happened, so there they are forgotten together.
    """
    draw, (shop, store), are_tied = random.Random(seed), shop_of(), seed % 2 == 0

    def person(*, is_linked: bool) -> dict[str, Any]:
        who = draw.randrange(8)
        ids = {"anonymousId": f"v{who}"} if draw.randrange(2) else {"userId": f"u{who}"}
        return {"userId": f"u{who}", "anonymousId": f"v{who}"} if is_linked and draw.randrange(4) == 0 else ids

    for days_ago in sorted((draw.randrange(1, 900) for _ in range(12)), reverse=True):
        shop.remember(days_ago, **person(is_linked=are_tied))
    for number in range(40):
        if number == 15:
            shop.bring()
        if draw.randrange(10) == 0 and (number > 15 or not are_tied):
            shop.erase(f"u{draw.randrange(8)}")
        else:
            shop.write(draw.choice(["Product Viewed", "Order Completed"]), **person(is_linked=number > 15))
        await shop.settle()
        shop.now_ms += draw.choice([MINUTE_MS, HOUR_MS])
    shop.wait(HOUR_MS)
    await shop.settle()
    assert (await shop.counts())["drained"], "nobody has logged in"
    expected = await in_force(shop, store)
    fold = await told(shop, history=ends_of(shop), definitions=RULES)
    assert fold.events == 12 + 40, "control records of erasures are told as well"
    assert await folded(fold) == expected
    assert await folded(await told(shop, definitions=RULES)) != expected


@pytest.mark.parametrize("is_compared", [False, True])
async def test_once_the_log_has_begun_history_counts_where_it_was_compared(is_compared: bool) -> None:
    """Else the log may have the same event, under another message id."""
    shop, store = shop_of()
    shop.write("Product Viewed", userId=ANN)
    shop.now_ms += HOUR_MS
    shop.write("Product Viewed", userId=ANN)
    remember_compared(shop, START_MS + MINUTE_MS, ANN, is_compared=is_compared)
    shop.now_ms += HOUR_MS
    shop.bring()
    shop.wait(MINUTE_MS)
    await shop.settle()
    found = await folded(await told(shop, history=ends_of(shop), definitions=RULES))
    assert found == await in_force(shop, store) == ({ANN: {"buyer"}} if is_compared else {})


async def test_history_of_whom_a_shard_does_not_know_comes_behind_its_last_record() -> None:
    """Nothing arrived in the shard since; it has happened all the same by the moment of which a preview speaks."""
    shop, store = shop_of()
    shop.write("Product Viewed", userId=ANN)
    shop.remember(40, userId=BERT)
    shop.now_ms += MINUTE_MS
    shop.bring()
    await shop.settle()
    expected = await in_force(shop, store)
    records = ShardRecords(1, shop.rules, Amendments(), NO_KEYS)
    [stretch] = [one async for one in whole_log([ShardStory(some([], 9), records, ShardHistory(shop.log, 1, 1), shop.now_ms)])]
    assert [one.arrival_ms for one in stretch] == [START_MS - 40 * DAY_MS]
    assert await folded(await told(shop, history=ends_of(shop), definitions=RULES)) == expected == {BERT: {"buyer"}}


async def test_only_so_much_of_history_is_held_and_what_is_none_is_left_out() -> None:
    """Years of it lie before the first record of a log. Control records, and what says no time, are no history; nor is what lies behind
    the end, or happened before the moment that was asked for."""
    shop, _ = shop_of()
    shop.log.append(HISTORY, 0, encode_control(Control("erase", customer=ANN)), headers=(("streamer-control", b"1"),))
    shop.log.append(HISTORY, 0, b'{"event":"A"}', producer_ms=0)
    for number in range(2 * AT_ONCE):
        remember_compared(shop, START_MS - DAY_MS + number, ANN, is_compared=False)
    shop.write("Product Viewed", userId=ANN)
    records = ShardRecords(0, shop.rules, Amendments(), NO_KEYS)
    history = ShardHistory(shop.log, 0, 2 * AT_ONCE, since_ms=START_MS - DAY_MS + 10)
    story = ShardStory(some(shop.log.fetch(0, 0, 9), 9), records, history, shop.now_ms)
    stretches = [[one.arrival_ms for one in stretch] async for stretch in whole_log([story])]
    times = [at_ms for stretch in stretches for at_ms in stretch]
    assert times == [*range(START_MS - DAY_MS + 10, START_MS - DAY_MS + 2 * AT_ONCE - 2), START_MS]
    assert max(map(len, stretches)) <= AT_ONCE + 1
    assert records.first_ms == times[0], "a log reaches as far back as its history"
