"""Small inputs that once went wrong, from the file to the summary. Each stands for a kind of fault."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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
    file = CASES / "22-epoch-seconds.ndjson"
    told = run("replay", file)
    assert (
        f"hint: epoch_seconds: the first is {file}:1 at $.timestamp: looks like seconds; milliseconds or RFC 3339 text expected" in told.err
    )


def test_odd_messages_are_told_apart_exactly(run: Run) -> None:
    """Twenty messages as SDKs send them, two in one batch; those that are refused are, each for its own reason."""
    options = ("--format", "segment", "--segments", CASES / "37-batch.yaml")
    counts, refused, _ = replayed(run, "37-batch.ndjson", *options)
    assert counts["accepted"] == 14
    assert refused == [
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


@pytest.mark.parametrize("sort", [(), ("--sort",)])
def test_one_wild_clock_does_not_rule_the_lines_after_it(run: Run, sort: tuple[str, ...]) -> None:
    """A line ten years ahead had made the order after it late, and its customer a member at the wrong time."""
    options = ("--segments", CASES / "04-wild-clock.yaml", *sort)
    counts, refused, told = replayed(run, "04-wild-clock.ndjson", *options)
    assert counts == {"accepted": 3, "ahead": 1}
    assert refused == [(2, "ahead", "$.timestamp")]
    assert json.loads(told.err.splitlines()[0])["log_time"] == "2026-03-01T10:00:03.000Z"
    assert "1 line refused for a wild clock, the first is" in told.err
    assert "04-wild-clock.ndjson:2: 365" in told.err
    assert members(run, "04-wild-clock.ndjson", *options) == {"c-1": [], "c-3": ["cart"]}


def test_where_a_wild_clock_is_allowed_the_line_that_moved_time_is_named(run: Run) -> None:
    """Whoever allows it must still see why the lines after it are late."""
    counts, _, told = replayed(run, "04-wild-clock.ndjson", "--ahead", "20000d")
    assert counts == {"accepted": 2, "late": 2}
    assert "time was moved furthest by" in told.err
    assert "04-wild-clock.ndjson:2, by 3653d" in told.err


@pytest.mark.parametrize(
    ("name", "mapping", "says"),
    [
        ("26-semicolon.csv", "25-map.yaml", 'the columns are separated by ";", not by ","; say delimiter: ";" in the mapping'),
        (
            "35-typo-column.csv",
            "35-map.yaml",
            "the mapping reads the column 'totl', the header has 'user', 'when', 'what', 'total'; did",
        ),
        ("34-array.json", None, "expected an event a line, found a JSON array; take it apart: jq -c '.[]'"),
    ],
)
def test_a_file_that_is_not_what_it_seems_is_told_before_its_first_line_counts(run: Run, name: str, mapping: str | None, says: str) -> None:
    """Each of them had lost rows, or a property for ever, with exit code 0."""
    told = run("replay", CASES / name, *(("--mapping", CASES / mapping) if mapping else ()))
    assert (told.code, told.out) == (3, "")
    assert f"{CASES / name}: {says}" in told.err


def test_a_mapping_may_name_what_separates_the_columns(run: Run, tmp_path: Path) -> None:
    """It is what the message about semicolons asks for."""
    mapping = tmp_path / "map.yaml"
    text = (CASES / "25-map.yaml").read_text(encoding="utf-8").replace("{column: total, type: number}", "total")
    mapping.write_text(text + 'delimiter: ";"\n', encoding="utf-8")
    assert replayed(run, "26-semicolon.csv", "--mapping", mapping)[0] == {"accepted": 1}


def test_an_open_quote_costs_its_own_line_alone(run: Run) -> None:
    """The second order lay within the first one's note, with exit code 0."""
    counts, refused, _ = replayed(run, "28-open-quote.csv", "--mapping", CASES / "25-map.yaml")
    assert (counts, refused) == ({"accepted": 1, "not_a_row": 1}, [(2, "not_a_row", "$")])
    counts, refused, _ = replayed(run, "28b-inch.csv", "--mapping", CASES / "25-map.yaml")
    assert (counts, refused) == ({"accepted": 2, "not_a_row": 1}, [(3, "not_a_row", "$")])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("34-bom-mid.ndjson", {"accepted": 2}),
        ("34-nul.ndjson", {"accepted": 2, "not_json": 1}),
        ("34-u2028.ndjson", {"accepted": 1, "not_json": 1}),  # a raw control character, which JSON forbids; U+2028 beside it is a letter
        ("36-date.csv", {"accepted": 1}),
        ("36-date.parquet", {"accepted": 1}),
        ("36-bin-user.parquet", {"accepted": 2, "bad_utf8": 1}),
        ("36-far.parquet", {"accepted": 1, "bad_timestamp": 1, "late": 1}),  # of two lines neither is most
        ("36-float-user.parquet", {"accepted": 1, "missing_id": 1, "wrong_type": 1}),
        ("36-time-list.parquet", {"accepted": 3}),
        ("36-nat.parquet", {"accepted": 2, "bad_timestamp": 1}),
        ("36-uint64-user.parquet", {"accepted": 3}),
        ("36-dec38.parquet", {"accepted": 3}),
    ],
)
def test_odd_bytes_and_types_cost_their_own_line_alone(run: Run, name: str, expected: dict[str, int]) -> None:
    """Whatever a warehouse or an editor leaves in a file."""
    mapping = {"36-date.csv": "36-date-map.yaml", "36-date.parquet": "36-date-pq-map.yaml"}.get(name, "36-map.yaml")
    counts, _, _ = replayed(run, name, *(() if name.endswith("ndjson") else ("--mapping", CASES / mapping)))
    assert counts == expected


