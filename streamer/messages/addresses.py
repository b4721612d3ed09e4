"""What may be an address: an instance of none is a reason not to send, and nothing that breaks a header gets to a sender."""

from __future__ import annotations

import re
from typing import Final

from streamer.values import Json

EMAIL: Final = "email"
ADDRESS_CHARS_MAX: Final = 256  # a customer's id has as many at most, and is an address on some channels
EMAIL_CHARS_MAX: Final = 254  # RFC 5321: a path of 256 with its angle brackets
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_EMAIL: Final = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[^\s@<>,;:\"()\[\]\\.]+(\.[^\s@<>,;:\"()\[\]\\.]+)*")


def as_address(value: Json, channel: str) -> str | None:
    """The address on a channel, or None where the value can be none: on ``email`` something@domain, elsewhere any text without control
    characters.

    >>> as_address("ada@example.com", "email"), as_address("ada@", "email"), as_address("a@b\\nBcc: c@d", "email"), as_address("", "x")
    ('ada@example.com', None, None, None)
    """
    if type(value) is not str or not 0 < len(value) <= ADDRESS_CHARS_MAX or _UNFIT.search(value):
        return None
    if channel == EMAIL and (len(value) > EMAIL_CHARS_MAX or _EMAIL.fullmatch(value) is None):
        return None
    return value
