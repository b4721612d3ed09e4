"""Notes where in the log the records lie of which states are made: in each state those of its customer, beside them those for all.

Nothing that is said depends on the notes. They begin with a customer, and with a shard; a state whose first record was not noted has none,
since half of them would be of no use. What is left under an old id goes on with them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from streamer.customers import offsets
from streamer.customers.offsets import NotedOffsets, Noting, RecordOffsets
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
        self.follow: Callable[[Noting, int, int], None] = offsets.follow if is_on else offsets.forget
        self._body = body
        self._is_on = is_on
        self._is_changed = False

    def begin(self, noting: Noting, record: LogRecord, now: int) -> None:
        """A customer, or an old id, begins with this record, at log time ``now``."""
        if self._may_begin:
            offsets.begin(noting, record.offset, now - record.arrival_ms)

    def begin_with_history(self, state: State, offset: int) -> None:
        """A customer begins with the ``definitions`` at this offset, which brought the history by which they are known."""
        if self._may_begin:
            offsets.begin(state, offset, 0)

    @property
    def _may_begin(self) -> bool:
        """Whether those for all are kept: without them the others were of no use."""
        return self._is_on and (self.controls.is_kept or self.is_first_control)

    def note_joined(self, states: States, customer: str, record: LogRecord, now: int, *, is_new: bool = False) -> None:
        """A record that ties ids together concerned the customer, or an old id; they may be gone by now. ``is_new``: nothing was known
        under the id before."""
        state = states.get(customer)
        if state is not None and state.newest_offset >= 0:
            self.follow(state, record.offset, now - record.arrival_ms)
            states.touched.add(customer)
        elif state is None and (left := states.tombstone(customer)) is not None and (is_new or left.offsets.is_kept):
            noted = NotedOffsets(*left.offsets)
            if is_new:
                self.begin(noted, record, now)
            else:
                self.follow(noted, record.offset, now - record.arrival_ms)
            states.bury(customer, replace(left, newest_offset=noted.newest_offset, offset_gaps=noted.offset_gaps))

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
        noted = NotedOffsets(*self.controls)
        if self.controls.is_kept:
            offsets.follow(noted, record.offset, self._body.log_time_ms - record.arrival_ms, CONTROLS_BYTES_MAX)
        else:
            offsets.begin(noted, record.offset, self._body.log_time_ms - record.arrival_ms)
        self.controls = noted.offsets
        self._body.has_controls = self._is_changed = self.controls.is_kept

    def take(self) -> dict[str, bytes]:
        """What the next commit has to keep, by name."""
        if not self._is_changed:
            return {}
        self._is_changed = False
        return {CONTROLS_DOCUMENT: offsets.packed(self.controls)}
