"""``streamer segments check``: its shape and its exit codes. What it finds is tested beside the language."""

from __future__ import annotations

from pathlib import Path
from time import time

import pytest

from streamer.segments.library import library_path
from tests.cli.conftest import Run

WRONG = """segments:
  viewer:
    for: Looked twice.
    when: coutn("Product Viewed") >= 2
"""


def test_definitions_that_load_are_an_answer_of_yes(run: Run, segments: Path) -> None:
    """A build can stand on the exit code."""
    told = run("segments", "check", segments)
    assert told.code == 0
    assert told.out.splitlines()[-1].startswith("3 segments")
    assert run("segments", "check", library_path()).code == 0


def test_what_is_wrong_is_told_with_its_place_and_a_guess(run: Run, tmp_path: Path) -> None:
    """In the form that editors jump to."""
    file = tmp_path / "wrong.yaml"
    file.write_text(WRONG, encoding="utf-8")
    told = run("segments", "check", file)
    assert told.code == 1
    assert told.out.startswith(f"{file}:4:11: error: ")
    assert "count" in told.out


def test_the_same_for_machines(run: Run, tmp_path: Path, segments: Path) -> None:
    """One object a finding, and none where all is well."""
    file = tmp_path / "wrong.yaml"
    file.write_text(WRONG, encoding="utf-8")
    [found] = run("segments", "check", file, "--json").lines()
    assert (found["level"], found["file"], found["line"], found["column"]) == ("error", str(file), 4, 11)
    assert set(found) == {"level", "file", "line", "column", "message", "hint"}
    assert [item for item in run("segments", "check", segments, "--json").lines() if item["level"] == "error"] == []


@pytest.mark.parametrize(("content", "says"), [(None, "found nothing there"), (b"\xff\xfe", "expected UTF-8"), (b"", "segments")])
def test_a_file_that_holds_no_definitions_is_wrong(run: Run, tmp_path: Path, content: bytes | None, says: str) -> None:
    """An empty file would otherwise pass for a shop without segments."""
    file = tmp_path / "segments.yaml"
    if content is not None:
        file.write_bytes(content)
    told = run("segments", "check", file)
    assert told.code == 1
    assert says in told.out


def test_a_folder_is_read_whole_and_a_name_stands_once(run: Run, tmp_path: Path, segments: Path) -> None:
    """Two files that define the same name would otherwise depend on their order."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.yaml").write_bytes(segments.read_bytes())
    assert run("segments", "check", folder).code == 0
    (folder / "b.yaml").write_bytes(segments.read_bytes())
    told = run("segments", "check", folder)
    assert told.code == 1
    assert str(folder / "b.yaml") in told.out


@pytest.mark.parametrize(
    ("reach_ms", "found"), [(None, 0), (int(time() * 1_000) - 40 * 86_400_000, 1)], ids=["a whole log", "one that was cut"]
)
def test_what_looks_further_back_than_the_log_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reach_ms: int | None, found: int
) -> None:
    """Before anything is published an author should hear that half a year cannot be known."""

    async def reaches(_settings: object) -> int | None:
        return reach_ms

    monkeypatch.setattr("streamer.previews.reach.log_reach_ms", reaches)
    path = tmp_path / "far.yaml"
    path.write_text(
        'segments:\n  far: {for: x, when: \'never("Seen", within="180d")\'}\n  near: {for: x, when: \'never("Seen", within="30d")\'}\n',
        encoding="utf-8",
    )
    told = run("segments", "check", path, "--log")
    assert told.code == 0
    assert told.out.count("looks further back than the log reaches, which has events since ") == found
    assert ("warming: far: " in told.out) == (found == 1)
