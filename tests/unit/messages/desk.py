"""A log of a few events and what was decided of messages in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from streamer.flow.replay import Arrival, Replay, ReplayOutput
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, parse_definitions
from streamer.messages.decision import MessageDecision, decode_decision
from streamer.stores.memory import MemoryStore
from streamer.values import parse_time_ms
from streamer.wire import MESSAGES

HEAD = """
segments:
  cart_left: {for: Left a cart., when: 'did("Product Added") and idle("Product Added") >= "30m"'}
  buyer: {for: Bought lately., when: 'did("Order Completed", within="1h")'}
topics: {offers: opt_out, news: opt_in}
"""


class Said(NamedTuple):
    """One decision in short."""

    at: str
    message: str
    outcome: str
    reason: str | None


def definitions(messages: str, more: str = "") -> Definitions:
    """The segments above, and these messages."""
    return parse_definitions(f"{HEAD}{more}\nmessages:\n{messages}")


def ms(text: str) -> int:
    """A moment of March 2026, as ``01T10:00``, or with seconds."""
    found = parse_time_ms(f"2026-03-{text}" + (":00Z" if text.count(":") == 1 else "Z"))
    assert found is not None, text
    return found


_numbers = iter(range(1_000_000_000))


def event(at: str, called: str, /, *, user: str = "ada", **properties: Any) -> dict[str, Any]:
    """A track event."""
    return {"event": called, "messageId": f"m-{next(_numbers)}", "userId": user, "timestamp": ms(at), "properties": properties}


def traits(at: str, *, user: str = "ada", **known: Any) -> dict[str, Any]:
    """What is known of somebody."""
    return {"type": "identify", "messageId": f"m-{next(_numbers)}", "userId": user, "timestamp": ms(at), "traits": known}


def arrivals(events: Iterable[dict[str, Any]]) -> list[Arrival]:
    """Each event at its time."""
    return [Arrival(line, one["timestamp"], msgspec.json.encode(one)) for line, one in enumerate(events, 1)]


async def _outputs(rules: Definitions, events: Sequence[dict[str, Any]], until: str, batch: int) -> list[ReplayOutput]:
    run = await Replay.begin(rules, MemoryStore(), Rules(shards=1), batch=batch)
    found = [one async for one in run.feed(arrivals(events), batch=batch)]
    found += [one async for one in run.until(ms(until))]
    assert not {"late", "future"} & run.body.counts.keys(), run.body.counts
    return found


def outputs(rules: Definitions, events: Sequence[dict[str, Any]], until: str, batch: int = 1_000) -> list[ReplayOutput]:
    """Everything that was said."""
    return asyncio.run(_outputs(rules, events, until, batch))


def decisions(rules: Definitions, events: Sequence[dict[str, Any]], until: str, batch: int = 1_000) -> list[MessageDecision]:
    """What was decided, in order."""
    return [decode_decision(one.output.value) for one in outputs(rules, events, until, batch) if one.output.topic == MESSAGES]


def said(rules: Definitions, events: Sequence[dict[str, Any]], until: str) -> list[Said]:
    """The same in short, with times as ``01T10:00:00``."""
    whole = decisions(rules, events, until)
    assert decisions(rules, events, until, batch=1) == whole, "how a log is cut does not matter"
    return [Said(one.time[8:19], one.data.message, one.outcome, one.data.reason) for one in whole]
