"""What is drawn of a message and a customer, once and for ever: the key of a decision, who is held out, which variant they get.

Nothing is drawn by chance: the same customer is on the same side of the same message whenever it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

KEY_BYTES: Final = 16
SHARE_WHOLE: Final = 10_000  # shares are in ten-thousandths
EVERY_MESSAGE: Final = "*"  # in place of a message's name: the hold-out over all of them


def decision_key(message: str, customer: str, sequence: int) -> bytes:
    """Names what one change brings about by one message, of which there is one at most."""
    return blake2b(f"{message}\0{customer}\0{sequence}".encode(), digest_size=KEY_BYTES).digest()


def is_held_out(message: str, customer: str, share: int) -> bool:
    """Whether the customer is among the share of this message's (or ``EVERY_MESSAGE``'s) customers who get nothing."""
    return share > 0 and _draw("holdout", message, customer) % SHARE_WHOLE < share


def variant_of(message: str, customer: str, variants: Sequence[tuple[str, int]]) -> str | None:
    """Which variant the customer gets, by the weights; None where there are none."""
    whole = sum(weight for _, weight in variants)
    if not whole:
        return None
    at = _draw("variant", message, customer) % whole
    for name, weight in variants:
        at -= weight
        if at < 0:
            return name
    raise AssertionError("what was drawn is below the sum of the weights")


def _draw(what: str, message: str, customer: str) -> int:
    return int.from_bytes(blake2b(f"{what}\0{message}\0{customer}".encode(), digest_size=8).digest(), "big")
