"""Checks of the settings: variables that nobody reads, and a login that is not safe or not used."""

from __future__ import annotations

from collections.abc import Iterator

from streamer.settings import Settings, similar_setting, unknown_variables
from streamer.wire import EVENTS

from .finding import CheckResult, ok, warning


def check_settings(settings: Settings) -> Iterator[CheckResult]:
    """What the settings say by themselves."""
    yield ok("settings", f"{settings.shards} shards of {settings.topic(EVENTS)}, state under {settings.namespace!r}")
    for name in unknown_variables():
        hint = similar_setting(name.removeprefix("STREAMER_"))
        yield warning("settings", f"{name} is no setting{hint}: nobody reads it", "correct its name, or take it out of the environment")
    yield from _login(settings)


def _login(settings: Settings) -> Iterator[CheckResult]:
    protocol, remedy = settings.kafka_security_protocol, "set STREAMER_KAFKA_SECURITY_PROTOCOL to SASL_SSL"
    if settings.kafka_username is not None and protocol in {"PLAINTEXT", "SSL"}:
        yield warning("settings", f"a Kafka user is set, and {protocol} does not log in", remedy)
    if settings.kafka_password is not None and protocol == "SASL_PLAINTEXT":
        yield warning("settings", "the Kafka password travels unencrypted", remedy)
