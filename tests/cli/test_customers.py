"""``streamer customers``: who somebody is, by whatever id one asks, and what joining two ids would come to."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from redis.asyncio import Redis

from streamer.language.definitions import Definitions
from streamer.stores.redis import connect
from tests.cli.conftest import Run
from tests.unit.flow.persons import Persons, named, segments_beside_turns
from tests.walk import at_each_record

if TYPE_CHECKING:
    from streamer.local.redis import RedisServer

SHARDS: Final = 2
VISITOR, USER, OTHER = named("an", 0, SHARDS), named("u", 1, SHARDS), named("other", 0, SHARDS)
SINCE: Final = "2026-01-01T00:00:00.000Z"


@pytest.fixture(autouse=True)
def store(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What workers left in Redis of a visitor who logged in, and of somebody else."""
    name = tmp_path.name.replace("[", "-").replace("]", "")
    for key, value in {"STORE": redis_server.url, "NAMESPACE": name, "TOPIC_PREFIX": name, "SHARDS": str(SHARDS)}.items():
        monkeypatch.setenv(f"STREAMER_{key}", value)
    asyncio.run(_live(redis_server.url, name))


SEGMENTS = segments_beside_turns(seen='count("A") >= 1', twice='count("A") >= 2')


async def _live(url: str, namespace: str, *, then: Definitions | None = None) -> None:
    """What happened; ``then``: and under which definitions nobody has come yet who hold since."""
    shop, store = Persons(SEGMENTS, SHARDS), connect(url, namespace=namespace)
    shop.stores = [store] * SHARDS  # pyright: ignore[reportAttributeAccessIssue] - Redis in the place of its twin
    shop.write("A", anonymousId=VISITOR)
    await shop.settle()
    shop.write("A", anonymousId=VISITOR, userId=USER)
    shop.write("A", userId=OTHER)
    await shop.settle()
    if then is not None:
        shop.define(then, 2)
        with at_each_record(0):
            await shop.settle()
    await store.close()


@pytest.mark.parametrize("asked", [VISITOR, USER])
def test_a_person_is_shown_by_any_of_their_ids(run: Run, asked: str) -> None:
    """Support knows the id that stands in some log, and must not have to know which one is kept."""
    told = run("customers", "show", asked, "--json")
    expected = {"customer": USER, "segments": {"seen": SINCE, "twice": SINCE}, "links": {VISITOR: SINCE}}
    assert told.lines() == [expected if asked == USER else {**expected, "passed": [VISITOR]}]
    lines = run("customers", "show", asked).out.splitlines()
    ours = [USER, f"  in seen since {SINCE}", f"  in twice since {SINCE}", f"  also {VISITOR}, linked {SINCE}"]
    assert lines == (ours if asked == USER else [f"{VISITOR} goes by another id by now", *ours])


def test_a_person_who_is_still_to_come_under_new_definitions_is_shown_by_theirs(
    run: Run, redis_server: RedisServer, tmp_path: Path
) -> None:
    """The numbers in their state are those of the definitions before: by the new ones they would be in something else."""
    name = f"{tmp_path.name}-switching"
    others = segments_beside_turns(another='count("B") >= 5', seen='count("A") >= 1', twice='count("A") >= 2')
    asyncio.run(_live(redis_server.url, name, then=others))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STREAMER_NAMESPACE", name)
        told = run("customers", "show", USER, "--json")
    assert told.lines() == [{"customer": USER, "segments": {"seen": SINCE, "twice": SINCE}, "links": {VISITOR: SINCE}}]


@pytest.mark.parametrize("words", [("show", "\udcff"), ("links", "a\udcff"), ("merge", "\udcff", USER), ("merge", USER, "\udcff")])
def test_bytes_that_are_no_text_are_nobody(run: Run, words: tuple[str, ...]) -> None:
    """An id that was copied from a log in another encoding ended in a traceback."""
    told = run("customers", *words)
    assert told.code == 3
    assert told.err.startswith("no customer has the id ")
    assert told.err.count("\n") == 1


def test_the_ids_of_a_person_are_listed(run: Run) -> None:
    """Whoever sees two ids in the logs of a shop asks whether they are one person."""
    assert run("customers", "links", VISITOR).out.splitlines()[1:] == [USER, f"  also {VISITOR}, linked {SINCE}"]
    assert run("customers", "links", OTHER).out.splitlines() == [OTHER, "  no other id"]


@pytest.mark.parametrize("command", [["customers", "show"], ["customers", "links"]])
def test_a_customer_of_whom_nothing_is_known_is_said_to_be_so(run: Run, command: list[str]) -> None:
    """An empty answer would read as one who is in no segment."""
    told = run(*command, "nobody")
    assert told.code == 3
    assert "nothing is known of the customer 'nobody'" in told.err
    assert run(*command, "a\x1b[31m").code == 3


def test_a_merge_says_what_it_will_come_to(run: Run) -> None:
    """It cannot be taken back, so whoever asks should see first whom they named."""
    told = run("customers", "merge", OTHER, VISITOR, "--dry-run")
    assert (told.code, told.out) == (0, "")
    assert told.err.strip() == f"{OTHER} leaves every segment, and its past comes to {VISITOR}, who goes by {USER}"
    assert "is unknown; its later events count for" in run("customers", "merge", "stranger", USER, "--dry-run").err
    assert f"{VISITOR} goes by {USER}, who leaves every segment" in run("customers", "merge", VISITOR, OTHER, "--dry-run").err


def test_a_merge_of_one_person_asks_nobody(run: Run) -> None:
    """Scripts repeat what they were not told to be done; no worker runs here, so to ask one would end otherwise."""
    told = run("customers", "merge", VISITOR, USER)
    assert told.code == 0
    assert "are one person already" in told.err
    assert run("customers", "merge", USER, USER).code == 3


@pytest.mark.parametrize("command", [["customers", "show"], ["explain"]])
@pytest.mark.parametrize("blob", [b"\x93\x01", b"\x93\xc0\xc0\xc0", b"\x91\xa3abc", b"\xff"], ids=["cut", "tombstone", "state", "neither"])
def test_what_no_release_could_have_written_is_told_without_a_traceback(
    run: Run, redis_server: RedisServer, tmp_path: Path, command: list[str], blob: bytes
) -> None:
    """After an upgrade, or damage, the first thing that support does is to look at a customer."""
    name = tmp_path.name.replace("[", "-").replace("]", "")

    async def damage() -> None:
        client = Redis.from_url(redis_server.url)
        (bucket,) = [
            key async for key in client.scan_iter(f"*{name}*") if await client.type(key) == b"hash" and await client.hexists(key, OTHER)
        ]
        await client.hset(bucket, OTHER, blob)
        await client.aclose()

    asyncio.run(damage())
    told = run(*command, OTHER)
    assert told.code == 4, told
    assert "cannot be read" in told.err
    assert "streamer doctor" in told.err
