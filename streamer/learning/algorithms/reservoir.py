"""A fair sample of everybody who came by, of a fixed size: each has the same chance to be in it, the last as the first."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, TypedDict

from streamer.learning.algorithms.array_codec import as_float32, pack, unpack_floats
from streamer.learning.algorithms.rng import Rng

if TYPE_CHECKING:
    from collections.abc import Sequence


class ReservoirState(TypedDict):
    """What ``Reservoir.dump`` gives; ``limits`` are rows, width and horizon."""

    seen: int
    rng: int
    limits: tuple[int, int, int]
    rows: str


class Reservoir:
    """At most ``most`` rows of ``width`` numbers, kept in four bytes each (seven digits).

    With a ``horizon`` the past fades: after that many further rows about a third of those that are here now still are.
    """

    def __init__(self, most: int, width: int, rng: Rng, horizon: int = 0) -> None:
        self.seen = 0
        self._horizon = horizon
        self._most = most
        self._width = width
        self._dice = rng
        self._numbers: array[float] = array("f")

    def __len__(self) -> int:
        return len(self._numbers) // self._width

    def offer(self, row: Sequence[float]) -> None:
        """Take the row in, in somebody's place once it is full, or let it go."""
        self.seen += 1
        if len(self) < self._most:
            self._numbers.extend(map(as_float32, row))
            return
        place = self._dice.below(min(self.seen, self._horizon) if self._horizon else self.seen)
        if place < self._most:
            self._numbers[place * self._width : (place + 1) * self._width] = array("f", map(as_float32, row))

    def rows(self) -> list[tuple[float, ...]]:
        """The sample."""
        return list(zip(*[iter(self._numbers)] * self._width, strict=True))

    def clear(self) -> None:
        """Begin a new sample."""
        self.seen = 0
        self._numbers = array("f")

    def dump(self) -> ReservoirState:
        """As JSON can hold it."""
        limits = (self._most, self._width, self._horizon)
        return {"seen": self.seen, "rng": self._dice.state, "limits": limits, "rows": pack(self._numbers)}

    @classmethod
    def restore(cls, dumped: ReservoirState) -> Reservoir:
        """The inverse of ``dump``."""
        most, width, horizon = dumped["limits"]
        sample = cls(most, width, Rng(dumped["rng"]), horizon)
        sample.seen = dumped["seen"]
        sample._numbers = unpack_floats(dumped["rows"])
        return sample
