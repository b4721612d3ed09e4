"""``streamer segments preview`` on files: what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import EVENTS, Run, event, ndjson

NEW = """
segments:
  viewer: {for: Has looked., when: did("Product Viewed")}
  never: {for: Has not bought., when: never("Order Completed")}
"""
MESSAGES = """
channels: {email: {}}
messages:
  hello: {for: Greets., on: 'entered("viewer")', channel: email, kind: transactional, template: hello}
"""


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """Other definitions than those of the other fixtures."""
    path = tmp_path / "new.yaml"
    path.write_text(NEW, encoding="utf-8")
    return path


def test_a_preview_names_sizes_people_and_reasons(run: Run, new: Path, segments: Path, events: Path) -> None:
    """What an author wants to know before publishing, readable without a manual."""
    told = run("segments", "preview", new, "--data", events, "--against", segments)
    assert told.code == 0
    assert told.out.splitlines()[0] == ("at 2026-01-01T12:00:00.000Z, by all customers, 2: 6 events from 2026-01-01T10:00:00.000Z")
    assert "1 refused: duplicate" in told.out
    assert "viewer: 2 members, 100.0% of the customers" in told.out
    assert "0 in force now, 2 would enter, 0 would leave" in told.out
    assert "bert since 2026-01-01T10:20:00.000Z" in told.out
    assert 'yes not did("Order Completed"): nothing' in told.out
    assert "50% are in never" in told.out
    assert "if no event arrives: within an hour 0 enter, 0 leave" in told.out
    assert told.out.count("2026-01-01 ") == 2, "a row a segment and day on which somebody moved"


def test_the_same_for_machines(run: Run, new: Path, events: Path) -> None:
    """A build may check that a new rule catches somebody."""
    [found] = run("segments", "preview", new, "--data", events, "--json", "--days", "2", "--samples", "1").lines()
    assert {segment["name"]: segment["members"]["count"] for segment in found["segments"]} == {"viewer": 2, "never": 1}
    assert [len(segment["days"]) for segment in found["segments"]] == [2, 2]
    assert [len(segment["samples"]) for segment in found["segments"]] == [1, 1]
    assert found["segments"][0]["difference"] is None


def test_a_share_says_that_it_is_one(run: Run, new: Path, tmp_path: Path) -> None:
    """A guess that looks like a count would be believed."""
    file = tmp_path / "many.ndjson"
    file.write_bytes(ndjson([event(f"c{number}", "Product Viewed", "2026-01-01T10:00:00Z") for number in range(400)]))
    told = run("segments", "preview", new, "--data", file, "--share", "25%")
    assert "by 25% of the customers, chosen by hash" in told.out
    assert "(" in told.out.splitlines()[2], "a number with its interval"
    assert run("segments", "preview", new, "--data", file, "--share", "0.25").out == told.out


def test_names_from_outside_reach_no_terminal_as_commands(run: Run, new: Path, tmp_path: Path) -> None:
    """Ids are written by whoever has a browser."""
    file = tmp_path / "evil.ndjson"
    file.write_bytes(ndjson([event("\u202eevil", "Product Viewed", "2026-01-01T10:00:00Z")]))
    told = run("segments", "preview", new, "--data", file)
    assert "\\u202eevil since" in told.out
    assert "\u202e" not in told.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--share", "0"], "expected a part such as 10%"),
        (["--share", "110%"], "expected a part such as 10%"),
        (["--share", "some"], "expected a part such as 10%"),
        (["--since", "1d"], "files are read whole"),
        (["--within", "soon"], "expected a number of events such as 1000000, or a length such as 30s"),
    ],
)
def test_what_says_nothing_is_refused(run: Run, new: Path, events: Path, options: list[str], says: str) -> None:
    """An option that were passed over in silence would be believed."""
    told = run("segments", "preview", new, "--data", events, *options)
    assert told.code == 2
    assert says in " ".join(told.err.split())


def test_options_of_files_need_files(run: Run, new: Path, segments: Path) -> None:
    """Before anybody is asked where Kafka is."""
    told = run("segments", "preview", new, "--against", segments)
    assert told.code == 2
    assert "without --data" in told.err
    told = run("segments", "publish", new, "--share", "10%")
    assert told.code == 2
    assert "only --dry-run" in told.err


def test_standard_input_is_read_once(run: Run, new: Path) -> None:
    """A second reading would find nothing, and a share would be one of nobody."""
    assert run("segments", "preview", new, "--data", "-", stdin=ndjson(EVENTS)).code == 0
    told = run("segments", "preview", new, "--data", "-", "--share", "50%", stdin=ndjson(EVENTS))
    assert told.code == 3
    assert "standard input can be read once" in told.err


def test_refused_lines_are_named(run: Run, new: Path, tmp_path: Path) -> None:
    """Nobody is previewed on a file that was not understood without being told."""
    file = tmp_path / "half.ndjson"
    file.write_bytes(ndjson(EVENTS) + b"{}\n")
    told = run("segments", "preview", new, "--data", file)
    assert "lines were refused, the first is" in told.err


def test_messages_stand_behind_the_segments(run: Run, tmp_path: Path, events: Path) -> None:
    """Nobody here has an address, which is what an author should hear before anything is published."""
    path = tmp_path / "messages.yaml"
    path.write_text(NEW + MESSAGES, encoding="utf-8")
    told = run("segments", "preview", path, "--data", events, "--days", "3")
    assert "message hello: 0 customers would have been sent it in 3 days" in told.out
    assert "2 skip: no_address" in told.out


def test_a_bound_is_kept_or_said(run: Run, new: Path, events: Path) -> None:
    """A preview that stopped half-way would be of another log."""
    assert run("segments", "preview", new, "--data", events, "--within", "100").code == 0
    told = run("segments", "preview", new, "--data", events, "--within", "2")
    assert told.code == 1
    assert "more than 2 events; look at a smaller share of the customers, or begin later" in told.err
