"""Small inputs that once went wrong, from the file to the summary. Each stands for a kind of fault."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import DATA, Outcome, Run

CASES = DATA / "cases"


def replayed(run: Run, name: str, *options: str | Path) -> tuple[dict[str, int], list[tuple[int, str, str]], Outcome]:
    """The outcomes of a case by their counts, its refused lines as (line, reason, path), and all that was said."""
    told = run("replay", CASES / name, *options, "--rejects", "-", "--json")
    assert told.err.startswith("{"), told.err
    counts: dict[str, int] = json.loads(told.err.splitlines()[0])["outcomes"]
    return counts, [(item["line"], item["reason"], item["path"]) for item in told.lines()], told


def members(run: Run, name: str, *options: str | Path) -> dict[str, list[str]]:
    """Who is in which segments at the end."""
    told = run("replay", CASES / name, *options, "--members", "--quiet")
    return {item["customer"]: sorted(item["segments"]) for item in told.lines()}


def test_placeholders_make_nobody_of_many_people(run: Run) -> None:
    """Four "customers" had bought twice, of whom none exists; who has an anonymous id is told apart by it."""
    options = ("--format", "segment", "--segments", CASES / "06-nobody-ids.yaml")
    counts, refused, _ = replayed(run, "06-nobody-ids.ndjson", *options)
    assert counts == {"accepted": 1, "placeholder_id": 9, "wrong_type": 3}
    assert {line for line, reason, _ in refused if reason == "placeholder_id"} == {1, 2, 3, 4, 5, 6, 7, 8, 10}
    assert members(run, "06-nobody-ids.ndjson", *options) == {"a-9": []}


def test_a_large_number_is_exact_or_no_id(run: Run) -> None:
    """…802 and …803 are two people, and a click id of thirty digits in a property that nobody reads is nobody's fault."""
    options = ("--format", "segment", "--segments", CASES / "07-big-ids.yaml")
    _, refused, _ = replayed(run, "07-big-ids.ndjson", *options)
    assert sorted(refused) == [
        (3, "wrong_type", "$.userId"),
        (6, "wrong_type", "$.userId"),
        (7, "placeholder_id", "$.userId"),
        (8, "wrong_type", "$.userId"),
    ]
    assert set(members(run, "07-big-ids.ndjson", *options)) == {
        *("157963456373623802", "157963456373623803", "123456789012345678901234567890123456", "007", "7", "ok")
    }


def test_seconds_are_refused_and_said_to_be_seconds(run: Run) -> None:
    """They were carts of January 1970."""
    counts, refused, told = replayed(run, "22-epoch-seconds.ndjson", "--segments", CASES / "22-epoch-seconds.yaml")
    assert counts == {"epoch_seconds": 3}
    assert refused == [(line, "epoch_seconds", "$.timestamp") for line in (1, 2, 3)]
    assert told.code == 1
    assert "looks like seconds" in told.out


def test_odd_messages_are_told_apart_exactly(run: Run) -> None:
    """Nineteen messages as SDKs send them; those that are refused are, each for its own reason."""
    options = ("--format", "segment", "--segments", CASES / "37-batch.yaml")
    _, refused, _ = replayed(run, "37-batch.ndjson", *options)
    assert refused == [
        (1, "batch_body", "$.batch"),
        (6, "missing_event_name", "$.event"),
        (7, "missing_event_name", "$.event"),
        (9, "wrong_type", "$.traits"),
        (13, "wrong_type", "$.properties"),
        (15, "wrong_type", "$.context.traits"),
        (16, "unknown_type", "$.type"),
    ]


def test_the_empty_lists_of_php_cost_no_event(run: Run) -> None:
    """One library's way to write an empty map had halted shards."""
    counts, refused, _ = replayed(run, "44-php-empty-array.ndjson", "--format", "segment")
    assert (counts, refused) == ({"accepted": 4}, [])


def test_clocks_before_1970_are_corrected(run: Run) -> None:
    """A phone that was reset shows 1969 in India, and 1970 in New York: both happened a second before they were received."""
    counts, _, told = replayed(run, "53-1969-clock.ndjson", "--format", "segment")
    assert counts == {"accepted": 2}
    assert json.loads(told.err.splitlines()[0])["log_time"].startswith("2026-03-01T12:00:0")


def test_every_format_of_a_moment_is_tried(run: Run) -> None:
    """Of [s, ms] only the first ever was; microseconds fit neither, and are refused by the name of their column."""
    counts, refused, _ = replayed(run, "32-epoch-mix.csv", "--mapping", CASES / "32-map.yaml")
    assert counts == {"accepted": 3, "bad_timestamp": 1}
    assert refused == [(4, "bad_timestamp", "$.when")]
