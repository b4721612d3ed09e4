"""Secrets of endpoints, found by their references, and the signature of a delivery as Standard Webhooks has it."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes
from typing import Final

from standardwebhooks import Webhook

from streamer.errors import SettingsError

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = range(24, 65)  # what the standard allows
DRAWN_BYTES: Final = 32
FILE_BYTES_MAX: Final = 4_096


def new_secret() -> str:
    """A secret, drawn at random."""
    return PREFIX + base64.b64encode(token_bytes(DRAWN_BYTES)).decode()


class Signatory:
    """Signs for one endpoint: with the secret that holds, and while it is changed with the one before too."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._webhooks = [Webhook(secret) for secret in secrets]

    def headers(self, webhook_id: str, now_ms: int, body: str) -> dict[str, str]:
        """The three headers of a delivery that is sent now."""
        at = datetime.fromtimestamp(now_ms // 1_000, UTC)
        signatures = " ".join(webhook.sign(webhook_id, at, body) for webhook in self._webhooks)
        return {"webhook-id": webhook_id, "webhook-timestamp": str(now_ms // 1_000), "webhook-signature": signatures}


def signatory_of(references: Sequence[str]) -> Signatory:
    """Whoever signs with the secrets of these references, as they are now; SettingsError names the reference that cannot be used, never
    what it holds."""
    return Signatory([_secret(reference) for reference in references])


def _secret(reference: str) -> str:
    kind, _, place = reference.partition(":")
    text = os.environ.get(place) if kind == "env" else _of_file(place)
    if text is None:
        raise SettingsError(f"the secret {reference}: there is none here")
    encoded = text.strip().removeprefix(PREFIX)
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.strip().startswith(PREFIX) or len(secret) not in SECRET_BYTES:
        raise SettingsError(f"the secret {reference}: expected {PREFIX} and base64 of 24 to 64 bytes; `streamer webhooks secret` draws one")
    return text.strip()


def _of_file(place: str) -> str | None:
    try:
        with Path(place).open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode("ascii", errors="replace")
    except OSError:
        return None
