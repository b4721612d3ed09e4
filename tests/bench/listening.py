"""What messages cost an event that no message waits for: the same log with and without them, turn about in one process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median, quantiles
from typing import Any

from streamer.language.definitions import Definitions, parse_definitions
from streamer.stores.memory import MemoryStore

from .core import run
from .library import twenty
from .report import Report
from .shop import Made

PAIRS, PAIRS_QUICK = 15, 5
EVENTS, WARM = 6_000, 2_000
MARKETING = {"for": "x", "channel": "email", "topic": "offers", "cap": "1 per 7d", "quiet": "21:00-09:00", "holdout": "10%"}


def with_messages(number: int) -> Definitions:
    """The twenty segments, one that nobody is ever in, and so many messages that wait for it."""
    source: dict[str, Any] = json.loads(twenty().content())
    source["segments"] = {**source["segments"], "called": {"for": "x", "when": 'did("Support Called")'}}
    if number:
        messages = {f"m{index:04d}": {**MARKETING, "on": 'entered("called")', "delay": "1h"} for index in range(number)}
        source |= {"topics": {"offers": "opt_in"}, "messages": messages}
    return parse_definitions(source)


async def measure(report: Report, made: Sequence[Made], *, quick: bool) -> None:
    """Microseconds of processor time that messages add to an event."""
    made, without, pairs = made[:EVENTS], with_messages(0), PAIRS_QUICK if quick else PAIRS
    for number in (5, 1_000):
        listening, added = with_messages(number), list[float]()
        for pair in range(pairs):
            turns = (without, listening) if pair % 2 else (listening, without)
            costs = {one.digest: await run(MemoryStore(), one, made, WARM) for one in turns}
            more_s = costs[listening.digest].seconds - costs[without.digest].seconds
            added.append(more_s / (EVENTS - WARM) * 1e6)
        low, _, high = quantiles(added, n=4)
        note = f"the middle of {pairs} pairs; half of them {low:.2f} to {high:.2f}"
        report.add("core", f"{number:,} messages, none of which an event concerns: added", median(added), "µs/event", note)
