"""Of somebody who was erased every place is looked at, and what is left there that must not be is said."""

from __future__ import annotations

import json

import pytest

from streamer.errors import SettingsError
from streamer.exports.erasure_proof import ErasureProof, PlaceVerdict, prove
from streamer.settings import load_settings
from streamer.stores.base import Commit
from streamer.wire import ARRIVED_HEADER, CHANGES, COMMANDS, EXAMPLES, HISTORY, arrived_text, shard_of
from tests.unit.exports.test_customer_export import LogReader, shop_of
from tests.unit.flow.persons import DAY_MS, HOUR_MS, MINUTE_MS, START_MS, Persons
from tests.unit.server.desk import SHARDS, StoreOfShops


class ShopReader(LogReader):
    """Nobody has asked the workers of this shop for anything."""

    async def begin(self, topic: str, shard: int) -> int:
        if topic == COMMANDS:
            raise SettingsError("there is no such topic")
        return await super().begin(topic, shard)


async def proof_of(shop: Persons, customer: str) -> ErasureProof:
    """What is found."""
    return await prove(load_settings(shards=SHARDS), StoreOfShops(shop.stores), ShopReader(shop), customer)


def verdicts(found: ErasureProof) -> dict[str, PlaceVerdict]:
    """By place."""
    return {one.place: one.verdict for one in found.findings}


async def erased(customer: str = "ada") -> Persons:
    """A shop that has forgotten her, under every id."""
    shop = await shop_of()
    shop.wait(MINUTE_MS)
    shop.erase(customer)
    await shop.settle()
    return shop


@pytest.mark.parametrize("asked", ["ada", "visitor"])
@pytest.mark.parametrize("customer", ["ada", "visitor"])
async def test_of_a_person_who_was_erased_nothing_is_left_but_what_topics_keep(customer: str, asked: str) -> None:
    """Under whichever id they were erased: the store has nothing, and what was published is kept and counted."""
    found = await proof_of(await erased(customer), asked)
    assert found.holds
    assert {place for place, verdict in verdicts(found).items() if verdict == "kept"} >= {"events", "changes"}
    assert (verdicts(found)["state"], verdicts(found)["examples"]) == ("none", "none")


async def test_who_was_not_erased_is_proved_nothing_of() -> None:
    """No erasure is in the log: that little is found says nothing."""
    shop = await shop_of()
    assert not (await proof_of(shop, "ada")).holds
    assert not (await proof_of(shop, "nobody")).holds


async def test_somebody_new_by_the_same_id_is_not_taken_for_what_is_left() -> None:
    """They came behind the erasure, and are told as such."""
    shop = await erased()
    shop.wait(MINUTE_MS)
    shop.write("A", userId="ada")
    await shop.settle()
    found = await proof_of(shop, "ada")
    assert found.holds
    assert verdicts(found)["state"] == "new"


async def test_a_state_that_is_left_is_found() -> None:
    """As if the erasure had not been applied, or a backup of the store had been put back."""
    shop = await shop_of()
    number = shard_of("ada", SHARDS)
    store = shop.stores[number]
    [state] = (await store.fetch(number, ["ada"], until_ms=0, limit=0)).states
    shop.wait(MINUTE_MS)
    shop.erase("ada")
    await shop.settle()
    before = await store.acquire(number)
    await store.commit(number, Commit(before, before.position, before.output_digest, before.body, {"ada": state}, {}, holds=before.holds))
    found = await proof_of(shop, "ada")
    assert not found.holds
    assert verdicts(found)["state"] == "left"


def remember(shop: Persons, at_ms: int, customer: str) -> None:
    """What was imported once the log had begun."""
    body = {"event": "A", "messageId": f"h{at_ms}", "timestamp": at_ms, "userId": customer}
    header = (ARRIVED_HEADER, arrived_text(at_ms, "00000000000000aa"))
    shop.log.append(HISTORY, shard_of(customer, SHARDS), json.dumps(body).encode(), key=customer.encode(), headers=(header,))


async def test_imported_history_is_looked_at_too() -> None:
    """It lies in a topic of its own, under the id, and stays there when they are erased."""
    shop = await erased()
    for customer in ("ada", "ada", "bob"):
        remember(shop, START_MS - DAY_MS, customer)
    found = await proof_of(shop, "ada")
    assert found.holds
    [history] = [one for one in found.findings if one.place == "history"]
    assert (history.verdict, history.found) == ("kept", 2)
    assert verdicts(await proof_of(await erased(), "ada"))["history"] == "none"


async def test_history_of_after_the_erasure_is_of_somebody_new() -> None:
    """The log has not all that happened; what was compared with it counts, and so somebody comes by the id again."""
    shop = await erased()
    shop.wait(HOUR_MS)
    remember(shop, shop.now_ms - MINUTE_MS, "ada")
    assert verdicts(await proof_of(shop, "ada"))["history"] == "new"


@pytest.mark.parametrize("topic", [CHANGES, EXAMPLES])
async def test_what_is_said_of_them_behind_the_erasure_is_found(topic: str) -> None:
    """Nobody came by the id, so nothing may be said of it; and what models learn from never names anybody."""
    shop = await erased()
    offset = len(list(shop.log.records("events", shard_of("ada", SHARDS)))) + 1
    raw = b'{"subject":"ada","data":{"position":{"offset":%d}}}' % offset
    shop.log.append(topic, shard_of("ada", SHARDS), raw, key=b"ada")
    found = await proof_of(shop, "ada")
    assert not found.holds
    assert verdicts(found)["changes" if topic == CHANGES else "examples"] == "left"
