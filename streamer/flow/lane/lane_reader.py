"""Reads the records of a log for a lane: of an event to which none of its memories listens only who, when and what is kept.

The whole event is read and checked all the same, or a lane would take what its shard refuses.
"""

from __future__ import annotations

from msgspec.structs import force_setattr

from streamer.events.event import Event
from streamer.flow.amendments import Journal
from streamer.flow.record_reader import RecordReader
from streamer.flow.rules import Rules
from streamer.segments.plan.plan import Plan


class LaneReader(RecordReader):
    """See ``RecordReader``. A slice of a lane has 2,000 events: whole they are more than a processor's cache, and cost a quarter more."""

    def __init__(self, shard: int, rules: Rules, journal: Journal, plan: Plan) -> None:
        super().__init__(shard, rules, journal)
        self._plan = plan

    def event(self, raw: bytes) -> Event:
        """See ``RecordReader``."""
        event = super().event(raw)
        if event.type != "alias" and not self._plan.listens(event):  # nobody else has seen it yet
            force_setattr(event, "properties", None)
            force_setattr(event, "traits", None)
            force_setattr(event, "context", None)
        return event
