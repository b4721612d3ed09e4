"""``streamer messages list``, and what ``segments check`` says of messages and their templates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from streamer.cli import message_pause
from streamer.commands import Answer, PauseMessages
from streamer.errors import StoreUnavailableError
from streamer.language.definitions import parse_definitions
from streamer.segments import coffee_shop
from streamer.settings import Settings
from streamer.stores.base import Checkpoint
from streamer.stores.memory import MemoryStore
from streamer.wire import Control, encode_control
from tests.cli.conftest import Run
from tests.unit.flow.persons import Persons

SHARDS: Final = 2
TEXT: Final = """
topics: {offers: opt_in}
segments:
  viewer: {for: Looked twice., when: 'count("Product Viewed", within="1h") >= 2'}
messages:
  hello: {for: Says hello., on: entered("viewer"), channel: email, topic: offers, facts: {first_name: trait("first_name")}}
  late:
    for: Says hello to those who come back.
    on: did("Product Viewed", within="1d")
    channel: console
    kind: transactional
    delay: 1h
    require: never("Order Completed")
    stay: false
    again: once
    cap: 1 per 7d
    quiet: "21:00-09:00"
    expiry: 12h
    holdout: 2.5%
    variants: {a: 1, b: 3}
    priority: 5
    goal: {event: Order Completed, within: 3d}
"""
HELLO: Final = "hello                    email (marketing, offers); entered viewer"
LATE: Final = (
    'late                     console (transactional); when did("Product Viewed", within="1d"), 1h later; if not did("Order Completed"); '
    "whatever changes meanwhile; once; at most 1 per 7d; quiet 21:00-09:00; expires after 12h; 2.5% get nothing; variants a 1, b 3; "
    "priority 5"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "shop.yaml"
    found.write_text(TEXT, encoding="utf-8")
    return found


def test_messages_of_files_are_listed_in_the_order_in_which_they_are_decided(run: Run, file: Path) -> None:
    """What holds a message back is spread over three sections; here it stands in a line."""
    assert run("messages", "list", file).out.splitlines() == [LATE, HELLO]


def test_the_same_for_machines(run: Run, file: Path) -> None:
    """What was filled in, beside what was written."""
    late, hello = run("messages", "list", file, "--json").lines()
    assert (late["message"], late["delay_ms"], late["caps"], late["line"]) == ("late", 3_600_000, ["1 per 7d"], 7)
    assert (hello["template"], hello["expiry_ms"], hello["quiet"], hello["paused"]) == ("hello", 86_400_000, None, False)
    assert hello["written"]["on"] == 'entered("viewer")'


def test_no_message_is_an_answer_of_no(run: Run, segments: Path) -> None:
    """A script that asks whether there are any need not count lines."""
    told = run("messages", "list", segments)
    assert (told.code, told.out, told.err) == (1, "", "no message is defined\n")


def test_without_files_those_in_force_are_listed_and_which_are_paused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks why nothing is sent looks here first."""
    store = MemoryStore()
    monkeypatch.setenv("STREAMER_SHARDS", str(SHARDS))
    monkeypatch.setattr(Settings, "open_store", lambda _: store)
    told = run("messages", "list")
    assert (told.code, "no definitions hold" in told.err) == (3, True)
    asyncio.run(_live(store))
    told = run("messages", "list")
    assert told.out.splitlines() == [LATE, HELLO.replace("email (", "PAUSED; email (")]
    assert told.err == "version 2 does not hold yet in 1 of 2 shards\n"


async def _live(store: MemoryStore) -> None:
    """Two shards under these definitions, one of them under a newer version; one message is paused."""
    shop = Persons(parse_definitions(TEXT), SHARDS)
    shop.stores = [store] * SHARDS
    shop.log.send_control(encode_control(Control("pause", message="hello")))
    shop.define(parse_definitions(TEXT), 2, [0])
    await shop.settle()


