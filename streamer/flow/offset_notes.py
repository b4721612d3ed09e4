"""Notes where in the log the records lie of which states are made: in each state those of its customer, beside them those for all.

Nothing that is said depends on the notes. They begin with a customer, and with a shard; a state whose first record was not noted has none,
since half of them would be of no use.
"""

from __future__ import annotations

from typing import Final

from streamer.customers import offsets
from streamer.customers.state import State
from streamer.stores.documents import CONTROLS_DOCUMENT
from streamer.wire import Control, LogRecord

from .checkpoint import CheckpointBody
from .states import States

FOR_ALL: Final = frozenset({"definitions", "model", "withdraw", "keys", "pause", "resume"})  # controls on which every state may depend
CONTROLS_BYTES_MAX: Final = 65_536  # about 20,000 records; written whole with each of them


class OffsetNotes:
    """The notes of one shard: ``controls`` are those for all (empty: not kept whole). Of the body it keeps ``has_controls``."""

    def __init__(self, body: CheckpointBody, controls: bytes, *, is_on: bool) -> None:
        self.controls = controls
        self._body = body
        self._is_on = is_on
        self._is_changed = False

    def note(self, state: State, record: LogRecord, now: int, *, is_new: bool) -> None:
        """The state, which is ``is_new``, has taken the record, at log time ``now``."""
        if is_new:
            if self._is_on and (self.controls or self.is_first_control):  # without those for all they were of no use
                state.offsets = offsets.first(record.offset, now - record.arrival_ms)
        elif state.offsets:
            state.offsets = offsets.followed(state.offsets, record.offset, now - record.arrival_ms) if self._is_on else None

    def note_joined(self, states: States, customer: str, record: LogRecord, now: int) -> None:
        """A record that ties ids together concerned the customer, who may be gone by now."""
        state = states.get(customer)
        if state is not None and state.offsets:
            self.note(state, record, now, is_new=False)
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
        if not self._is_on or not (self.controls or is_first):
            self.controls, self._body.has_controls = b"", False
            return
        ahead_ms = self._body.log_time_ms - record.arrival_ms
        if self.controls:
            self.controls = offsets.followed(self.controls, record.offset, ahead_ms, bytes_max=CONTROLS_BYTES_MAX)
        else:
            self.controls = offsets.first(record.offset, ahead_ms)
        self._body.has_controls = self._is_changed = bool(self.controls)

    def take(self) -> dict[str, bytes]:
        """What the next commit has to keep, by name."""
        if not self._is_changed:
            return {}
        self._is_changed = False
        return {CONTROLS_DOCUMENT: self.controls}
