"""Checks of a sender: its templates, its channels, and the links in its messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from streamer.errors import SettingsError
from streamer.sender.channels import SendingChannel
from streamer.sender.channels.opening import open_channels
from streamer.sender.process import check_links, read_templates
from streamer.settings import Settings

from .finding import CheckResult, ok, wrong

NAME: Final = "sender"
REMEDY: Final = "correct the setting; a sender does not start so"


async def check_sender(settings: Settings) -> list[CheckResult]:
    """Results where templates are set; nothing otherwise. Sends nothing, and asks no server."""
    if settings.templates is None:
        return []
    try:
        channels = open_channels(settings, _nowhere, lambda: 0)
    except SettingsError as error:
        return [wrong(NAME, str(error), REMEDY)]
    try:
        return list(_check_settings(settings, channels))
    finally:
        await asyncio.gather(*(channel.close() for channel in channels.values()))


def _check_settings(settings: Settings, channels: dict[str, SendingChannel]) -> Iterator[CheckResult]:
    try:
        check_links(settings, channels)
        templates = read_templates(settings)
    except SettingsError as error:
        yield wrong(NAME, str(error), REMEDY)
        return
    for problem in templates.problems.values():
        yield wrong(
            NAME, f"a template cannot be used: {problem}", "correct it, and start the senders anew: they read templates at their start"
        )
    yield ok(NAME, f"{len(templates.names)} templates, channels {', '.join(sorted(channels))}")


def _nowhere(line: str) -> None:
    """Nothing is sent here."""
    del line


__all__ = ["check_sender"]
