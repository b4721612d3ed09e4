"""What is committed of customers, asked by HTTP: the same as the log says, with its age."""

from __future__ import annotations

import asyncio
import json
from unittest.mock import patch

import pytest

from streamer.errors import StoreUnavailableError
from streamer.flow import scorers
from streamer.language.definitions import content_digest, parse_definitions
from streamer.values import time_text
from streamer.wire import model_control, shard_of
from tests.unit.flow.persons import HOUR_MS, MINUTE_MS, START_MS, named, segments_beside_turns
from tests.unit.flow.test_scoring import Stub

from .desk import SHARDS, LogOfShop, reading

RULES = segments_beside_turns(
    recent='did("A", within="1h")',
    quiet='since(last("A")) >= "30m"',
    two='count("A") >= 2',
    never_there='did("Z")',
)

SCORED = """
models:
  purchase: {kind: purchase, horizon: 24h, window: 4h}
segments:
  hot: {for: likely to buy, when: 'score("purchase") >= 0.5'}
"""


def at(ms: int) -> str:
    return time_text(START_MS + ms)


async def test_a_customer_is_answered_with_memberships_flips_and_age() -> None:
    """Who asks wants to know what holds, since when, until when, and how old all that is."""
    async with reading(RULES) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        shard = shard_of("c-1", SHARDS)
        status, body, headers = await desk.get("/v1/customers/c-1")
        assert status == 200
        assert body["memberships"] == {
            "recent": {"in": True, "since": at(0), "sequence": 1, "next_flip": {"at": at(HOUR_MS), "enters": False}},
            "quiet": {"in": False, "since": None, "sequence": 0, "next_flip": {"at": at(30 * MINUTE_MS), "enters": True}},
        }
        assert (body["customer"], body["as_of"], body["lag_ms"], body["definitions"]) == ("c-1", at(0), 0, 1)
        assert body["position"] == {"generation": 1, "shard": shard, "offset": desk.ends.end(shard)}
        assert headers["Cache-Control"] == "no-store"
        desk.shop.wait(31 * MINUTE_MS)
        stale = (await desk.get("/v1/customers/c-1")).body
        assert (stale["lag_ms"], stale["memberships"]["quiet"]["in"]) == (31 * MINUTE_MS, False), "the tick is not applied yet"
        await desk.shop.settle()
        fresh = (await desk.get("/v1/customers/c-1")).body
        assert (fresh["lag_ms"], fresh["memberships"]["quiet"]["in"]) == (0, True)
        desk.ends.is_silent = True
        assert (await desk.get("/v1/customers/c-1")).body["lag_ms"] is None, "nobody knows, and nobody guesses"


async def test_chosen_segments_are_answered_whether_ever_entered_or_not() -> None:
    """A program asks for its three segments and wants three answers."""
    async with reading(RULES) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        body = (await desk.get("/v1/customers/c-1?segments=never_there,two")).body
        assert list(body["memberships"]) == ["never_there", "two"]
        assert body["memberships"]["two"] == {"in": False, "since": None, "sequence": 0, "next_flip": None}
        assert (await desk.get("/v1/customers/c-1?segments=message:told")).status == 400, "it is no segment's name"
        status, body, _ = await desk.get("/v1/customers/c-1?segments=nevr_there")
        assert (status, body["code"], body["path"]) == (404, "unknown_segment", "query.segments")
        assert "did you mean never_there?" in body["message"]


async def test_an_explanation_is_that_of_the_command_line() -> None:
    """One meaning: what a person reads in the terminal and what a program gets are made by the same code."""
    async with reading(RULES) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        body = (await desk.get("/v1/customers/c-1?explain=1&segments=recent")).body
        [one] = body["explanation"]
        assert (one["segment"], one["inside"], one["flips_at"]) == ("recent", True, at(HOUR_MS))
        assert one["because"] == [{"clause": 'did("A", within="1h")', "holds": True, "value": one["because"][0]["value"]}]
        assert "explanation" not in (await desk.get("/v1/customers/c-1")).body


