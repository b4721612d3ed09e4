"""An export has all that the store and the topics have of a customer, nothing of anybody else, and says what it does not have."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest

from streamer.errors import SettingsError, UnansweredError
from streamer.exports import document
from streamer.exports.document import ELSEWHERE, CustomerExport
from streamer.language.definitions import parse_definitions
from streamer.server.customer_answers import NoEnds
from streamer.server.process import answers_over
from streamer.settings import load_settings
from streamer.values import time_text
from streamer.wire import ARRIVED_HEADER, DEAD_LETTERS, EVENTS, HISTORY, LEDGER, SENDS, arrived_text, shard_of
from tests.unit.flow.persons import DAY_MS, MINUTE_MS, START_MS, Persons
from tests.unit.server.desk import SHARDS, StoreOfShops

RULES: Final = parse_definitions(
    {
        "segments": {
            "seen": {"for": "x", "when": 'did("A")'},
            "often": {"for": "x", "when": 'count("A", within="1d") >= 3'},
            "german": {"for": "x", "when": 'trait("country") == "DE"'},
        },
        "messages": {"word": {"for": "a word", "on": 'entered("seen")', "channel": "console", "kind": "transactional"}},
    }
)


@dataclass
class Stored:
    """A record as a broker has it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class LogReader:
    """The topics of a shop, two records at a time. ``away``: those that do not answer; ``begins``: offsets of those whose beginning is
    gone."""

    def __init__(self, shop: Persons) -> None:
        self.shop = shop
        self.sends: list[bytes] = []
        self.away = set[str]()
        self.begins: dict[str, int] = {}
        self.read_shards = set[int]()

    async def begin(self, topic: str, shard: int) -> int:
        self.read_shards.add(shard)
        if topic == SENDS and not self.sends:
            raise SettingsError("there is no such topic")
        return self.begins.get(topic, 0)

    async def read(self, topic: str, shard: int) -> AsyncGenerator[Sequence[Stored]]:
        if topic in self.away:
            raise UnansweredError("Kafka did not answer (TimeoutError)")
        records = self._records(topic, shard)
        for start in range(0, len(records), 2):
            yield records[start : start + 2]

    def _records(self, topic: str, shard: int) -> list[Stored]:
        if topic == SENDS:
            return [Stored(number, 0, None, raw, ()) for number, raw in enumerate(self.sends)] if shard == 0 else []
        found = list(enumerate(self.shop.log.records(topic, shard)))[self.begins.get(topic, 0) :]
        return [Stored(offset, one.arrival_ms, one.key, one.value, one.headers) for offset, one in found]


async def shop_of() -> Persons:
    """Ada, who was a visitor before, and somebody else."""
    shop = Persons(RULES, SHARDS)
    for _ in range(2):
        shop.write("A", anonymousId="visitor")
        shop.write("A", userId="bob", properties={"said": "ada"})
        await shop.settle()
        shop.now_ms += MINUTE_MS
    shop.write("", type="identify", userId="ada", anonymousId="visitor", traits={"country": "DE"})
    shop.write("A", userId="ada", properties={"price": 12.5})
    shop.write("A", userId="ada", timestamp="never")
    await shop.settle()
    return shop


async def exported(shop: Persons, customer: str, reader: LogReader | None = None, *, is_late: bool = False) -> dict[str, Any]:
    """The object."""
    settings = load_settings(shards=SHARDS, tick=30_000)
    answers = answers_over(settings, StoreOfShops(shop.stores), NoEnds(), lambda: shop.now_ms)
    export = CustomerExport(settings, answers, reader or LogReader(shop), lambda: shop.now_ms, lambda: is_late)
    return json.loads(b"\n".join([line async for line in export.lines(customer)]))


@pytest.mark.parametrize("asked", ["ada", "visitor"])
async def test_an_export_has_all_of_a_person_under_every_id(asked: str) -> None:
    """What they did before they said who they are is theirs too, whichever id is asked for."""
    shop = await shop_of()
    found = await exported(shop, asked)
    assert set(found["ids"]) == {"ada", "visitor"}
    events = [(one["event"].get("userId"), one["event"].get("anonymousId"), one["event"]["type"]) for one in found["events"]]
    assert sorted(events, key=str) == sorted(
        [(None, "visitor", "track"), (None, "visitor", "track"), ("ada", "visitor", "identify"), ("ada", None, "track")], key=str
    )
    remembered = found["remembered"]
    assert remembered["profile"]["country"]["value"] == "DE"
    memberships = remembered["standing"]["memberships"]
    assert {name: one["in"] for name, one in memberships.items()} == {"seen": True, "often": True, "german": True}
    assert remembered["links"].keys() == {"visitor"}
    assert [len(one["data"]["newest"]) for one in remembered["memories"] if one["kind"] == "Newest"] == [3]
    assert [one["message"] for one in remembered["messages"]] == ["word"]
    changes = [(one["value"]["subject"], one["value"]["data"].get("segment")) for one in found["changes"]]
    assert {("visitor", "seen"), ("ada", "seen"), ("ada", "often"), ("ada", "german")} <= set(changes)
    assert {one["value"]["subject"] for one in (*found["decisions"], *found["messages"])} <= {"ada", "visitor"}
    assert found["decisions"]
    assert [one["value"]["reason"] for one in found["dead_letters"]] == ["bad_timestamp"]


