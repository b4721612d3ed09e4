"""Everything that can go wrong, on one page. The first branch says who must act.

StreamerError
├── RefusedError            the producer: this record will never be accepted (dead letter, never a retry)
├── DefinitionError         the author of a definition: file, line, column, what was expected, what was found
├── SettingsError           the operator: a setting is wrong; nothing was started
│   └── MissingZonesError   (in zones) the log is told by a version of the zone data that is not here
├── StoreError              the store
│   ├── FencedError         nobody: another worker owns the shard now; drop everything and let go
│   ├── StoreUnavailableError   nobody at first: retry without advancing
│   └── CommitUnknownError  nobody: the reply was lost; read the output digest and decide
├── NotWrittenError         whoever sent it: Kafka did not take it in time, or at all; send it again
├── TooMuchError            whoever asked: it would cost more than it may; ask for less
├── UnansweredError         the operator: no worker said what became of a command, or Kafka did not do its part
├── ReleasedError           nobody: the shard goes to another worker, or this one ends
└── HaltError               the operator: going on would be wrong (another log than it was, a state that cannot be read); the shard stops
    ├── KeysLostError       nobody at first: the shard is told anew from the log, where the log is whole
    └── UnreadableStateError   nobody at first: that one customer is folded anew from the log
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path


class StreamerError(Exception):
    """Base of all errors of this package."""


class RefusedError(StreamerError):
    """A record is not an event we accept; the worker's answer is a dead letter.

    ``reason`` is a code of ``events.admission.REASONS``, ``path`` the JSON path of the fault
    (``$`` for the whole record), ``detail`` a sentence without customers' data.
    """

    def __init__(self, reason: str, *, path: str = "$", detail: str = "") -> None:
        super().__init__(f"{reason} at {path}: {detail}" if detail else f"{reason} at {path}")
        self.reason = reason
        self.path = path
        self.detail = detail


class DefinitionError(StreamerError):
    """A definition cannot be used.

    ``line`` and ``column`` count from 1 in ``file``; 0 where no place is known.
    """

    def __init__(self, message: str, *, file: str = "", line: int = 0, column: int = 0, hint: str = "") -> None:
        where = ":".join(str(part) for part in (file, line or "", column or "") if part)
        super().__init__(f"{where}: {message}{f' ({hint})' if hint else ''}" if where else message)
        self.message = message
        self.file = file
        self.line = line
        self.column = column
        self.hint = hint


class MappingError(DefinitionError):
    """A mapping of columns cannot be used."""


class SettingsError(StreamerError):
    """A setting is missing or wrong. Nothing was started."""


class TooMuchError(StreamerError):
    """What was asked for would cost more than it may. Nothing was changed."""


class UnansweredError(StreamerError):
    """No worker said what became of a command, or Kafka did not do its part. The message says what to do about it."""


class NotWrittenError(StreamerError):
    """Records were not acknowledged by Kafka: some may lie in the log all the same. The message says why, without what they held."""


class StoreError(StreamerError):
    """Base of what a store can answer instead of doing its work."""


class FencedError(StoreError):
    """The shard has a newer owner, or its position is not the one expected. Nothing was written."""


class StoreOlderError(FencedError):
    """The store has less than was committed: it failed over, was restored, or was emptied. The log has the rest."""


class StoreUnavailableError(StoreError):
    """The store did not take the call (refused, not reachable, out of memory). Nothing was written."""


class CommitUnknownError(StoreError):
    """The reply to a commit was lost: it was applied whole or not at all. Read the checkpoint to know which."""


class ReleasedError(StreamerError):
    """The shard is to be let go in the middle of its work. Whoever comes next goes on from what is committed, outbox included."""


class HaltError(StreamerError):
    """The shard must not go on before a person has looked. The message says what was found and what to do about it."""


class KeysLostError(HaltError):
    """The store has lost some of a shard's keys and kept others: evicted or deleted one by one. Nothing was written.

    What is left cannot be gone on from; ``Store.reset`` and the log bring it back.
    """


class UnreadableStateError(HaltError):
    """What the store has of one customer is no state. It halts the shard only where that customer cannot be folded anew from the log."""

    def __init__(self, shard: int, customer: str, why: str) -> None:
        # Without the customer's id: this goes into logs.
        super().__init__(
            f"shard {shard}: the state of a customer cannot be read ({why}); `streamer shards rebuild {shard}` makes it anew, "
            "unless another release wrote it: `streamer doctor` says so"
        )
        self.customer = customer
        self.why = why


def place_of(error: BaseException) -> str:
    """Where in our own code an unexpected error comes from, innermost first: for logs, which its text must not enter, as it may quote a
    customer's data."""
    ours = str(Path(__file__).parent) + os.sep
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(ours)]
    return " < ".join(f"{frame.filename.removeprefix(ours)}:{frame.lineno} {frame.name}" for frame in reversed(frames[-4:]))
