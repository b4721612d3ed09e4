"""Notes where in the log the records lie of which states are made: in each state those of its customer, beside them those for all.

Nothing that is said depends on the notes. They begin with a customer, and with a shard; a state whose first record was not noted has none,
since half of them would be of no use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from streamer.customers import offsets
from streamer.customers.offsets import RecordOffsets
from streamer.customers.state import State
from streamer.stores.documents import CONTROLS_DOCUMENT
from streamer.wire import Control, LogRecord

from .checkpoint import CheckpointBody
from .states import States

FOR_ALL: Final = frozenset({"definitions", "model", "withdraw", "keys", "pause", "resume"})  # controls on which every state may depend
NOTHING_KEPT: Final = RecordOffsets()
CONTROLS_BYTES_MAX: Final = 65_536  # about 20,000 records; written whole with each of them


class OffsetNotes:
    """The notes of one shard: ``controls`` are those for all. Of the body it keeps ``has_controls``.

    ``follow(state, offset, ahead_ms)`` notes one more record of a state whose offsets are kept.
    """

    def __init__(self, body: CheckpointBody, controls: RecordOffsets, *, is_on: bool) -> None:
        self.controls = controls
        self.follow: Callable[[State, int, int], None] = offsets.follow if is_on else offsets.forget
        self._body = body
        self._is_on = is_on
        self._is_changed = False

    def begin(self, state: State, record: LogRecord, now: int) -> None:
        """A customer begins with this record, at log time ``now``."""
        if self._is_on and (self.controls.is_kept or self.is_first_control):  # without those for all they were of no use
            offsets.begin(state, record.offset, now - record.arrival_ms)

    def note_joined(self, states: States, customer: str, record: LogRecord, now: int) -> None:
        """A record that ties ids together concerned the customer, who may be gone by now."""
        state = states.get(customer)
        if state is not None and state.newest_offset >= 0:
            self.follow(state, record.offset, now - record.arrival_ms)
            states.touched.add(customer)

    @property
    def is_first_control(self) -> bool:
        """Whether no control record so far has brought about anything that still holds."""
        body = self._body
        return not (body.generation or body.models or body.trust.keys or body.paused)

    def note_control(self, control: Control, record: LogRecord, *, is_first: bool) -> None:
        """A control record is obeyed; ``is_first`` as it was before."""
        if control.control not in FOR_ALL:
            return
        if not self._is_on or not (self.controls.is_kept or is_first):
            self.controls, self._body.has_controls = NOTHING_KEPT, False
            return
        noted = _NotedControls(*self.controls)
        if self.controls.is_kept:
            offsets.follow(noted, record.offset, self._body.log_time_ms - record.arrival_ms, CONTROLS_BYTES_MAX)
        else:
            offsets.begin(noted, record.offset, self._body.log_time_ms - record.arrival_ms)
        self.controls = RecordOffsets(noted.newest_offset, noted.offset_gaps)
        self._body.has_controls = self._is_changed = self.controls.is_kept

    def take(self) -> dict[str, bytes]:
        """What the next commit has to keep, by name."""
        if not self._is_changed:
            return {}
        self._is_changed = False
        return {CONTROLS_DOCUMENT: offsets.packed(self.controls)}


@dataclass(slots=True)
class _NotedControls:
    newest_offset: int
    offset_gaps: bytes