async def test_scores_are_what_models_say_with_their_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop's own program decides by them; before a model has said something there are none, and none is made up."""
    monkeypatch.setattr(scorers, "decode_scorer", lambda _: Stub(1))
    async with reading(parse_definitions(SCORED)) as desk:
        desk.shop.write("Product Added", userId="c-1")
        await desk.shop.settle()
        assert "scores" not in (await desk.get("/v1/customers/c-1")).body
        desk.shop.log.send_control(model_control("purchase", b"{}", content_digest(b"{}"), 1))
        desk.shop.write("Product Added", userId="c-1")
        await desk.shop.settle()
        body = (await desk.get("/v1/customers/c-1")).body
        assert body["scores"] == {"purchase": {"version": 1, "score": 0.9, "percentile": 0.9}}
        assert body["memberships"]["hot"]["in"] is True
        many = (await desk.ask("POST", "/v1/memberships", data=b'{"customers": ["c-1"]}')).body
        assert many["customers"][0]["scores"] == body["scores"]


async def test_an_old_id_is_answered_with_the_survivor() -> None:
    """A shop's systems know a visitor's id for longer than it is theirs."""
    async with reading(RULES) as desk:
        visitor, user = named("an", 0, SHARDS), named("u", 1, SHARDS)
        desk.shop.write("A", anonymousId=visitor)
        await desk.shop.settle()
        desk.shop.write("A", anonymousId=visitor, userId=user)
        await desk.shop.settle()
        body = (await desk.get(f"/v1/customers/{visitor}")).body
        assert (body["customer"], body["merged_into"], body["memberships"]["two"]["in"]) == (visitor, user, True)
        assert body["position"]["shard"] == 1
        raw = json.dumps({"customers": [visitor, user, "nobody"]}).encode()
        many = (await desk.ask("POST", "/v1/memberships", data=raw)).body
        assert [one["customer"] for one in many["customers"]] == [visitor, user]
        assert many["customers"][0]["memberships"] == many["customers"][1]["memberships"] == body["memberships"]
        assert many["unknown"] == ["nobody"]


async def test_ids_are_taken_as_they_are_whatever_is_in_them() -> None:
    """An id may be an address or a path: what is encoded is decoded once, and a slash in it is no separator."""
    async with reading(RULES) as desk:
        for name in ("a/b", "a%2Fb", "ü@x.example", "../etc", "a b?c=d"):
            desk.shop.write("A", userId=name)
        await desk.shop.settle()
        for path, name in (
            ("a%2Fb", "a/b"),
            ("a%252Fb", "a%2Fb"),
            ("%C3%BC@x.example", "ü@x.example"),
            ("..%2Fetc", "../etc"),
            ("a%20b%3Fc=d", "a b?c=d"),
        ):
            status, body, _ = await desk.get(f"/v1/customers/{path}")
            assert (status, body.get("customer")) == (200, name)
        assert (await desk.get("/v1/customers/a/b")).status == 404


async def test_an_etag_holds_until_something_of_the_customer_changes() -> None:
    """Who polls pays for what is new; the shard's other customers are nothing new."""
    async with reading(RULES) as desk:
        other = next(name for number in range(99) if shard_of(name := f"o-{number}", SHARDS) == shard_of("c-1", SHARDS))
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        etag = (await desk.get("/v1/customers/c-1")).headers["ETag"]
        desk.shop.write("A", userId=other)
        await desk.shop.settle()
        same = await desk.get("/v1/customers/c-1", If_None_Match=etag)
        assert (same.status, same.body, same.headers["ETag"]) == (304, None, etag)
        assert (await desk.get("/v1/customers/c-1?segments=two", If_None_Match=etag)).status == 200, "another question"
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        assert (await desk.get("/v1/customers/c-1", If_None_Match=etag)).status == 200


