"""How many of a shard's newest records were refused, and what they have in common: for a metric and an alert, never for a halt.

Anybody can send bad lines, so their number must not stop anything. It is worth a person's look all the same: mostly it is a new release of
one producer.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from streamer.events.admission import UNSAID
from streamer.wire import DEAD_LETTERS, Output

WINDOW: Final = 1_000  # records


class RefusalKind(NamedTuple):
    """What refused records have in common."""

    reason: str
    path: str
    producer: str


class _Letter(msgspec.Struct):
    """As much of a dead letter as is counted: its bytes may be many."""

    reason: str
    path: str
    producer: str = ""


_decode: Final = msgspec.json.Decoder(_Letter).decode


class Refusals:
    """The newest records of one shard."""

    def __init__(self) -> None:
        self._batches: deque[tuple[int, Counter[RefusalKind]]] = deque()
        self._records = 0
        self._kinds: Counter[RefusalKind] = Counter()

    def see(self, records: int, outputs: Iterable[tuple[object, Sequence[Output]]]) -> None:
        """So many records were applied, and this came of them. Reasons that say nothing about a producer's release are not counted."""
        letters = [_decode(output.value) for _, entry in outputs for output in entry if output.topic == DEAD_LETTERS]
        kinds = Counter(RefusalKind(letter.reason, letter.path, letter.producer) for letter in letters if letter.reason not in UNSAID)
        self._batches.append((records, kinds))
        self._records += records
        self._kinds += kinds
        while self._records - self._batches[0][0] >= WINDOW:
            gone, of_it = self._batches.popleft()
            self._records -= gone
            self._kinds -= of_it

    @property
    def ratio(self) -> float:
        """Of the newest thousand records (or somewhat more) so many were refused, 0 to 1."""
        return self._kinds.total() / max(WINDOW, self._records)

    def in_words(self) -> str:
        """A sentence for people; the commonest reason stands for all."""
        [(kind, times)] = self._kinds.most_common(1)
        whose = f", from {kind.producer}" if kind.producer else ""
        return (
            f"{self._kinds.total()} of the newest {self._records} records were refused, "
            f"{times} of them as {kind.reason} at {kind.path}{whose}; "
            "they are dead letters, and nothing stops: `streamer dead-letters list` shows them"
        )
