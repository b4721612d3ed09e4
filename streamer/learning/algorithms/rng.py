"""Chance that is part of the state: one whole number, the same on every machine and in every version of Python."""

from __future__ import annotations

from typing import Final

_MASK: Final = (1 << 64) - 1


class Rng:
    """SplitMix64. ``state`` is all of it."""

    def __init__(self, state: int) -> None:
        self.state = state & _MASK

    def below(self, limit: int) -> int:
        """0 … limit - 1. Uneven by less than limit / 2**64, which nobody can notice."""
        return self._next() * limit >> 64

    def share(self) -> float:
        """0.0 up to, but not, 1.0."""
        return (self._next() >> 11) / (1 << 53)

    def _next(self) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self.state
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
        return mixed ^ mixed >> 31
