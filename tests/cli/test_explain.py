"""``streamer explain``: why, what is missing, and until when."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamer.cli.explanation_text import clause_line, explanation_lines
from streamer.errors import StoreUnavailableError
from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import load_definitions
from streamer.segments.explain import ExplainedClause
from streamer.stores.redis import connect
from streamer.wire import TICK, LogRecord, definitions_control, shard_of
from tests.cli.conftest import DATA, EVENTS, Run, event, ndjson

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


README = """
segments:
  cart_left:
    for: Left a cart half an hour ago and has not bought; send one reminder, and none again for a day.
    when: idle("*") >= "30m" and last("Product Added") > last("Order Completed")
    exit: since(last("Product Added")) >= "3d" or did("Order Completed", within="1h")
    cooldown: 1d
"""


@pytest.mark.parametrize(
    ("until", "says"),
    [
        (
            "4d",
            [
                'yes since(last("*")) >= "30m": 4d',
                'yes last("Product Added") > last("Order Completed"): 2026-03-01T10:00:00.000Z',
                "its exit holds, and nobody enters while it does:",
                'yes since(last("Product Added")) >= "3d": 4d',
            ],
        ),
        ("3d1h", ["its exit holds, and nobody enters while it does:", "cannot enter again before 2026-03-05T10:00:00.000Z"]),
        ("1h", ["stays until its exit holds:", 'no  since(last("Product Added")) >= "3d": 1h']),
    ],
)
def test_what_bars_the_way_in_is_said(run: Run, tmp_path: Path, until: str, says: list[str]) -> None:
    """ "Not in, and all clauses yes" is no reason: an exit that holds keeps everybody out."""
    segments = tmp_path / "readme.yaml"
    segments.write_text(README, encoding="utf-8")
    cart = event("c-17", "Product Added", "2026-03-01T10:00:00Z", properties={"price": 20})
    told = run("explain", "c-17", "--events", "-", "--segments", segments, "--until", until, stdin=ndjson([cart]))
    assert told.code == 0
    assert [line for line in says if line not in told.out] == []


def test_an_exit_that_holds_is_said_also_where_clauses_are_missing(run: Run, tmp_path: Path) -> None:
    """Both must turn before they enter."""
    segments = tmp_path / "a.yaml"
    segments.write_text('segments: {a: {for: x, when: did("B"), exit: did("A")}}', encoding="utf-8")
    told = run(
        "explain", "anna", "--events", "-", "--segments", segments, "--json", stdin=ndjson([event("anna", "A", "2026-01-01T10:00:00Z")])
    )
    [found] = told.lines()
    assert [clause["clause"] for clause in found["because"]] == ['did("B")']
    assert [clause["clause"] for clause in found["barred"]] == ['did("A")']


def test_what_matters_comes_first_and_the_rest_is_counted(run: Run, events: Path) -> None:
    """Of the library's segments nearly all are "not in" and stay so: six hundred lines hid the ten that mattered."""
    told, whole = run("explain", "anna", "--events", events), run("explain", "anna", "--events", events, "--all")
    heads = [line for line in told.out.splitlines() if line.startswith(("in ", "not in "))]
    assert heads == sorted(heads, key=lambda line: (not line.startswith("in "), "enters" not in line, line.startswith("not in 1")))
    assert "more, which time alone does not change: --all shows them" in heads[-1]
    assert len(told.out.splitlines()) < len(whole.out.splitlines()) / 2
    assert set(heads[:-1]) <= set(whole.out.splitlines())


def test_a_value_that_is_not_the_whole_truth_says_so(run: Run, tmp_path: Path) -> None:
    """Counted no further than the rule asks, or cut for the message: shown as exact, it is believed."""
    segments = tmp_path / "a.yaml"
    rules = {
        "in_window": 'count("A", within="1h") >= 2',
        "one_of": 'count("A", within="1h") in [1, 2]',
        "this_day": 'count("A", this="day") >= 2',
        "kinds": 'distinct("A", "kind", within="1h") >= 2',
        "ever": 'distinct("A", "kind") >= 2',
        "long": 'exists(trait("text"))',
        "many": 'exists(trait("list"))',
        "exact": 'count("A", within="1h") >= 20',
    }
    segments.write_text(json.dumps({"segments": {name: {"for": "x", "when": when} for name, when in rules.items()}}), encoding="utf-8")
    traits = {"text": "x" * 200, "list": list(range(20))}
    told = [
        event("anna", "A", "2026-01-01T10:00:00Z", number, properties={"kind": number}, traits=traits) for number in range(5)
    ]  # fmt: skip
    found = {item["segment"]: item["because"][0] for item in run(
        "explain", "anna", "--events", "-", "--segments", segments, "--json", stdin=ndjson(told)
    ).lines()}  # fmt: skip
    # One memory serves all counts of an event, and keeps what the rule that asks for most needs: 20 here.
    assert {name: found[name]["value"] for name in ("in_window", "one_of", "this_day", "exact")} == dict.fromkeys(
        ("in_window", "one_of", "this_day", "exact"), 5
    )
    assert (found["kinds"]["value"], found["ever"]["value"]) == ("2 or more", "2 or more")
    assert found["long"] == {"clause": rules["long"], "holds": True, "value": "x" * 99 + "…", "cut": True}
    assert found["many"] == {"clause": rules["many"], "holds": True, "value": list(range(10)), "cut": True}

    del rules["exact"]
    segments.write_text(json.dumps({"segments": {name: {"for": "x", "when": when} for name, when in rules.items()}}), encoding="utf-8")
    text = run("explain", "anna", "--events", "-", "--segments", segments, stdin=ndjson(told)).out
    assert text.count("or more") == 5
    assert text.count("(cut: the value is longer)") == 2


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
    monkeypatch.setenv("STREAMER_STORE", redis_server.url)
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
    monkeypatch.setenv("STREAMER_STORE", "redis://me:hunter2/3@127.0.0.1:1/0")
    told = run(*command, *([segments] if command[-1] == "publish" else []))
    assert (told.code, told.out) == (3, "")
    assert told.err.startswith("STREAMER_STORE: expected redis://")
    assert len(told.err.splitlines()) == 1
    assert "hunter2" not in told.err


