"""``streamer import`` without a server: what it would bring in, what it leaves out, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import DATA, EVENTS, Run, event, ndjson


def test_a_dry_run_says_what_would_come_of_the_files_and_asks_nobody(run: Run, tmp_path: Path, events: Path) -> None:
    """Whoever has an export wants to know what is wrong with it before there is a log."""
    more, rejects = tmp_path / "more.ndjson", tmp_path / "rejects.ndjson"
    late = event("cleo", "Order Completed", "2026-02-01T10:00:00Z")
    more.write_bytes(ndjson([event("bert", "Order Completed", "2025-12-01T10:00:00Z"), late]) + b"{}\n")
    told = run("import", events, more, "--until", "2026-02-01", "--dry-run", "--rejects", rejects)
    assert told.code == 0
    first, *others = told.out.splitlines()
    assert first == f"{len(EVENTS) + 1} events would be brought in, from 2025-12-01T10:00:00.000Z to 2026-01-01T12:00:00.000Z"
    assert others[0] == f"1 left out, after_until; the first is {more}:2 at $.timestamp: at or after 2026-02-01T00:00:00.000Z"
    assert [json.loads(line)["line"] for line in rejects.read_text(encoding="utf-8").splitlines()] == [2, 3]
    assert len(others) == 2


def test_the_same_for_machines(run: Run, events: Path) -> None:
    """A script counts."""
    [found] = run("import", events, "--dry-run", "--json").lines()
    assert (found["written"], found["was_there"], found["left_out"]) == (len(EVENTS), 0, {})


def test_columns_are_told_by_a_mapping_as_for_a_replay(run: Run) -> None:
    """The usual export is a table; one whose rows are no events is an answer of no."""
    table = DATA / "online_retail" / "first_3000.csv.gz"
    told = run("import", table, "--mapping", "online_retail", "--dry-run")
    assert told.code == 0
    assert "events would be brought in, from 2010-12-01" in told.out
    assert run("import", table, "--dry-run").code == 3
    nothing = run("import", table, "--mapping", "online_retail", "--until", "2009-01-01", "--dry-run")
    assert nothing.code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-"], 3, "standard input can be read once"),
        (["nothing.ndjson"], 3, "nothing.ndjson: cannot be read"),
        (["{events}", "--until", "soon"], 2, "expected a date"),
        (["{events}", "--rejects", "{events}"], 2, "is also read"),
        (["{events}", "--finish"], 2, "brings nothing in"),
        (["--finish"], 2, "brings nothing in"),
        ([], 2, "expected files"),
    ],
)
def test_what_cannot_be_is_refused(run: Run, events: Path, arguments: list[str], code: int, says: str) -> None:
    """Before anything is written."""
    told = run("import", *(argument.format(events=events) for argument in arguments), "--dry-run")
    assert told.code == code
    assert says in " ".join(told.err.split())


def test_orders_of_a_table_and_clicks_of_lines_come_in_one_command(run: Run, tmp_path: Path) -> None:
    """They tell of the same time, so neither can come behind the other: what lies before the end of the first would be left out."""
    (tmp_path / "orders.csv").write_text("who,when,id\nada,2026-01-02T10:00:00Z,o-1\nbob,2026-01-04T10:00:00Z,o-2\n", encoding="utf-8")
    click = {"type": "track", "event": "Product Viewed", "messageId": "k-1", "userId": "ada", "timestamp": "2026-01-03T10:00:00Z"}
    (tmp_path / "clicks.ndjson").write_text(json.dumps(click) + "\n", encoding="utf-8")
    mapping = "{format: csv, customer: who, timestamp: {column: when}, event: {otherwise: Order Completed}, message_id: id}"
    (tmp_path / "columns.yaml").write_text(mapping, encoding="utf-8")
    files = [tmp_path / "orders.csv", tmp_path / "clicks.ndjson"]
    told = run("import", *files, "--mapping", tmp_path / "columns.yaml", "--format", "segment", "--dry-run")
    assert (told.code, told.out) == (0, "3 events would be brought in, from 2026-01-02T10:00:00.000Z to 2026-01-04T10:00:00.000Z\n")
    (tmp_path / "columns.yaml").write_text(mapping.replace("who,", "[who],"), encoding="utf-8")
    told = run("import", *files, "--mapping", tmp_path / "columns.yaml", "--dry-run")
    assert told.code == 1
    assert told.err.startswith("mapping: ")
