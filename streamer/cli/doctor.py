"""``streamer doctor``: what is wrong with an installation, and what to do about it.

It looks and changes nothing: no topic is created, nothing is written, no shard is acquired. It may be run beside workers, and a shard
that moves on while it looks is no fault.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Annotated

import typer

from streamer.errors import SettingsError
from streamer.settings import FILE_VARIABLE, load_settings

from . import EXIT_CODES, EXIT_NO, EXIT_SETTINGS
from .checks.finding import CheckResult, wrong
from .terminal import echo, echo_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    summary = "Say what is amiss with Kafka, the store and the settings, and what to do about it."
    app.command("doctor", epilog=EXIT_CODES, short_help=summary)(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="one JSON object a check")] = False) -> None:
    """Look at settings, Kafka, the store, definitions and shards; say what is wrong and what to do about it.

    Changes nothing. Exit code 1 if something is wrong, 3 if the settings are unusable; warnings alone are 0.
    """
    from .checks.examination import examine

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it has to say becomes a result
    try:
        settings = load_settings()
    except SettingsError as error:
        remedy = f"correct the variable, or its line in the file named by {FILE_VARIABLE}; `streamer config` lists all"
        _print([wrong("settings", str(error), remedy)], as_json=as_json)
        raise typer.Exit(EXIT_SETTINGS) from None
    results = asyncio.run(examine(settings))
    _print(results, as_json=as_json)
    if any(result.verdict == "wrong" for result in results):
        raise typer.Exit(EXIT_NO)


def _print(results: Sequence[CheckResult], *, as_json: bool) -> None:
    for result in results:
        if as_json:
            echo_json(result)
            continue
        echo(f"{result.verdict:<8} {result.name}: {result.found}")
        if result.remedy:
            echo(f"{'':<8} -> {result.remedy}")
    if not as_json:
        counts = {verdict: sum(result.verdict == verdict for result in results) for verdict in ("ok", "warning", "wrong")}
        echo()
        echo(f"{counts['ok']} ok, {counts['warning']} warnings, {counts['wrong']} wrong")
