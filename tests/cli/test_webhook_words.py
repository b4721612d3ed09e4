"""``streamer webhooks`` and what others wrote: endpoints answer, and names are typed, whatever they like."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import pytest
from typer.testing import CliRunner

from streamer.cli import command_line
from streamer.settings import Settings
from streamer.transports.kafka import topics
from streamer.webhooks import administration
from streamer.webhooks.records import DeliveryLine

EVIL = '\x1b]0;owned\x07\x1b[2J\u202e=cmd|"/c calc"!A1\r\nshop: delivered, status 204'


def nothing(found: object = None) -> Callable[[Settings], Awaitable[object]]:
    """Stands for what asks Kafka."""

    async def ask(_settings: Settings) -> object:
        return found

    return ask


@pytest.fixture(autouse=True)
def no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """The topics are there."""
    monkeypatch.setattr(topics, "ensure_webhook_topics", nothing())


def said(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(command_line("webhooks"), ["webhooks", *words], catch_exceptions=False)
    return result.exit_code, result.output


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_what_an_endpoint_answers_reaches_no_terminal_as_a_command(option: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is subscribed writes into a log that an operator looks at. As JSON it is the same text, escaped."""
    line = DeliveryLine(subscription="shop", webhook_id=EVIL, at_ms=0, attempt=1, verdict="failed", problem=EVIL, answer=EVIL)
    monkeypatch.setattr(administration, "read_log", nothing([line]))
    code, output = said("log", *option)
    assert code == 0
    [one] = output.splitlines()
    assert one.isprintable(), "a terminal would obey it"
    if option:
        assert json.loads(one)["answer"] == EVIL


@pytest.mark.parametrize("name", ["", "Shop", "-shop", "../shop", "a" * 65, "shop\n", "sh op", "=cmd()", EVIL])
def test_a_name_that_is_none_is_refused_and_not_repeated_as_a_command(name: str) -> None:
    """It would be a part of the name of a consumer group, of labels of metrics, and of lines on a terminal."""
    code, output = said("add", "--url", "https://shop.example/", "--secret", "env:SHOP", "--", name)
    assert code == 3
    assert "NAME: expected a-z, 0-9, - and _" in output
    assert all(line.isprintable() for line in output.splitlines())
