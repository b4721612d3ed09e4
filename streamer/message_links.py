"""Links in messages that only we can have made: to unsubscribe, to count an opening or a click, to know of which message a report is.

A link says of which customer and message it is, and carries a keyed code (HMAC-SHA256) over that. Its secrets are settings of their own:
the collector, which anybody can reach, verifies links and need not hold the keys that rule the log. The first key signs, each of them
verifies, so links in old mails go on working while an old key stays in the list.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from .wire import KEY_ID

Purpose = Literal["unsubscribe", "open", "click", "report"]

UNSUBSCRIBE_PATH: Final = "/messages/unsubscribe"  # of the collector, behind its prefix
OPEN_PATH: Final = "/messages/open.gif"
CLICK_PATH: Final = "/messages/click"
REPORT_PATH: Final = "/messages/report"  # to which providers, and no readers, post
REPORT_HEADER: Final = "X-Message-Report"  # of a mail: the token by which a report about it is believed
PATHS: Final[dict[Purpose, str]] = {"unsubscribe": UNSUBSCRIBE_PATH, "open": OPEN_PATH, "click": CLICK_PATH, "report": REPORT_PATH}
TOKEN_CHARS_MAX: Final = 4_096
CODE_BYTES: Final = 16  # of the digest: nobody finds 128 bits, and links stay short


class LinkOf(msgspec.Struct, array_like=True, frozen=True):
    """What a link is about. ``key`` is the decision's; an empty ``topic`` means all of them. ``target`` is where a click leads."""

    purpose: Purpose
    customer: str
    message: str
    key: str
    channel: str
    topic: str = ""
    variant: str = ""
    target: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LinkOf)


class LinkKeys:
    """The secrets of links, by their ids. ``base_url`` is what the paths of the collector stand behind."""

    def __init__(self, secrets: Mapping[str, bytes], base_url: str) -> None:
        self._secrets = secrets
        self._base_url = base_url.rstrip("/")

    @property
    def can_sign(self) -> bool:
        """Whether there is a key, and a place to which links can lead."""
        return bool(self._secrets) and bool(self._base_url)

    def url(self, link: LinkOf) -> str:
        """The address for a mail. Call it only where ``can_sign``."""
        return f"{self._base_url}{PATHS[link.purpose]}?t={self.token(link)}"

    def token(self, link: LinkOf) -> str:
        """The link as letters, digits, ``-``, ``_`` and ``.``: key id, content, code."""
        key = next(iter(self._secrets))
        content = _encoder.encode(link)
        return f"{key}.{_text(content)}.{_text(self._code(key, content))}"

    def read(self, token: str) -> LinkOf | None:
        """What a token says; None for one that is not of ours, whatever it is."""
        parts = token.split(".")
        if len(token) > TOKEN_CHARS_MAX or len(parts) != 3 or KEY_ID.fullmatch(parts[0]) is None or parts[0] not in self._secrets:
            return None
        try:
            content, code = _bytes(parts[1]), _bytes(parts[2])
        except (binascii.Error, ValueError):
            return None
        if not hmac.compare_digest(code, self._code(parts[0], content)):
            return None
        try:
            return _decoder.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _code(self, key: str, content: bytes) -> bytes:
        return hmac.digest(self._secrets[key], b"streamer-link-1\0" + content, "sha256")[:CODE_BYTES]


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
