"""Checks of a server for readers: whether its file of tokens can be used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamer.errors import SettingsError
from streamer.server.tokens import load_tokens
from streamer.settings import Settings
from streamer.web.loopback import is_loopback

from .finding import CheckResult, ok, wrong

NAME: Final = "server for readers"


def check_server(settings: Settings) -> Iterator[CheckResult]:
    """Results where something is set for a server; nothing otherwise."""
    if settings.serve_tokens is None and is_loopback(settings.serve_host):
        return
    try:
        tokens = load_tokens(settings).all
    except SettingsError as error:
        yield wrong(NAME, str(error), "correct it: a server does not start so, and one that runs keeps the tokens it has")
    else:
        yield ok(NAME, f"{len(tokens)} tokens, {sum('erase' in token.roles for token in tokens)} of them may erase")
