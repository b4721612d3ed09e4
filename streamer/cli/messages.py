"""``streamer messages``: which messages there are, and under which rules each is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated

import typer

from streamer.language.definitions import load_definitions
from streamer.language.durations import format_duration
from streamer.language.message_specs import AGAIN_ALWAYS, AGAIN_ONCE, EXPIRY_MS, MessageSpec
from streamer.language.tree import text

from . import EXIT_CODES, EXIT_NO, message_ledger, message_pause, message_trials
from .lift import lift
from .messages_in_force import MessagesInForce, messages_in_force
from .terminal import echo, echo_json

ALL = "*"  # paused: no message is sent


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Say what messages there are and what became of them.",
        no_args_is_help=True,
        epilog=EXIT_CODES,
        rich_markup_mode=None,
    )
    group.callback()(_messages)
    group.command("list", epilog=EXIT_CODES, short_help="One line a message: when it is sent, to whom, and what holds it back.")(
        list_messages
    )
    group.command("lift", epilog=EXIT_CODES, short_help="What messages bring about, against those held out.")(lift)
    message_pause.register(group)
    message_trials.register(group)
    message_ledger.register(group)
    app.add_typer(group, name="messages")


def _messages() -> None:
    """Say what messages there are and what became of them, and hold them back."""


def list_messages(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[PATH]...", help="YAML files of definitions, or folders of them; none: those in force")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a message")] = False,
) -> None:
    """One line a message, in the order in which those of one moment are decided: what begins it, what holds it back.

    With files, of these files, and needs no server. Without, of the definitions that hold in the deployment (see `streamer config`), and
    which messages are paused. Exit code 1: there is none.

    \b
      streamer messages list my_segments.yaml
      streamer messages list
    """
    if paths:
        found = MessagesInForce(load_definitions(*paths).messages, frozenset())
    else:
        from streamer.settings import load_settings

        found = asyncio.run(messages_in_force(load_settings()))
    for message in found.messages:
        if as_json:
            echo_json({**_facts(message), "paused": _is_paused(message, found.paused)})
        else:
            echo(f"{message.name:<24} {'; '.join(_says(message, found.paused))}")
    if not found.messages:
        echo("no message is defined", err=True)
        raise typer.Exit(EXIT_NO)


def _is_paused(message: MessageSpec, paused: Collection[str]) -> bool:
    return ALL in paused or message.name in paused


def _says(message: MessageSpec, paused: Collection[str]) -> Iterator[str]:
    """What a line says, in the order of a decision."""
    if _is_paused(message, paused):
        yield "PAUSED"
    about = message.kind if message.topic is None else f"{message.kind}, {message.topic}"
    yield f"{message.channel} ({about})"
    later = f", {format_duration(message.delay_ms)} later" if message.delay_ms else ""
    yield f"{_on(message)}{later}"
    if message.require is not None:
        yield f"if {text(message.require)}"
    if not message.stay:
        yield "whatever changes meanwhile"
    if message.again_ms != AGAIN_ALWAYS:
        yield "once" if message.again_ms == AGAIN_ONCE else f"again after {format_duration(message.again_ms)}"
    yield from (f"at most {cap.text}" for cap in message.caps)
    if message.quiet is not None:
        yield f"quiet {message.quiet.text}"
    if message.expiry_ms != EXPIRY_MS:
        yield f"expires after {format_duration(message.expiry_ms)}"
    if message.holdout_bp:
        yield f"{message.holdout_bp / 100:g}% get nothing"
    if message.variants:
        yield "variants " + ", ".join(f"{name} {weight}" for name, weight in message.variants)
    if message.priority:
        yield f"priority {message.priority}"


def _on(message: MessageSpec) -> str:
    trigger = message.trigger
    return f"{trigger.kind} {trigger.segment}" if trigger.condition is None else f"when {text(trigger.condition)}"


def _facts(message: MessageSpec) -> dict[str, object]:
    """For machines: what was filled in, and under ``written`` what was written."""
    return {
        "message": message.name,
        "on": _on(message),
        "channel": message.channel,
        "kind": message.kind,
        "topic": message.topic,
        "template": message.template,
        "priority": message.priority,
        "delay_ms": message.delay_ms,
        "expiry_ms": message.expiry_ms,
        "quiet": None if message.quiet is None else message.quiet.text,
        "caps": [cap.text for cap in message.caps],
        "written": message.source,
        "file": message.file,
        "line": message.line,
    }