async def test_an_export_has_the_history_that_was_imported() -> None:
    """It lies in a topic of its own, and is theirs as much as what came by the log."""
    shop, at_ms = await shop_of(), START_MS - DAY_MS
    for customer in ("ada", "bob"):
        body = {"event": "Old", "messageId": f"h{customer}", "timestamp": at_ms, "userId": customer}
        header = (ARRIVED_HEADER, arrived_text(at_ms, "00000000000000aa"))
        shop.log.append(HISTORY, shard_of(customer, SHARDS), json.dumps(body).encode(), key=customer.encode(), headers=(header,))
    [found] = (await exported(shop, "visitor"))["history"]
    assert (found["event"]["userId"], found["arrived"]) == ("ada", time_text(at_ms))


async def test_an_export_has_nothing_of_anybody_else() -> None:
    """Bob said her name in an event of his, and that is his."""
    shop = await shop_of()
    assert '"bob"' not in json.dumps(await exported(shop, "ada"))
    theirs = await exported(shop, "bob")
    assert [one["event"]["properties"] for one in theirs["events"]] == [{"said": "ada"}] * 2
    assert "visitor" not in json.dumps(theirs)


async def test_an_event_is_found_however_its_id_is_written() -> None:
    """JSON has several ways to write a text, and a producer need not key its records."""
    shop = Persons(RULES, SHARDS)
    raw = b'{"event": "A", "messageId": "m", "timestamp": %d, "userId": "\\u0061d\\u0061"}' % shop.now_ms
    shop.log.append(EVENTS, shard_of("ada", SHARDS), raw)
    await shop.settle()
    assert [one["event"]["userId"] for one in (await exported(shop, "ada"))["events"]] == ["ada"]


async def test_attempts_are_those_of_the_persons_own_decisions() -> None:
    """What senders write down names no customer, only the key of the decision."""
    shop = await shop_of()
    reader = LogReader(shop)
    [key, *_] = [
        json.loads(record.value)["data"]["key"]
        for shard in range(SHARDS)
        for record in shop.log.records(LEDGER, shard)
        if record.key in (b"ada", b"visitor")
    ]
    entry = {"state": "sent", "at": "2026-01-01T00:00:00.000Z", "go_on": [0, 0, [-1, -1, -1]]}
    reader.sends = [json.dumps(entry | {"key": one}).encode() for one in (key, "another", "")] + [b"no entry"]
    assert [(one["key"], one["state"]) for one in (await exported(shop, "ada", reader))["attempts"]] == [(key, "sent")]
    assert (await exported(shop, "nobody", reader))["attempts"] == []


async def test_an_export_says_what_it_does_not_have() -> None:
    """A file that looks whole and is not would be a false answer to a person who asks for their data."""
    shop = await shop_of()
    reader = LogReader(shop)
    reader.away, reader.begins = {DEAD_LETTERS}, {EVENTS: 1}
    found = await exported(shop, "ada", reader)
    missing = {(one["what"], one["why"]) for one in found["not_looked_at"]} - set(ELSEWHERE)
    shards = sorted({shard_of(one, SHARDS) for one in ("ada", "visitor")})
    assert missing == {
        ("attempts", "there is no such topic"),
        *(("events", f"shard {shard} keeps nothing of before its offset 1 any more") for shard in shards),
        *(("dead_letters", f"shard {shard} was not read to its end: Kafka did not answer (TimeoutError)") for shard in shards),
    }
    late = await exported(shop, "ada", is_late=True)
    assert any(one["what"] == "events" and "in the time that there was" in one["why"] for one in late["not_looked_at"])


async def test_attempts_beyond_a_bound_are_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys of decisions are all that grows with a customer."""
    monkeypatch.setattr(document, "SEND_KEYS_MAX", 0)
    shop = await shop_of()
    assert any("first 0 decisions" in one["why"] for one in (await exported(shop, "ada"))["not_looked_at"])


async def test_somebody_who_was_erased_is_still_in_the_topics() -> None:
    """Nothing is committed of them, and what the log keeps is what an erasure leaves."""
    shop = await shop_of()
    shop.erase("bob")
    await shop.settle()
    found = await exported(shop, "bob")
    assert found["remembered"] is None
    assert found["not_looked_at"][0] == {"what": "remembered", "why": "nothing is committed of this id"}
    assert len(found["events"]) == 2


async def test_only_shards_of_the_persons_ids_are_read() -> None:
    """Others cannot have anything of theirs."""
    shop = await shop_of()
    reader = LogReader(shop)
    await exported(shop, "bob", reader)
    assert reader.read_shards == {shard_of("bob", SHARDS)}
