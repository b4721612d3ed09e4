"""Tells hostile logs to the real shard over the memory store: whatever comes in, there is an answer, or "missing", and never an error."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from streamer.flow.replay import Replay
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions
from streamer.stores.memory import MemoryStore
from tests.soak.hostile import Hostile, everything, words_of

RULES = Rules(shards=1)
LOG_EVENTS = 120  # of one log; another begins with another clock and nobody known


def fuzz(seeds: Iterable[int], *, events: int = LOG_EVENTS) -> Counter[str]:
    """What became of the records of one log a seed, by reason, and how many changes they made (``changes``)."""
    definitions, found = everything(), Counter[str]()
    for seed in seeds:
        try:
            found += asyncio.run(_tell(definitions, seed, events))
        except Exception as error:
            error.add_note(f"seed {seed}: python -m tests.soak fuzz --seed {seed} --logs 1")
            raise
    return found


async def _tell(definitions: Definitions, seed: int, events: int) -> Counter[str]:
    run = await Replay.begin(definitions, MemoryStore(), RULES, batch=50)
    hostile, found = Hostile(words_of(definitions), seed), Counter[str]()
    async for _ in run.feed(hostile.arrivals(events), batch=50):
        found["outputs"] += 1
    return found + Counter(run.body.counts)
