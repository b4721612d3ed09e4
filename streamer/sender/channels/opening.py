"""The channels of a sender, made from its settings: ours, and those that packages register."""

from __future__ import annotations

import base64
from collections.abc import Callable
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from importlib.metadata import entry_points
from typing import Final, cast

from streamer.errors import SettingsError
from streamer.settings import Settings

from . import SendingChannel
from .console import ConsoleChannel
from .mail import mail_address
from .smtp import SmtpChannel, SmtpServer
from .webhook import WebhookChannel

GROUP: Final = "streamer.channels"
LOCAL: Final = ("localhost", "127.0.0.1", "::1")
PREFIX: Final = "whsec_"
SECRET_BYTES: Final = range(24, 65)  # what Standard Webhooks allows
OURS: Final = ("console", "email", "webhook")

ChannelOpener = Callable[[Settings], SendingChannel]
"""Makes a channel. SettingsError where its settings are not as they must be."""


def open_channels(settings: Settings, write: Callable[[str], None], now_ms: Callable[[], int]) -> dict[str, SendingChannel]:
    """Channels by name: ``console`` always, ``email`` and ``webhook`` where they are set up, and what packages register. SettingsError."""
    found: dict[str, SendingChannel] = {"console": ConsoleChannel(write, settings.sender_file)}
    if settings.smtp_host:
        found["email"] = SmtpChannel(smtp_server(settings), now_ms)
    if settings.sender_webhook:
        found["webhook"] = _webhook(settings, now_ms)
    for point in entry_points(group=GROUP):
        if point.name in OURS:
            raise SettingsError(f"the package {point.value.partition(':')[0]} registers a channel {point.name!r}, which is one of ours")
        found[point.name] = cast("ChannelOpener", point.load())(settings)
    return found


def smtp_server(settings: Settings) -> SmtpServer:
    """The server of the settings. SettingsError for a sender that is no address, and for a password that would go in the clear."""
    name, address = parseaddr(settings.smtp_from)
    checked = mail_address(address)
    if checked is None:
        raise SettingsError("STREAMER_SMTP_FROM: expected an address, such as Shop <news@shop.example>")
    try:
        sender = Address(name, addr_spec=checked)
    except (ValueError, MessageError):
        raise SettingsError("STREAMER_SMTP_FROM: expected a name without control characters, and an address") from None
    if settings.smtp_tls == "none" and settings.smtp_username and settings.smtp_host not in LOCAL:
        raise SettingsError("STREAMER_SMTP_TLS: none would send the password in the clear; expected starttls or implicit")
    return SmtpServer(
        settings.smtp_host,
        settings.smtp_port,
        settings.smtp_tls,
        sender,
        settings.smtp_username,
        settings.smtp_password.get_secret_value(),
        settings.smtp_connections,
    )


def _webhook(settings: Settings, now_ms: Callable[[], int]) -> WebhookChannel:
    secret = settings.sender_webhook_secret.get_secret_value().strip()
    try:
        drawn = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except ValueError:
        drawn = b""
    if not secret.startswith(PREFIX) or len(drawn) not in SECRET_BYTES:  # the library takes one byte for a secret, too
        raise SettingsError(f"STREAMER_SENDER_WEBHOOK_SECRET: expected {PREFIX} and base64 of 24 to 64 bytes")
    return WebhookChannel(settings.sender_webhook, secret, now_ms)


__all__ = ["OURS", "ChannelOpener", "open_channels", "smtp_server"]