async def test_whoever_wrote_an_event_can_wait_for_it() -> None:
    """A service that records an order and then asks must not be told what held before the order."""
    async with reading(RULES) as desk:
        shard = shard_of("c-1", SHARDS)
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        offset = desk.shop.log.end("events", shard)
        asked = asyncio.create_task(desk.get(f"/v1/customers/c-1?min_position={shard}:{offset}"))
        while desk.server.in_hand == 0:  # noqa: ASYNC110 - the server has no event for its tests
            await asyncio.sleep(0)
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        assert (await asked).body["memberships"]["two"]["in"] is True
        status, body, headers = await desk.get(f"/v1/customers/c-1?min_position={shard}:{offset + 1}")
        assert (status, body["code"], body["lag_records"], headers["Retry-After"]) == (425, "not_yet", 0, "1")
        status, body, _ = await desk.get(f"/v1/customers/c-1?min_position={1 - shard}:0")
        assert (status, body["path"]) == (400, "query.min_position")
        assert f"shard {shard}" in body["message"]


@pytest.mark.parametrize(
    ("path", "status", "code", "place"),
    [
        ("/v1/customers/nobody", 404, "unknown_customer", "url"),
        ("/v1/customers/%00", 400, "bad_request", "url"),
        ("/v1/customers/%FF", 400, "bad_request", "url"),
        ("/v1/customers/c-1?explain=yes", 400, "bad_request", "query.explain"),
        ("/v1/customers/c-1?explian=1", 400, "bad_request", "query"),
        ("/v1/customers/c-1?explain=1&explain=0", 400, "bad_request", "query.explain"),
        ("/v1/customers/c-1?segments=", 400, "bad_request", "query.segments"),
        ("/v1/customers/c-1?min_position=7", 400, "bad_request", "query.min_position"),
        ("/v1/customers/", 404, "not_found", "url"),
        ("/", 404, "not_found", "url"),
    ],
)
async def test_a_wrong_question_is_answered_with_what_was_expected(path: str, status: int, code: str, place: str) -> None:
    """Whoever writes a client has only the answer to learn from."""
    async with reading(RULES) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        found, body, _ = await desk.get(path)
        assert (found, body["code"], body["path"]) == (status, code, place)


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"", "$"),
        (b"{", "$"),
        (b"[]", "$"),
        (b'{"customers": []}', "$.customers"),
        (b'{"customers": [17]}', "$.customers[0]"),
        (b'{"customers": ["a", "\\u0000"]}', "$.customers[1]"),
        (b'{"customers": ["\\ud83d"]}', "$"),
        (b'{"customers": ["a"], "segmnts": []}', "$"),
        (json.dumps({"customers": ["a"] * 101}).encode(), "$.customers"),
        (b'{"customers": ["' + b"x" * 70_000 + b'"]}', "$"),
        (json.dumps({"customers": ["a"] * 10_000}, separators=(",", ":")).encode(), "$.customers"),
        (json.dumps({"customers": [f"c-{number}" for number in range(10_000)]}).encode(), "$"),
        (json.dumps({"customers": ["x" * 257]}).encode(), "$.customers[0]"),
        (b'{"customers": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "$.customers[0]"),
    ],
)
async def test_a_wrong_body_is_answered_with_the_place_of_the_fault(raw: bytes, place: str) -> None:
    """Of a hundred ids one is wrong: which?"""
    async with reading(RULES) as desk:
        found, body, _ = await desk.ask("POST", "/v1/memberships", data=raw)
        assert (found, body["path"]) == (413 if len(raw) > 64_000 else 400, place)


async def test_a_store_that_is_away_is_said_and_the_server_goes_on() -> None:
    """503 with ``Retry-After`` is what clients and load balancers understand."""
    async with reading(RULES) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        desk.store.error = StoreUnavailableError("gone")
        status, body, headers = await desk.get("/v1/customers/c-1")
        assert (status, body["code"], headers["Retry-After"]) == (503, "store_away", "1")
        desk.store.error = None
        assert (await desk.get("/v1/customers/c-1")).status == 200


