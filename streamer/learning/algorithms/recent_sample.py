"""A few rows of customers, kept by log time: enough to say what is usual today, the same for every batch and worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypedDict

ROWS: Final = 360
EVERY_MS: Final = 240_000  # one row in four minutes at most: a full sample reaches back a day or more, so that all hours are in it


class SampleState(TypedDict):
    """What ``Sample.dump`` gives; rows with their labels."""

    size: int
    every_ms: int
    rows: list[tuple[list[float], int]]
    next: int
    due_ms: int


class Sample:
    """The newest ``size`` of rows that are at least ``every_ms`` of log time apart, each with a label."""

    def __init__(self, size: int = ROWS, every_ms: int = EVERY_MS) -> None:
        self.size = size
        self.every_ms = every_ms
        self._rows: list[tuple[tuple[float, ...], int]] = []
        self._next = 0
        self._due_ms = 0

    def __len__(self) -> int:
        return len(self._rows)

    def offer(self, at_ms: int, x: Sequence[float], label: int = 0) -> None:
        """Keep this row if one is due."""
        if at_ms < self._due_ms and len(self._rows) >= self.size:
            return
        self._due_ms = at_ms + self.every_ms
        if len(self._rows) < self.size:
            self._rows.append((tuple(x), label))
        else:
            self._rows[self._next] = (tuple(x), label)
            self._next = (self._next + 1) % self.size

    @property
    def rows(self) -> list[tuple[float, ...]]:
        """Without their labels."""
        return [row for row, _ in self._rows]

    def dump(self) -> SampleState:
        """As JSON can hold it."""
        rows = [(list(row), label) for row, label in self._rows]
        return {"size": self.size, "every_ms": self.every_ms, "rows": rows, "next": self._next, "due_ms": self._due_ms}

    @classmethod
    def restore(cls, dumped: SampleState) -> Sample:
        """The inverse of ``dump``."""
        sample = cls(dumped["size"], dumped["every_ms"])
        sample._rows = [(tuple(map(float, row)), label) for row, label in dumped["rows"]]
        sample._next, sample._due_ms = dumped["next"], dumped["due_ms"]
        return sample
