"""The seeded world: whatever fails between any two awaits, the story is the one that an undisturbed run tells; and the oracle, where people
have several ids.

``STREAMER_TEST_SEEDS`` says how many histories are played. A failure names its seed; ``verdict.play(seed)`` plays it again, step by step.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from streamer.transports.memory import MemoryLog
from streamer.wire import TOPICS

from .faults import CALL_FAULTS
from .shop import SHARDS
from .verdict import judge, play
from .world import FATAL_PLACES, WORLD_FAULTS, World

SEEDS = int(os.environ.get("STREAMER_TEST_SEEDS", "60"))
HAPPENS = {
    *CALL_FAULTS,
    *(WORLD_FAULTS.keys() - {"keys lost"}),
    *(f"{what} lost" for what in ("states", "wakes", "documents")),
    "told anew",
    *FATAL_PLACES.values(),
    *(f"{kind} written" for kind in ("event", "late", "duplicate", "wrong shard", "damaged", "definitions", "erase")),
    "marker written",
    "clock jumped",
    "wild clock written",
    "commits lost",
    "lost once acknowledged",
    "fenced",
    "late commit fenced",
    "published by a zombie",
    "found by a probe",
    "failover of quiet shards",
    "slice of a record",
    "sent on again",
    *(f"{kind} sent" for kind in ("event", "link", "adopt", "point", "erase")),
    "in the end in something",
    "decisions compared",
    "lifted",
    "adopted across a switch",
    "lifted across a switch",
    "brought behind its record",
    *(f"{kind} published" for kind in ("definitions", "shadow", "cut-over", "taken back")),
    "definitions written by an owner",
    "folded beside",
    "lane on the spot",
    "lane dropped",
    "a lane waited for another",
    *(f"lane stopped: {why}" for why in ("BrokerAwayError", "FencedError", "StoreUnavailableError")),
    "side taken",
    "side sent",
    *(f"poisoned {what}" for what in ("record", "timer", "switch")),
    "amended fault",
    "amended aside",
    "amendment fenced",
    "replaced before amending",
    "failed by chance",
    *(
        f"message: {what}"
        for what in ("send", "paused", "stay", "require", "again", "cap", "quiet", "holdout", "erased", "merged", "withdrawn")
    ),
}


@pytest.fixture(scope="module")
def happened() -> Counter[str]:
    """Every history is right; what happened in all of them."""
    total: Counter[str] = Counter()
    for seed in range(SEEDS):
        total += play(seed)
    return total


@pytest.mark.parametrize("kind", sorted(HAPPENS))
def test_the_story_is_one_though_this_happens(kind: str, happened: Counter[str]) -> None:
    """A fault that never struck has proved nothing."""
    assert happened[kind] > 0, f"{kind} did not happen in {SEEDS} seeds"


def test_a_seed_is_one_history() -> None:
    """Else a failure could not be looked at twice."""
    once, again = _history(5), _history(5)
    assert once == again
    assert once != _history(6)


def _history(seed: int) -> object:
    world = World(seed)
    try:
        world.run()
        judge(world)
    finally:
        world.close()
    return _written(world.log), world.faults.happened, world.loop.now_ms


def _written(log: MemoryLog) -> object:
    return [list(log.records(topic, shard)) for topic in TOPICS for shard in range(SHARDS)]