async def test_a_customer_is_answered_as_of_a_moment_of_the_past() -> None:
    """What held then, under the definitions of then, and why: by their own records in the log."""
    async with reading(RULES) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        desk.shop.wait(10 * MINUTE_MS)
        desk.shop.write("A", userId="c-1")
        desk.shop.wait(2 * HOUR_MS)
        desk.shop.define(segments_beside_turns(two='count("A") >= 2'), 2)
        desk.shop.wait(MINUTE_MS)
        await desk.shop.settle()
        assert set((await desk.get("/v1/customers/c-1")).body["memberships"]) == {"two"}
        then = (await desk.get(f"/v1/customers/c-1?at={at(5 * MINUTE_MS)}&explain=1")).body
        assert then["memberships"] == {"recent": {"in": True, "since": at(0), "sequence": 1, "next_flip": None}}
        assert (then["as_of"], then["explained_at"], then["definitions"]) == (at(5 * MINUTE_MS), at(5 * MINUTE_MS), 1)
        assert {one["segment"]: one["inside"] for one in then["explanation"]} == {
            "recent": True,
            "quiet": False,
            "two": False,
            "never_there": False,
        }
        later = (await desk.get(f"/v1/customers/c-1?at={at(45 * MINUTE_MS)}&segments=quiet,two")).body
        assert {name: entry["in"] for name, entry in later["memberships"].items()} == {"quiet": True, "two": True}


async def test_an_old_id_is_answered_as_who_it_was_then() -> None:
    """Before it was joined to another, and before that one was joined to a third; from then on as who has its past."""
    async with reading(RULES) as desk:
        desk.shop.write("A", anonymousId="an-1")
        desk.shop.wait(10 * MINUTE_MS)
        for user, device in (("u-1", "an-1"), ("u-2", None)):
            desk.shop.write("B", userId=user, anonymousId=device) if device else desk.shop.alias("u-1", user)
            await desk.shop.settle()
            desk.shop.wait(HOUR_MS)
        await desk.shop.settle()

        async def then(asked: str, minutes: int) -> tuple[str | None, int | None]:
            body = (await desk.get(f"/v1/customers/{asked}?at={at(minutes * MINUTE_MS)}&segments=recent")).body
            return body.get("merged_into"), body["memberships"]["recent"]["sequence"]

        assert (await desk.get("/v1/customers/an-1")).body["merged_into"] == "u-2"
        assert await then("an-1", 5) == (None, 1)
        assert await then("an-1", 15) == ("u-1", 1)
        assert await then("u-1", 15) == (None, 1)
        assert (await then("an-1", 75))[0] == (await then("u-1", 75))[0] == "u-2"
        for asked in ("u-1", "u-2"):
            answer = await desk.get(f"/v1/customers/{asked}?at={at(5 * MINUTE_MS)}")
            assert (answer.status, answer.body["code"]) == (404, "unknown_customer"), "nobody knew them then"


async def test_a_moment_of_which_nothing_is_known_is_refused() -> None:
    """Before the first event, behind the log, and where the records are not to be found any more."""
    async with reading(RULES) as desk:
        desk.shop.wait(HOUR_MS)
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        for when, status, code in ((at(0), 404, "unknown_customer"), (at(2 * HOUR_MS), 400, "bad_request"), ("then", 400, "bad_request")):
            answer = await desk.get(f"/v1/customers/c-1?at={when}")
            assert (answer.status, answer.body["code"]) == (status, code), when
        with patch.object(LogOfShop, "pick", return_value={}):
            answer = await desk.get(f"/v1/customers/c-1?at={at(HOUR_MS)}")
            assert (answer.status, answer.body["code"]) == (404, "past_unknown")
