"""Of somebody who was erased every place is looked at, and what is left there that must not be is said."""

from __future__ import annotations

import json

import pytest

from streamer.customers.offsets import NO_ROW, set_history, with_one_more
from streamer.customers.state import decode_state, encode_state
from streamer.errors import SettingsError
from streamer.exports.erasure_proof import ErasureProof, PlaceVerdict, prove
from streamer.settings import load_settings
from streamer.stores.base import Commit
from streamer.wire import ARRIVED_HEADER, CHANGES, COMMANDS, EXAMPLES, HISTORY, arrived_text, shard_of
from tests.unit.exports.test_customer_export import RULES, LogReader, shop_of
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


async def put(shop: Persons, customer: str, state: bytes | None) -> None:
    """Somebody's state, into the store behind the back of its shard."""
    number = shard_of(customer, SHARDS)
    before = await shop.stores[number].acquire(number)
    changed = Commit(before, before.position, before.output_digest, before.body, {customer: state}, {}, holds=before.holds)
    await shop.stores[number].commit(number, changed)


async def test_a_state_that_is_left_is_found() -> None:
    """As if the erasure had not been applied, or a backup of the store had been put back."""
    shop = await shop_of()
    number = shard_of("ada", SHARDS)
    [state] = (await shop.stores[number].fetch(number, ["ada"], until_ms=0, limit=0)).states
    shop.wait(MINUTE_MS)
    shop.erase("ada")
    await shop.settle()
    await put(shop, "ada", state)
    found = await proof_of(shop, "ada")
    assert not found.holds
    assert verdicts(found)["state"] == "left"


def remember(shop: Persons, at_ms: int, customer: str, **also: str) -> None:
    """What was imported once the log had begun."""
    body = {"event": "A", "messageId": f"h{at_ms}", "timestamp": at_ms, "userId": customer, **also}
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


@pytest.mark.parametrize("is_brought", [True, False])
async def test_an_id_that_history_ties_to_theirs_is_found_where_history_of_it_is_remembered(is_brought: bool) -> None:
    """The log had not seen the phone when she was erased, so she was not under that id: it is to be erased too. A phone of which no history
    is remembered is of whoever has it now."""
    shop = Persons(RULES, SHARDS, keeps_offsets=True)
    for customer in ("ada", "phone"):
        shop.write("A", userId=customer)
    await shop.settle()
    shop.wait(MINUTE_MS)
    shop.erase("ada")
    await shop.settle()
    remember(shop, START_MS - DAY_MS, "ada", anonymousId="phone")
    if is_brought:
        number = shard_of("phone", SHARDS)
        [blob] = (await shop.stores[number].fetch(number, ["phone"], until_ms=0, limit=0)).states
        assert blob is not None
        state = decode_state(blob)
        set_history(state, with_one_more(NO_ROW, 0, 0))
        await put(shop, "phone", encode_state(state))
    found = await proof_of(shop, "ada")
    [others] = [one for one in found.findings if one.place == "other ids"]
    assert (others.verdict, others.found, "phone" in others.why) == (("left", 1, True) if is_brought else ("none", 0, False))
    assert found.holds != is_brought


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
