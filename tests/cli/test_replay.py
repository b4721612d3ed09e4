"""``streamer replay``: what comes out, and where."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamer.cli.replay import ReplayCounts
from streamer.flow.replay import ReplayOutput
from streamer.messages.decision import decode_decision
from streamer.wire import Output
from tests.cli.conftest import DATA, EVENTS, ROOT, Run, event, ndjson, run_apart

CHANGE = jsonschema_rs.Draft202012Validator(json.loads((ROOT / "schemas" / "segment-change.v1.json").read_text(encoding="utf-8")))
CORPUS = DATA / "segment_format_events"
MAPPING = """
format: {format}
customer: who
timestamp: {{column: when}}
event: {{column: what}}
message_id: [who, what, when]
"""
MEMBERS = [
    {"customer": "anna", "segments": {"buyer": "2026-01-01T10:30:00.000Z"}},
    {"customer": "bert", "segments": {}},
]


def summary(run: Run, *arguments: str | Path, stdin: bytes = b"") -> Any:
    """The summary as JSON of a replay that went well."""
    outcome = run("replay", *arguments, "--json", stdin=stdin)
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


# what it reads


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    """Columns to events."""
    path = tmp_path / "mapping.yaml"
    path.write_text(MAPPING.format(format="csv"), encoding="utf-8")
    return path


CSV = "who,what,when\n" + "".join(f"{item['userId']},{item['event']},{item['timestamp']}\n" for item in EVENTS)


def test_ndjson_gzip_and_standard_input_tell_the_same(run: Run, events: Path, packed: Path, segments: Path) -> None:
    """How the bytes come must not matter."""
    told = [
        summary(run, events, "--segments", segments),
        summary(run, packed, "--segments", segments),
        summary(run, "-", "--segments", segments, stdin=ndjson()),
    ]
    assert told[0] == told[1] == told[2]
    assert told[0]["received"] == 6
    assert told[0]["outcomes"] == {"accepted": 5, "duplicate": 1}
    assert told[0]["members"] == {"buyer": 1}
    assert told[0]["changes"] == 3  # anna enters viewer and buyer, and leaves viewer an hour later


@pytest.mark.parametrize("form", ["csv", "csv.gz", "csv with CRLF and a mark", "parquet", "-"])
def test_tables_tell_the_same(run: Run, tmp_path: Path, segments: Path, mapping: Path, form: str) -> None:
    """Exports come from a spreadsheet on Windows as often as from a warehouse."""
    file, stdin = tmp_path / f"events.{form.partition(' ')[0]}", b""
    match form:
        case "csv":
            file.write_text(CSV, encoding="utf-8")
        case "csv.gz":
            file.write_bytes(gzip.compress(CSV.encode()))
        case "parquet":
            table: Any = pa.table(
                {"who": [e["userId"] for e in EVENTS], "what": [e["event"] for e in EVENTS], "when": [e["timestamp"] for e in EVENTS]}
            )
            pq.write_table(table, file)
            mapping.write_text(MAPPING.format(format="parquet"), encoding="utf-8")
        case "-":
            file, stdin = Path("-"), CSV.encode()
        case _:
            file.write_bytes(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode())
    told = summary(run, file, "--segments", segments, "--mapping", mapping, stdin=stdin)
    assert told["outcomes"] == {"accepted": 5, "duplicate": 1}
    assert told["members"] == {"buyer": 1}


def test_a_mark_and_line_ends_of_windows_are_no_fault(run: Run, tmp_path: Path, segments: Path) -> None:
    """A file that was opened once in an editor still holds the same events."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"\xef\xbb\xbf" + ndjson().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert summary(run, file, "--segments", segments)["outcomes"] == {"accepted": 5, "duplicate": 1}


