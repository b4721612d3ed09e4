"""Truths of more predicates than an integer of MessagePack has bits, which are 64, in words of so many.

The first word of a memory stands under its number, as where one is enough; the others stand behind all of them, under negative numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WORD_BITS: Final = 64
WORDS_MAX: Final = 1 << 16  # of one memory: four million predicates
_WORD: Final = (1 << WORD_BITS) - 1


def in_words(truth_bits: Mapping[int, int]) -> dict[int, int]:
    """The same with no value of more than ``WORD_BITS``.

    >>> in_words({3: 5, 4: 6 + (7 << 64)})
    {3: 5, 4: 6, -262145: 7}
    """
    first, others = dict[int, int](), dict[int, int]()
    for key, bits in truth_bits.items():
        first[key], rest, place = bits & _WORD, bits >> WORD_BITS, 0
        while rest:
            others[~(key * WORDS_MAX + place)] = rest & _WORD
            rest, place = rest >> WORD_BITS, place + 1
    return first | others


def of_words(words: Mapping[int, int]) -> dict[int, int]:
    """What ``in_words`` made these of.

    >>> of_words({3: 5, 4: 6, -262145: 7}) == {3: 5, 4: 6 + (7 << 64)}
    True
    """
    found = {key: word for key, word in words.items() if key >= 0}
    for key, word in words.items():
        if key < 0:
            of, place = divmod(~key, WORDS_MAX)
            found[of] |= word << WORD_BITS * (place + 1)
    return found
