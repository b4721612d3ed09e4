"""Checks of a collector: whether its file of keys can be used, and whether it can tell its customers apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamer.collector.key_watch import load_keys
from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.web.loopback import is_loopback

from .finding import CheckResult, ok, warning, wrong

NAME: Final = "collector"


def check_collector(settings: Settings) -> Iterator[CheckResult]:
    """Results where something is set for a collector; nothing otherwise."""
    if settings.collect_keys is None and is_loopback(settings.collect_host):
        return
    try:
        keys = load_keys(settings).all
    except SettingsError as error:
        yield wrong(NAME, str(error), "correct it: a collector does not start so, and one that runs keeps the keys it has")
        return
    public = sum(key.is_public for key in keys)
    yield ok(NAME, f"{len(keys)} write keys, {public} of them for browsers")
    if public and is_loopback(settings.collect_host) and not settings.collect_proxies:
        said = f"browsers reach {settings.collect_host} through a proxy alone, and none is believed: all customers are one address"
        yield warning(NAME, said, "set STREAMER_COLLECT_PROXIES to the proxy's address, or rates hold for all customers together")