def test_messages_of_segment_are_adapted(run: Run, tmp_path: Path) -> None:
    """Each line of the vendors' own is refused for the reason that the table gives, or accepted; if late, then for its own clocks."""
    rows = [row.split("\t") for row in (CORPUS / "OUTCOMES.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    wanted = {int(line): outcome for file, line, outcome, *_ in rows if file == "segment_spec_examples.ndjson"}
    wanted[2] = "bad_alias"  # a message of Segment's all the same, but no event of a customer: it names one id alone
    messages = [json.loads(line)["event"] for line in (CORPUS / "segment_spec_examples.ndjson").read_text(encoding="utf-8").splitlines()]
    clocks = {"timestamp", "originalTimestamp", "sentAt", "receivedAt"}
    file = tmp_path / "messages.ndjson"
    file.write_bytes(ndjson([item if clocks & set(item) else {**item, "receivedAt": "2026-01-01T00:00:00Z"} for item in messages]))
    told = run("replay", file, "--format", "segment", "--sort", "--rejects", "-", "--json")
    outcomes = json.loads(told.err)["outcomes"]
    assert sum(outcomes.values()) == json.loads(told.err)["received"] == len(wanted) == 89
    found = {item["line"]: item["reason"] for item in told.lines()}
    assert {line: reason for line, reason in found.items() if reason != "late"} == {
        line: reason for line, reason in wanted.items() if reason != "accepted"
    }
    assert outcomes["accepted"] + outcomes["duplicate"] + outcomes.get("late", 0) == 33  # some stand on two pages


def test_several_files_are_one_log(run: Run, tmp_path: Path, segments: Path) -> None:
    """A day's export comes in hourly pieces."""
    first, second = tmp_path / "1.ndjson", tmp_path / "2.ndjson"
    first.write_bytes(ndjson(EVENTS[:3]))
    second.write_bytes(ndjson(EVENTS[3:]))
    whole = tmp_path / "whole.ndjson"
    whole.write_bytes(ndjson())
    assert summary(run, first, second, "--segments", segments) == summary(run, whole, "--segments", segments)


def test_time_is_that_of_arrival_where_the_line_says_so(run: Run, tmp_path: Path, segments: Path) -> None:
    """An event that was held back for an hour is judged when it comes, and counts when it was."""
    file = tmp_path / "events.ndjson"
    file.write_bytes(ndjson([{**EVENTS[0], "receivedAt": "2026-01-01T11:00:00Z"}]))
    assert summary(run, file, "--segments", segments)["log_time"] == "2026-01-01T11:00:00.000Z"


# order


def test_files_that_are_not_in_order_can_be_sorted(run: Run, tmp_path: Path, segments: Path) -> None:
    """Many exports hold one customer after the other; read as they lie, most of their events would come too late."""
    file = tmp_path / "events.ndjson"
    old = event("carl", "Product Viewed", "2025-11-01T00:00:00Z")
    file.write_bytes(ndjson([*EVENTS, old]))
    as_it_lies = run("replay", file, "--segments", segments)
    assert "1 late" in as_it_lies.err
    assert "use --sort" in as_it_lies.err
    sorted_first = run("replay", file, "--segments", segments, "--sort")
    assert "late" not in sorted_first.err
    assert "6 accepted, 1 duplicate" in sorted_first.err


# what it writes


def test_changes_are_cloud_events_one_a_line(run: Run, events: Path, segments: Path, tmp_path: Path) -> None:
    """They are what a worker would have published."""
    file = tmp_path / "changes.ndjson"
    assert run("replay", events, "--segments", segments, "--changes", file, "--quiet").out == ""
    told = run("replay", events, "--segments", segments, "--changes", "-", "--quiet")
    assert told.out == file.read_text(encoding="utf-8")
    for change in told.lines():
        CHANGE.validate(change)
    assert [(change["subject"], change["type"], change["data"]["segment"], change["time"]) for change in told.lines()] == [
        ("anna", "segment.entered", "viewer", "2026-01-01T10:10:00.000Z"),
        ("anna", "segment.entered", "buyer", "2026-01-01T10:30:00.000Z"),
        ("anna", "segment.exited", "viewer", "2026-01-01T11:00:00.000Z"),
    ]


@pytest.mark.parametrize("until", ["7d", "2026-01-08T12:00:00Z"])
def test_time_goes_on_after_the_last_event(run: Run, events: Path, segments: Path, until: str) -> None:
    """Without it nobody would ever be lost in a file."""
    told = run("replay", events, "--segments", segments, "--until", until, "--changes", "-", "--quiet")
    last = [(change["subject"], change["data"]["segment"], change["time"]) for change in told.lines()][-2:]
    assert last == [("anna", "lost", "2026-01-08T10:30:00.000Z"), ("bert", "lost", "2026-01-08T12:00:00.000Z")]


def test_time_does_not_go_back(run: Run, events: Path, segments: Path) -> None:
    """A date before the last event is a slip, and says so."""
    told = run("replay", events, "--segments", segments, "--until", "2025-01-01")
    assert told.code == 0
    assert "--until 2025-01-01 lies before the last event" in told.err


def test_members_are_printed_a_customer_a_line(run: Run, events: Path, segments: Path) -> None:
    """Who is in what, since when; and nothing else on standard output, so that another program can read it."""
    told = run("replay", events, "--segments", segments, "--members", "--json")
    assert told.lines() == MEMBERS
    assert json.loads(told.err)["members"] == {"buyer": 1}


def test_the_changes_come_to_the_members(run: Run, events: Path, segments: Path) -> None:
    """Two outputs of one run must not contradict each other."""
    told = run("replay", events, "--segments", segments, "--members", "--changes", "-", "--quiet", "--until", "30d").lines()
    inside: dict[str, dict[str, str]] = {}
    for change in told[:-2]:
        segments_of = inside.setdefault(change["subject"], {})
        if change["type"] == "segment.entered":
            segments_of[change["data"]["segment"]] = change["time"]
        else:
            del segments_of[change["data"]["segment"]]
    assert {item["customer"]: item["segments"] for item in told[-2:]} == inside


def test_refused_lines_are_told_with_place_reason_and_bytes(run: Run, tmp_path: Path, segments: Path) -> None:
    """Nothing disappears, and what came can be mended and sent again."""
    lines = [
        json.dumps(EVENTS[0]).encode(),
        b"{",
        b'{"event": "M\xfcller"}',
        b"",
        b'{"event": "E"}',
        json.dumps(event("x", "E", "2020-01-01T00:00:00Z")).encode(),
    ]
    file = tmp_path / "events.ndjson"
    file.write_bytes(b"\n".join(lines))
    told = run("replay", file, "--segments", segments, "--rejects", "-", "--json")
    assert [(item["file"], item["line"], item["reason"], item["path"]) for item in told.lines()] == [
        (str(file), 2, "not_json", "$"),
        (str(file), 3, "bad_utf8", "$"),
        (str(file), 5, "missing_message_id", "$.messageId"),
        (str(file), 6, "late", "$.timestamp"),
    ]
    for item in told.lines():
        raw = item["raw"].encode() if "raw" in item else base64.b64decode(item["raw_base64"])
        assert raw == lines[item["line"] - 1]
    told_of = json.loads(told.err.splitlines()[0])
    assert told_of["received"] == 5 == sum(told_of["outcomes"].values())


def test_a_row_that_is_refused_late_has_its_own_line(run: Run, tmp_path: Path, mapping: Path) -> None:
    """A count of events would send the reader to the wrong line of a file with rows that were passed over."""
    file = tmp_path / "events.csv"
    file.write_text("who,what,when\nanna,A,2026-01-01T00:00:00Z\n,B,2026-01-01T00:00:00Z\ncarl,C,2020-01-01T00:00:00Z\n", encoding="utf-8")
    told = run("replay", file, "--mapping", mapping, "--rejects", "-", "--quiet")
    assert [(item["line"], item["reason"]) for item in told.lines()] == [(3, "missing_id"), (4, "late")]


# lines of many events


def batch_file(folder: Path, *bodies: list[Any]) -> Path:
    """A file with the body of a batch request in each line."""
    path = folder / "batches.ndjson"
    path.write_text("".join(json.dumps({"batch": body}) + "\n" for body in bodies), encoding="utf-8")
    return path


@pytest.mark.parametrize("format_name", ["streamer", "segment"])
def test_a_batch_in_a_line_counts_as_its_events(run: Run, tmp_path: Path, events: Path, segments: Path, format_name: str) -> None:
    """Who keeps request bodies keeps the same events as who keeps them one by one: the story is the same."""
    messages = [{"type": "track", **item} for item in EVENTS]
    file = batch_file(tmp_path, messages[:1], messages[1:])
    one_by_one = summary(run, events, "--segments", segments)
    assert summary(run, file, "--segments", segments, "--format", format_name) == one_by_one


def test_refused_elements_of_a_batch_are_told_apart_and_the_body_is_not_repeated(run: Run, tmp_path: Path) -> None:
    """Each is one dead letter with itself alone: three copies of a large body would hide which of its messages was wrong."""
    good, late = event("anna", "A", "2026-01-05T00:00:00Z"), event("bert", "A", "2026-01-01T00:00:00Z")
    file = batch_file(tmp_path, [], [good, 5, {**good, "userId": None}, late])
    told = run("replay", file, "--rejects", "-", "--json")
    assert [(item["line"], item["reason"], item["path"], json.loads(item["raw"])) for item in told.lines()] == [
        (1, "skipped", "$.batch", {"batch": []}),
        (2, "wrong_type", "$.batch[1]", 5),
        (2, "missing_id", "$.batch[2].userId", {**good, "userId": None}),
        (2, "late", "$.timestamp", {"type": "track", **late, "timestamp": 1_767_225_600_000}),
    ]
    told_of = json.loads(told.err.splitlines()[0])
    assert (told_of["received"], told_of["outcomes"]) == (5, {"accepted": 1, "late": 1, "missing_id": 1, "skipped": 1, "wrong_type": 1})


def test_the_events_of_a_batch_are_sorted_one_by_one(run: Run, tmp_path: Path) -> None:
    """A batch is sent when it is full, so the events of two devices overlap; by their bodies they could not be put in order."""
    times = [f"2026-01-{day:02}T00:00:00Z" for day in range(1, 5)]
    first, second = ([event("anna", "A", time) for time in times[start::2]] for start in (1, 0))
    file = batch_file(tmp_path, first, second)
    assert summary(run, file)["outcomes"] == {"accepted": 2, "late": 2}
    assert summary(run, file, "--sort")["outcomes"] == {"accepted": 4}


# the same bytes


def test_the_size_of_batches_changes_nothing(run: Run, tmp_path: Path, segments: Path) -> None:
    """It is a matter of speed and memory, and no part of the story."""
    arguments = ("replay", DATA / "otto_sample" / "train_20_sessions.jsonl", "--mapping", "otto", "--segments", segments, "--until", "60d")
    told = [run(*arguments, "--changes", "-", "--members", "--batch", str(batch)) for batch in (1, 7, 1_000)]
    assert told[0] == told[1] == told[2]
    assert len(told[0].lines()) > 100


def test_the_seed_of_hashes_changes_nothing(segments: Path) -> None:
    """An order that comes from a set or from hash() would be another one in each process."""
    arguments = (
        "replay",
        DATA / "otto_sample" / "train_20_sessions.jsonl",
        "--mapping",
        "otto",
        "--segments",
        segments,
        "--until",
        "60d",
        "--changes",
        "-",
        "--members",
    )
    told = [run_apart(*arguments, environment={"PYTHONHASHSEED": seed}) for seed in ("0", "4711")]
    assert told[0].returncode == 0
    assert told[0].stdout == told[1].stdout != b""
    assert told[0].stderr == told[1].stderr


@pytest.mark.parametrize("topic", ["examples", "alerts"])
def test_outputs_that_are_not_for_people_are_passed_over(topic: str) -> None:
    """With scores in the definitions the step also puts out what models learn from."""
    refused: list[bytes] = []
    tally = ReplayCounts(None, refused.append)
    tally.take(ReplayOutput(1, Output(topic, 0, 1, 0, b"c-17", b"no dead letter")))
    assert (tally.changes, refused) == (0, [])


def test_whoever_logs_in_is_one_customer(run: Run, tmp_path: Path) -> None:
    """Each line is counted once, also one under the visitor's id after the login; and the end knows of one customer."""
    events, segments = tmp_path / "events.ndjson", tmp_path / "segments.yaml"
    visit = {"event": "A", "anonymousId": "an-1", "messageId": "1", "timestamp": "2026-01-01T10:00:00Z"}
    login = {"type": "identify", "anonymousId": "an-1", "userId": "anna", "messageId": "2", "timestamp": "2026-01-01T10:01:00Z"}
    late = {**visit, "messageId": "3", "timestamp": "2026-01-01T10:00:30Z"}
    events.write_bytes(ndjson([visit, login, late]))
    segments.write_text("segments: {twice: {for: Did it twice., when: count('A') >= 2}}", "utf-8")
    found = summary(run, events, "--segments", segments)
    assert (found["received"], found["outcomes"], found["members"]) == (3, {"accepted": 3}, {"twice": 1})
    told = run("replay", events, "--segments", segments, "--members", "--quiet")
    assert [line["customer"] for line in told.lines()] == ["anna"]


MESSAGES = """
segments:
  buyer: {for: Bought lately., when: 'did("Order Completed", within="1h")'}
messages:
  thanks: {for: Says thanks., on: entered("buyer"), delay: 5m, channel: console, topic: offers, cap: 1 per 7d}
topics: {offers: opt_out}
"""


def test_decisions_about_messages_are_counted_and_written(run: Run, tmp_path: Path) -> None:
    """Each is the record that a deployment would have in its topic, and is put to the byte where it is asked for."""
    rules, log, out = tmp_path / "messages.yaml", tmp_path / "log.ndjson", tmp_path / "decisions.ndjson"
    rules.write_text(MESSAGES, encoding="utf-8")
    log.write_bytes(ndjson([event("anna", "Order Completed", f"2026-01-0{day}T10:00:00Z") for day in (1, 2)]))
    told = run("replay", log, "--segments", rules, "--until", "1h", "--messages", out)
    assert "2 decisions about messages: 1 cap, 1 send" in told.err
    found = [decode_decision(line) for line in out.read_bytes().splitlines()]
    assert [(one.type, one.time) for one in found] == [
        ("message.send", "2026-01-01T10:05:00.000Z"),
        ("message.skip", "2026-01-02T10:05:00.000Z"),
    ]
