"""A customer's time line: events, with the changes that each brought about, and the messages that these began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from streamer.events.event import Event
from streamer.values import time_text

from .change_history import SeenChange
from .customer_events import LoggedEvent
from .decision_history import SeenDecision


@dataclass
class StoryItem:
    """A moment (RFC 3339) of the line: an event with the changes that it brought about, changes that time or something else brought about,
    or a decision. ``begun_by`` is the change that began the message of a decision, where it stands in the line."""

    at: str
    event: LoggedEvent | None = None
    changes: list[SeenChange] = field(default_factory=list[SeenChange])
    decision: SeenDecision | None = None
    begun_by: SeenChange | None = None


def story_of(events: Sequence[LoggedEvent], changes: Sequence[SeenChange], decisions: Sequence[SeenDecision]) -> list[StoryItem]:
    """All in one line, the newest first."""
    by_place = {(one.shard, one.offset): StoryItem(time_text(one.arrival_ms), one) for one in events}
    items = list(by_place.values())
    for change in changes:
        owner = by_place.get(change.place) if change.cause == "event" else None
        if owner is None:
            items.append(StoryItem(change.at, changes=[change]))
        else:
            owner.changes.append(change)
    begun = {(one.trigger, one.sequence, one.at): one for one in changes}
    for seen in decisions:
        data = seen.decision.data
        trigger = (data.trigger.on or "", data.trigger.sequence, data.trigger.at)
        items.append(StoryItem(data.at, decision=seen, begun_by=begun.get(trigger)))
    return sorted(items, key=lambda one: (one.at, one.decision is not None, one.event is None), reverse=True)


def anchor(change: SeenChange) -> str:
    """The name by which a line of the page is linked to."""
    shard, offset = change.place
    return f"c-{shard}-{offset}-{change.segment}-{change.sequence}"


def event_json(event: Event) -> str:
    """What an event says besides its name and time, for reading."""
    said = {name: part for name in ("properties", "traits", "context") if (part := getattr(event, name))}
    ids = {"messageId": event.message_id, "userId": event.user_id, "anonymousId": event.anonymous_id}
    return msgspec.json.format(msgspec.json.encode({name: text for name, text in ids.items() if text} | said), indent=1).decode()


__all__ = ["StoryItem", "anchor", "event_json", "story_of"]
