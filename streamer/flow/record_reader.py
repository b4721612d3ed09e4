"""From the bytes of the log to what a machine applies, with what people decided about places of the log."""

from __future__ import annotations

from streamer.errors import RefusedError
from streamer.events.alias import check_alias
from streamer.events.codec import decode
from streamer.events.event import Event
from streamer.events.placeholders import settle_customer
from streamer.wire import TICK, TIME_PASSES, LogRecord, decode_control

from .amendments import Journal
from .forwards import addressed, check_forward, forward_of, is_forwarded
from .identity_records import decode_identity
from .machine import Content
from .rules import Rules

Item = tuple[LogRecord, Content]


class RecordReader:
    """Reads the records of one shard under the amendments of a journal."""

    def __init__(self, shard: int, rules: Rules, journal: Journal) -> None:
        self._shard = shard
        self._rules = rules
        self._journal = journal
        self._placeholders = frozenset(rules.placeholder_ids)
        self._originals: dict[int, LogRecord] = {}

    def begin(self) -> None:
        """New records come; ``original`` forgets those before."""
        self._originals.clear()

    def arrival_ms(self, record: LogRecord) -> int:
        """When a record arrived, in UTC milliseconds: as it says, or as a person has bounded it."""
        return self._journal.amendments.arrival_ms(record.offset, record.arrival_ms)

    def original(self, record: LogRecord) -> LogRecord:
        """The record as it lies in the log: by that the log is known again, not by what we make of it."""
        return self._originals.get(record.offset, record)

    def read(self, record: LogRecord) -> Item:
        """The record, with its arrival as amended, and what it says."""
        is_plain = not record.control and not (record.headers and is_forwarded(record))
        if is_plain and self._journal.amendments.are_of_no_record:  # nearly always
            try:
                return record, self.event(record.value)
            except RefusedError as error:
                return record, error
        arrival_ms = self.arrival_ms(record)
        if arrival_ms != record.arrival_ms:
            self._originals[record.offset] = record
            record = record._replace(arrival_ms=arrival_ms)
        refusal = self._journal.amendments.refusal(record.offset)
        if refusal is not None:
            return record, refusal
        try:
            return record, self._content(record)
        except RefusedError as error:
            return record, error

    def _content(self, record: LogRecord) -> Content:
        if record.control:
            return TIME_PASSES if record.value == TICK else decode_control(record.value)  # a log has many ticks
        forward = forward_of(record) if record.headers else None
        if forward is None:
            return self.event(record.value)
        check_forward(forward, shard=self._shard, shards=self._rules.shards, generation=self._rules.log_generation)
        if forward.kind == "event":
            return addressed(self.event(record.value), record)
        return decode_identity(forward, record)

    def event(self, raw: bytes) -> Event:
        """An event of a producer. RefusedError where it is none."""
        event = settle_customer(decode(raw), self._placeholders)
        if event.type == "alias":
            check_alias(event, self._placeholders)
        return event