def test_a_name_that_no_message_has_is_not_paused_in_a_hurry(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has seen a mistake in a mail, mistyped its name, read "paused", and it went on."""
    store, asked = MemoryStore(), list[str]()
    monkeypatch.setenv("STREAMER_SHARDS", str(SHARDS))
    monkeypatch.setattr(Settings, "open_store", lambda _: store)
    monkeypatch.setattr(message_pause, "ask_worker", _note_in(asked))
    asyncio.run(_live(store))
    told = run("messages", "pause", "helo")
    assert (told.code, asked) == (3, [])
    expected = "no message in force is called 'helo', did you mean 'hello'? (nothing was paused; --undefined pauses it all the same)\n"
    assert told.err.endswith(expected)
    for words in (("hello",), ("all",), ("helo", "--undefined")):
        assert run("messages", "pause", *words).code == 0
    monkeypatch.setattr(store, "checkpoint", _away)
    told = run("messages", "pause", "helo")
    assert (told.code, "not checked whether there is a message 'helo'" in told.err) == (0, True), "to pause is urgent"
    assert asked == ["hello", "*", "helo", "helo"]


def _note_in(asked: list[str]) -> Callable[[Settings, PauseMessages, float], Answer]:
    def ask(_settings: Settings, command: PauseMessages, _wait: float) -> Answer:
        asked.append(command.message)
        return Answer("1", "done", "paused", "a worker", "2026-03-01T00:00:00.000Z")

    return ask


async def _away(_shard: int) -> Checkpoint:
    raise StoreUnavailableError("the store is away")


def test_a_template_that_is_lacking_or_asks_for_more_is_wrong(run: Run, file: Path, tmp_path: Path) -> None:
    """Else the first customer finds it, or does not."""
    folder = tmp_path / "templates"
    told = run("segments", "check", file, "--templates", folder)
    assert (told.code, "expected a folder of templates, found none" in told.out) == (1, True)
    _write(folder / "helo" / "en", "Hello")
    _write(folder / "late" / "en", "Hello {{ fist_name }}")
    said = run("segments", "check", file, "--templates", folder)
    needs = "has the template 'late', which at late/en/text.liquid:1:10 needs 'fist_name', and no such fact (it has no facts)"
    assert said.code == 1
    assert said.out.splitlines() == [
        f"{file}:7: error: message late: {needs}",
        f"{file}:6: error: message hello: has the unknown template 'hello' (did you mean helo?)",
        f"{file}:7: suspicious: message late: its cap 1 per 7d decides nothing: again: once sends it once",
        "1 segment, 2 messages, 1 suspicious",
    ]
    _write(folder / "hello" / "en", "Hello {{ first_name | default: 'you' }} {{ unsubscribe_url }}")
    _write(folder / "late" / "en", "Hello")
    assert run("segments", "check", file, "--templates", folder).code == 0
    _write(folder / "late" / "en", "Hello {% if %}")
    (broken,) = [one for one in run("segments", "check", file, "--templates", folder).out.splitlines() if "error" in one]
    assert "message late: has the template 'late', which cannot be used: " in broken


def test_what_is_published_has_its_templates(run: Run, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused before anybody is asked: no broker is there."""
    _write(tmp_path / "templates" / "late" / "en", "Hello")
    monkeypatch.setenv("STREAMER_TEMPLATES", str(tmp_path / "templates"))
    told = run("segments", "publish", file)
    assert told.code == 1
    assert told.err == f"definitions: {file}:6: the message 'hello' has the unknown template 'hello' (there are late)\n"


def _write(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "subject.liquid").write_text("Hello", encoding="utf-8")
    (folder / "text.liquid").write_text(text, encoding="utf-8")


def test_the_coffee_shop_has_every_template_and_every_fact(run: Run) -> None:
    """What is shipped is what people copy."""
    folder = Path(coffee_shop.__file__).parent
    told = run("segments", "check", folder, "--templates", folder / "templates")
    assert (told.code, "5 messages, 0 suspicious" in told.out) == (0, True), told.out
