"""Many small numbers as one short text: what a snapshot would otherwise spell out digit by digit.

Whoever packs an array works on that same array, so what is restored equals what was there to the last bit.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from math import isfinite
from typing import Final, Literal

FLOAT32_MAX: Final = 3.0e38


def pack(numbers: array[float] | array[int]) -> str:
    """Little-endian, base64."""
    return b64encode(_little(numbers).tobytes()).decode("ascii")


def unpack_floats(text: str) -> array[float]:
    """The inverse of ``pack`` for an ``array("f")``; ValueError when one is not finite."""
    numbers: array[float] = array("f")
    _fill(numbers, text)
    if not all(map(isfinite, numbers)):
        raise ValueError("expected finite numbers")
    return numbers


def unpack_counts(text: str, code: Literal["B", "H"]) -> array[int]:
    """The inverse of ``pack`` for an array of small counts."""
    numbers: array[int] = array(code)
    _fill(numbers, text)
    return numbers


def as_float32(number: float) -> float:
    """Within what a float of four bytes can hold; the nearest one is taken when it is put into the array."""
    return max(-FLOAT32_MAX, min(FLOAT32_MAX, number))


def _fill(numbers: array[float] | array[int], text: str) -> None:
    numbers.frombytes(b64decode(text, validate=True))
    if sys.byteorder == "big":
        numbers.byteswap()


def _little(numbers: array[float] | array[int]) -> array[float] | array[int]:
    if sys.byteorder == "little":
        return numbers
    swapped = numbers[:]
    swapped.byteswap()
    return swapped
