"""What the README asks a newcomer to type, on the files it asks them to write."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from streamer.message_links import LinkKeys
from streamer.sender.decision import read_decision
from streamer.sender.templates.folder import Templates
from streamer.sender.templates.rendering import render
from streamer.settings import Settings
from tests.cli.conftest import DATA, ROOT, Run

PAGES: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK: Final = re.compile(r"\]\((?!https?:|#)([^)#]+)")
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    """The README's examples in one language, in order."""
    return [text for found, text in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")) if found == language]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with the first segment and the events."""
    (tmp_path / "my_segments.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    (tmp_path / "events.ndjson").write_text(blocks("json")[0], encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("text", blocks("yaml"))
def test_each_example_of_definitions_loads_without_a_suspicion(run: Run, tmp_path: Path, text: str) -> None:
    """It is the first thing that anybody copies."""
    (tmp_path / "copied.yaml").write_text(text, encoding="utf-8")
    told = run("segments", "check", tmp_path / "copied.yaml")
    assert (told.code, "0 suspicious" in told.out) == (0, True), told.out


def test_the_replay_says_what_is_promised_beside_it(run: Run, mine: Path) -> None:
    """In at 10:30, out three days after the cart was filled; the customer who bought is in neither line."""
    told = run("replay", mine / "events.ndjson", "--segments", mine / "my_segments.yaml", "--until", "4d", "--changes", "-", "--quiet")
    assert [(line["subject"], line["type"], line["time"]) for line in told.lines()] == [
        ("c-17", "segment.entered", "2026-03-01T10:30:00.000Z"),
        ("c-17", "segment.exited", "2026-03-04T10:00:00.000Z"),
    ]
    told = run("explain", "c-17", "--events", mine / "events.ndjson", "--segments", mine / "my_segments.yaml")
    assert "in     cart_left since 2026-03-01T10:30:00.000Z; leaves 2026-03-04T10:00:00.000Z" in told.out
    assert 'stays until its exit holds:\n       no  since(last("Product Added")) >= "3d": 40m' in told.out
    outside = run("explain", "c-18", "--events", mine / "events.ndjson", "--segments", mine / "my_segments.yaml")
    assert "not in cart_left" in outside.out
    assert "stays until" not in outside.out
    later = run("explain", "c-17", "--events", mine / "events.ndjson", "--segments", mine / "my_segments.yaml", "--until", "4d")
    assert 'its exit holds, and nobody enters while it does:\n       yes since(last("Product Added")) >= "3d"' in later.out


def test_the_sample_is_where_it_is_said_to_be_and_knows_the_customer(run: Run) -> None:
    """A path in a text is checked by nobody else."""
    name = "tests/data/online_retail/first_3000.csv.gz"
    typed = [line for text in blocks("sh") for line in text.splitlines() if name in line]
    assert [line.split()[:2] for line in typed] == [["streamer", "replay"], ["streamer", "explain"]]
    told = run("explain", typed[1].split()[2], "--events", DATA.parents[1] / name, "--mapping", "online_retail")
    assert (told.code, told.err) == (0, "")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_between_our_pages_leads_somewhere(page: Path) -> None:
    """A page that was moved takes its readers nowhere."""
    assert [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()] == []


def test_the_pages_name_only_commands_and_settings_that_there_are(run: Run) -> None:
    """An operator types what stands there, at night."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    commands = set(re.findall(r"`streamer ([a-z-]+)", text))
    told = run("--help").out
    assert {command for command in commands if not re.search(rf"^  {command}\b", told, re.MULTILINE)} == set()
    assert len(commands) > 8
    settings = {name.lower().removeprefix("streamer_") for name in re.findall(r"STREAMER_[A-Z_]+[A-Z]", text)}
    elsewhere = {"config", "create", "require_real", "test_examples"}
    assert settings - set(Settings.model_fields) - elsewhere == set()


def test_the_message_is_decided_and_reads_as_it_was_written(run: Run, mine: Path) -> None:
    """Ten lines of a marketer's, a folder of templates as it is typed there, and what somebody would read."""
    definitions = next(text for text in blocks("yaml") if "\nmessages:\n" in text)
    (mine / "my_messages.yaml").write_text(definitions, encoding="utf-8")
    typed = next(text for text in blocks("sh") if "templates/cart_reminder" in text)
    making = typed.partition("streamer segments check")[0]
    subprocess.run(["sh", "-ec", making], cwd=mine, check=True)
    checked = run("segments", "check", mine / "my_messages.yaml", "--templates", mine / "templates")
    assert (checked.code, "0 suspicious" in checked.out) == (0, True), checked.out
    told = run("replay", mine / "events.ndjson", "--segments", mine / "my_messages.yaml", "--until", "1d", "--messages", "-", "--quiet")
    (sent,) = [json.dumps(line).encode() for line in told.lines() if line["type"] == "message.send"]
    decision = read_decision(sent)
    assert decision is not None
    content = render(decision, Templates(mine / "templates"), LinkKeys({"k1": b"s" * 32}, "https://shop.example"))
    assert content.subject == "Your cart"
    assert content.text.startswith("Hello, your coffee for €20.00 is still there. https://shop.example/messages/unsubscribe?t=")