def test_no_redis_is_an_error_of_one_line_without_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that goes wrong, and the address may hold a password."""
    monkeypatch.setenv("STREAMER_STORE", "redis://me:hunter2@127.0.0.1:1/0")
    told = run("explain", "anna")
    assert told.code == 3
    assert told.err.startswith("STREAMER_STORE: ")
    assert len(told.err.splitlines()) == 1
    assert "hunter2" not in told.err


@pytest.mark.parametrize(("timestamp", "reason"), [("2026-01-01T10:00:00Z", "late"), ("2026-01-09T11:00:00Z", "future")])
def test_an_event_that_came_too_late_is_told(run: Run, tmp_path: Path, timestamp: str, reason: str) -> None:
    """The file has the order, and the answer was that there was none, with no word of why."""
    events, segments = tmp_path / "events.ndjson", tmp_path / "segments.yaml"
    order = event("anna", "Order Completed", timestamp) | {"receivedAt": "2026-01-09T10:00:00Z"}
    events.write_bytes(ndjson([event("anna", "Product Viewed", "2026-01-09T10:00:00Z"), order]))
    segments.write_text("segments: {buyer: {for: Has bought., when: did('Order Completed')}}", encoding="utf-8")
    told = run("explain", "anna", "--events", events, "--segments", segments)
    assert 'no  did("Order Completed"): nothing' in told.out
    assert told.err == f"hint: lines were refused, the first is {events}:2, {reason} at $.timestamp\n"


def test_an_exit_that_holds_against_a_stay_is_not_said_to_be_awaited(run: Run, tmp_path: Path) -> None:
    """It read "stays until its exit holds: yes"."""
    events, segments = tmp_path / "events.ndjson", tmp_path / "segments.yaml"
    events.write_bytes(ndjson([event("anna", "Order Completed", "2026-01-01T10:00:00Z"), event("anna", "Refund", "2026-01-01T10:10:00Z")]))
    segments.write_text("segments: {b: {for: Bought., when: did('Order Completed'), exit: did('Refund'), stay: 2h}}", encoding="utf-8")
    told = run("explain", "anna", "--events", events, "--segments", segments)
    assert 'its exit holds:\n       yes did("Refund")' in told.out
    assert "stays at least until 2026-01-01T12:00:00.000Z" in told.out
    assert "until its exit" not in told.out


def test_what_is_no_id_is_asked_of_nobody(run: Run) -> None:
    """Half of a pair, as a shell makes it of a byte that is not UTF-8, ended in a traceback; and erasures of nobody went into the log."""
    for customer in ("\udcff", "", "x" * 257, "a\x00b"):
        for command in ("explain", "erase"):
            told = run(command, customer)
            assert (told.code, told.out) == (3, "")
            assert told.err.startswith("no customer has the id ")


def test_a_clause_that_the_rule_negates_says_so(run: Run, tmp_path: Path) -> None:
    """Below "not in" it read `yes did(…)`, as if that held the customer in; in JSON as in lines."""
    events, segments = tmp_path / "events.ndjson", tmp_path / "segments.yaml"
    events.write_bytes(ndjson([event("anna", "A", "2026-01-01T10:00:00Z"), event("bert", "B", "2026-01-01T10:00:00Z")]))
    segments.write_text("segments: {n: {for: Never., when: never('A') or did('A') and did('B')}, q: {for: No., when: never('A')}}", "utf-8")
    asked = ("--events", events, "--segments", segments, "--segment", "q")
    assert '       no  not did("A"): 2026-01-01T10:00:00.000Z' in run("explain", "anna", *asked).out
    assert '       yes not did("A"): nothing' in run("explain", "bert", *asked).out
    [found] = run("explain", "anna", *asked, "--json").lines()
    assert found["because"] == [{"clause": 'not did("A")', "holds": False, "value": "2026-01-01T10:00:00.000Z"}]
    both = run("explain", "bert", "--events", events, "--segments", segments, "--segment", "n").out
    assert '       no  did("A"): nothing' in both, "a clause that the rule has both ways stands as it is"


def test_an_old_id_leads_to_the_customer(run: Run, tmp_path: Path) -> None:
    """Support asks by the id in the complaint; what a visitor did is in the user's answer, and a program reads objects and nothing else."""
    events, segments = tmp_path / "events.ndjson", tmp_path / "segments.yaml"
    visit = {"event": "A", "anonymousId": "an-1", "messageId": "1", "timestamp": "2026-01-01T10:00:00Z"}
    login = {"type": "identify", "anonymousId": "an-1", "userId": "anna", "messageId": "2", "timestamp": "2026-01-01T10:01:00Z"}
    events.write_bytes(ndjson([visit, login]))
    segments.write_text("segments: {seen: {for: Seen., when: did('A')}}", "utf-8")
    asked = ("--events", events, "--segments", segments)
    told = run("explain", "an-1", *asked)
    assert told.out.splitlines()[:2] == ["an-1 goes by the id anna by now", "anna at 2026-01-01T10:01:00.000Z"]
    assert told.out.splitlines()[2:] == run("explain", "anna", *asked).out.splitlines()[1:]
    told = run("explain", "an-1", *asked, "--json")
    assert [found["inside"] for found in told.lines()] == [True]
    assert "an-1 goes by the id anna by now" in told.err