def test_a_replay_says_why_rows_were_skipped(run: Run) -> None:
    """Nine in ten of the rows of an export may be passed over; somebody will ask why."""
    told = run("replay", DATA / "online_retail" / "first_3000.csv.gz", "--mapping", "online_retail")
    assert "1,204 received: 123 accepted, 1,081 skipped\n1,081 skipped: no CustomerID\n" in told.err
    summary = json.loads(run("replay", DATA / "online_retail" / "first_3000.csv.gz", "--mapping", "online_retail", "--json").out)
    assert summary["skipped"] == {"CustomerID": 1_081}


def test_sessions_may_be_numbered_from_0(run: Run) -> None:
    """A mapping knows its file: there 0 is somebody."""
    told = run("replay", DATA / "otto_sample" / "train_20_sessions.jsonl", "--mapping", "otto", "--members", "--json")
    assert json.loads(told.err.splitlines()[0])["outcomes"] == {"accepted": 862}
    assert "0" in {item["customer"] for item in told.lines()}


def test_a_column_that_no_line_of_ndjson_has_is_told(run: Run, tmp_path: Path) -> None:
    """There is no header to compare with; all the same a slip in a name must not be a property that is missing for ever."""
    mapping, file = tmp_path / "map.yaml", tmp_path / "rows.ndjson"
    text = (CASES / "35-map.yaml").read_text(encoding="utf-8").replace("format: csv", "format: ndjson")
    mapping.write_text(text, encoding="utf-8")
    file.write_text('{"user": "u1", "when": "2026-03-01 10:00:00", "what": "Order Completed", "total": 120}\n', encoding="utf-8")
    told = run("replay", file, "--mapping", mapping)
    assert told.code == 0
    assert "hint: the mapping reads 'totl', which no line had" in told.err
    assert "'total'" not in told.err


@pytest.mark.parametrize("value", ["NaN", '"half of an emoji \\ud83d"', "9" * 5_000], ids=["nan", "half", "digits"])
@pytest.mark.parametrize(
    ("received", "arrival"),
    [
        ('"2026-03-01T10:00:05Z"', "2026-03-01T10:00:05.000Z"),
        ('"soon"', "2026-03-01T10:00:00.000Z"),
        ("[1]", "2026-03-01T10:00:00.000Z"),
    ],
    ids=["moment", "text", "list"],
)
def test_an_odd_value_beside_a_moment_of_arrival_ends_no_replay(run: Run, tmp_path: Path, value: str, received: str, arrival: str) -> None:
    """The event was good and its line was read a second time by a reader that refuses such values: the whole replay was lost."""
    file = tmp_path / "events.ndjson"
    head = '"event": "A", "messageId": "1", "userId": "u", "timestamp": "2026-03-01T10:00:00Z"'
    file.write_text(f'{{{head}, "receivedAt": {received}, "properties": {{"x": {value}}}}}\n', encoding="utf-8")
    summary = json.loads(run("replay", file, "--json").out)
    assert (summary["outcomes"], summary["log_time"]) == ({"accepted": 1}, arrival)


def test_a_visitor_who_logs_in_and_buys_has_left_no_cart(run: Run) -> None:
    """The cart is anon-1's and the order c-1's: kept apart, the commonest flow of any shop sends a reminder to somebody who bought."""
    name, options = "38-anon-known.ndjson", ("--format", "segment", "--segments", CASES / "38-anon-known.yaml")
    counts, _, _ = replayed(run, name, *options)
    assert counts == {"accepted": 4}
    told = run("replay", CASES / name, *options, "--until", "1d", "--changes", "-", "--quiet")
    changes = [(item["subject"], item["type"], item["data"]["segment"]) for item in told.lines() if "segment" in item["data"]]
    assert changes == [("c-1", "segment.entered", "bought_from_cart")]
    assert members(run, name, *options) == {"c-1": ["bought_from_cart"]}
