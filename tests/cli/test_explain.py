"""``streamer explain``: why, what is missing, and until when."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamer.errors import StoreUnavailableError
from streamer.flow.shard import Plans, Shard
from streamer.flow.step import Rules
from streamer.segments.definitions import load_definitions
from streamer.stores.redis import connect
from streamer.wire import TICK, LogRecord, definitions_control, shard_of
from tests.cli.conftest import DATA, EVENTS, Run, ndjson

if TYPE_CHECKING:
    from streamer.local.redis import RedisServer

SHARDS = 4


def test_each_segment_is_explained_with_what_holds_and_when_it_turns(run: Run, events: Path, segments: Path) -> None:
    """What support needs to answer a customer, and a marketer to trust a rule."""
    told = run("explain", "anna", "--events", events, "--segments", segments)
    assert told.code == 0
    assert told.out.splitlines() == [
        "anna at 2026-01-01T12:00:00.000Z",
        "",
        "in     buyer since 2026-01-01T10:30:00.000Z",
        "       Has bought.",
        '       yes did("Order Completed"): 2026-01-01T10:30:00.000Z',
        "",
        "not in lost; enters 2026-01-08T10:30:00.000Z if nothing happens",
        "       Was not seen for a week.",
        '       no  since(last("*")) >= "7d": 1h30m',
        "",
        "not in viewer",
        "       Looked twice within the hour.",
        '       no  count("Product Viewed", within="1h") >= 2: 0',
    ]


def test_the_same_for_machines(run: Run, events: Path, segments: Path) -> None:
    """One object a segment, with the names of the text."""
    told = run("explain", "anna", "--events", events, "--segments", segments, "--json", "--segment", "lost")
    [found] = told.lines()
    assert found == {
        "segment": "lost",
        "purpose": "Was not seen for a week.",
        "inside": False,
        "because": [{"clause": 'since(last("*")) >= "7d"', "holds": False, "value": "1h30m"}],
        "flips_at": "2026-01-08T10:30:00.000Z",
    }


def test_it_can_be_asked_of_a_later_time(run: Run, events: Path, segments: Path) -> None:
    """What if nothing happens for a week?"""
    told = run("explain", "anna", "--events", events, "--segments", segments, "--segment", "lost", "--until", "8d", "--json")
    assert told.lines()[0]["inside"] is True
    assert told.lines()[0]["since"] == "2026-01-08T10:30:00.000Z"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("carl",), 3, "nothing is known of the customer 'carl'"),
        (("anna", "--segment", "buyr"), 3, "there is no segment 'buyr', did you mean 'buyer'?"),
        (("anna", "--until", "soon"), 2, "expected a date such as"),
    ],
)
def test_a_question_that_has_no_answer_says_why(
    run: Run, events: Path, segments: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """A name is typed from memory."""
    told = run("explain", *arguments, "--events", events, "--segments", segments)
    assert (told.code, told.out) == (code, "")
    assert says in told.err


def test_refused_lines_are_not_passed_over_in_silence(run: Run, segments: Path) -> None:
    """The reason why a customer is in no segment may be that their events could not be read."""
    told = run("explain", "anna", "--events", "-", "--segments", segments, stdin=ndjson(EVENTS[:1]) + b"{\n")
    assert told.code == 0
    assert told.err == "hint: lines were refused, the first is -:2, not_json at $\n"


def test_lines_that_a_mapping_skips_are_no_refusals(run: Run, segments: Path) -> None:
    """Rows without a customer are left out on purpose, and there is nothing to mend."""
    file = DATA / "online_retail" / "first_3000.csv.gz"
    told = run("explain", "12431", "--events", file, "--mapping", "online_retail", "--segments", segments)
    assert (told.code, told.err) == (0, "")


def test_options_of_a_replay_without_one_are_wrong_use(run: Run, segments: Path) -> None:
    """The answer would come from Redis, under other definitions than the ones that were named."""
    told = run("explain", "anna", "--segments", segments)
    assert told.code == 2
    assert "without --events" in told.err


# from a store


@pytest.fixture
def store(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, segments: Path) -> None:
    """What a worker left in Redis after the events."""
    monkeypatch.setenv("STREAMER_REDIS", redis_server.url)
    monkeypatch.setenv("STREAMER_NAMESPACE", f"explain-{segments.parent.name}")
    monkeypatch.setenv("STREAMER_SHARDS", str(SHARDS))
    asyncio.run(_work(redis_server.url, f"explain-{segments.parent.name}", segments))


async def _work(url: str, namespace: str, segments: Path) -> None:
    found, rules, store = load_definitions(segments), Rules(shards=SHARDS), connect(url, namespace=namespace)
    number = shard_of("anna", SHARDS)
    shard = await Shard.acquire(number, store, Plans(store, rules), rules, pause=_never)
    first = LogRecord(0, 0, definitions_control(found.content(), found.digest, 1), control=True)
    mine = [raw for raw in ndjson().splitlines() if b'"anna"' in raw]
    records = [LogRecord(offset, 1_767_263_400_000, raw) for offset, raw in enumerate(mine, 1)]  # 10:30
    await shard.process([first, *records, LogRecord(len(mine) + 1, 1_767_268_800_000, TICK, control=True)])  # 12:00
    await store.close()


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("this store does not come and go")


@pytest.mark.usefixtures("store")
def test_redis_tells_what_a_replay_tells(run: Run, events: Path, segments: Path) -> None:
    """Both are the same state, so both must have the same reasons."""
    from_store = run("explain", "anna", "--json")
    from_files = run("explain", "anna", "--json", "--events", events, "--segments", segments)
    assert from_store.code == 0, from_store.err
    drop = {"because"}  # how long ago something was is another second later
    assert [{k: v for k, v in item.items() if k not in drop} for item in from_store.lines()] == [
        {k: v for k, v in item.items() if k not in drop} for item in from_files.lines()
    ]
    assert [[c["clause"] for c in item["because"]] for item in from_store.lines()] == [
        [c["clause"] for c in item["because"]] for item in from_files.lines()
    ]


@pytest.mark.usefixtures("store")
def test_a_customer_whom_redis_does_not_know(run: Run) -> None:
    """Somebody in a shard where others are known, and somebody in one where nobody ever was."""
    stranger = next(name for name in map(str, range(100)) if shard_of(name, SHARDS) == shard_of("anna", SHARDS))
    elsewhere = next(name for name in map(str, range(100)) if shard_of(name, SHARDS) != shard_of("anna", SHARDS))
    assert f"nothing is known of the customer '{stranger}'" in run("explain", stranger).err
    assert "has a worker run?" in run("explain", elsewhere).err
    assert run("explain", stranger).code == run("explain", elsewhere).code == 3


@pytest.mark.parametrize("command", [("explain", "anna"), ("models", "list"), ("segments", "publish")])
def test_an_address_that_is_none_is_an_error_of_one_line_without_secrets(
    run: Run, monkeypatch: pytest.MonkeyPatch, segments: Path, command: tuple[str, ...]
) -> None:
    """A password with a slash in it is cut in two, and a traceback would show a half."""
    monkeypatch.setenv("STREAMER_REDIS", "redis://me:hunter2/3@127.0.0.1:1/0")
    told = run(*command, *([segments] if command[-1] == "publish" else []))
    assert (told.code, told.out) == (3, "")
    assert told.err.startswith("STREAMER_REDIS: expected redis://")
    assert len(told.err.splitlines()) == 1
    assert "hunter2" not in told.err


def test_no_redis_is_an_error_of_one_line_without_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that goes wrong, and the address may hold a password."""
    monkeypatch.setenv("STREAMER_REDIS", "redis://me:hunter2@127.0.0.1:1/0")
    told = run("explain", "anna")
    assert told.code == 3
    assert told.err.startswith("STREAMER_REDIS: ")
    assert len(told.err.splitlines()) == 1
    assert "hunter2" not in told.err