MESSAGES = """
segments:
  cart_left: {for: Left a cart., when: 'did("Product Added") and idle("Product Added") >= "30m"'}
messages:
  reminder:
    for: Says what is left.
    on: entered("cart_left")
    delay: 30m
    require: never("Order Completed", within="1h")
    channel: console
    topic: offers
    cap: 1 per 7d
    quiet: "10:00-12:00"
topics: {offers: opt_out}
"""


def test_a_message_is_explained_with_all_its_tests_and_when_it_is_sent(run: Run, tmp_path: Path) -> None:
    """What a marketer asks of a mail that did not come, or will: in the order in which it is decided."""
    segments, events = tmp_path / "messages.yaml", tmp_path / "added.ndjson"
    segments.write_text(MESSAGES, encoding="utf-8")
    events.write_bytes(ndjson([event("anna", "Product Added", "2026-03-01T10:00:00Z")]))
    told = run("explain", "anna", "--message", "reminder", "--events", events, "--segments", segments, "--until", "40m")
    assert told.out.splitlines() == [
        "anna at 2026-03-01T10:40:00.000Z",
        "",
        "reminder on console: Says what is left.",
        "begun at 2026-03-01T10:30:00.000Z by entered cart_left, decided at 2026-03-01T11:00:00.000Z. If it were decided now:",
        "    yes is not paused",
        "    yes is in time, until: 2026-03-02T11:00:00.000Z",
        "    yes nothing has changed since: change 1, the newest is 1",
        "    yes what it requires holds",
        '        no  did("Order Completed", within="1h"): nothing',
        "    yes may come again",
        "    yes has an address: anna",
        "    yes the address may be used",
        "    yes the customer agrees: offers, opt_out",
        "    yes no cap is full: message 1 per 7d: 0 taken",
        "    no  it is no quiet hour: 10:40 in UTC, quiet 10:00-12:00",
        "    yes the customer is not held out",
        "",
        "if nothing happens: 2026-03-01T11:00:00.000Z hold, quiet: 10:00-12:00",
        "if nothing happens: 2026-03-01T12:00:00.000Z send",
    ]
    early = run("explain", "anna", "--message", "reminder", "--events", events, "--segments", segments, "--json")
    [found] = early.lines()
    assert [(step["at"], step["outcome"]) for step in found["ahead"]][-1] == ("2026-03-01T12:00:00.000Z", "send"), "before it began"
    assert found["begun_at"] is None
    assert {check["reason"]: check["holds"] for check in found["checks"] if not check["holds"]} == {"quiet": False}
    wrong = run("explain", "anna", "--message", "remindr", "--events", events, "--segments", segments)
    assert "did you mean 'reminder'?" in wrong.err


def test_a_clause_that_is_warming_says_since_when_and_until_when() -> None:
    """Whoever reads "warming" asks next how long that will be so."""
    since, whole = "2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z"
    for from_, words in ((whole, f"it has seen its whole window from {whole} on"), (None, "it looks back to the beginning")):
        clause = ExplainedClause('never("A")', holds=True, value=0, warming=True, known_since=since, whole_from=from_)
        assert clause_line(clause) == f'yes never("A"): 0 (warming: events are known since {since}; {words})'


def test_a_moment_at_which_no_segments_held_is_said() -> None:
    """History is older than what was published behind it: a name with nothing below it reads like a failure."""
    assert list(explanation_lines("ada", [], 0, whole=False)) == [
        "ada at 1970-01-01T00:00:00.000Z",
        "no segments held at that moment: definitions were published later, or not at all",
    ]
