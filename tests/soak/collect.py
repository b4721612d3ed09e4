"""The collector and the broker killed at many drawn moments; see ``tests/live/acknowledged``."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Final

from streamer.local.apache_kafka import ApacheKafka
from tests.live.acknowledged import prepare

KILLS: Final = 6  # of one log


@dataclass
class Kills:
    """What happened: kills by victim, events that were acknowledged, requests that were cut."""

    victims: Counter[str] = field(default_factory=Counter[str])
    acknowledged: int = 0
    cut: int = 0


def kill_rounds(seed: int, *, logs: int, seconds: float) -> Kills:
    """Rounds of one log each, until either bound is reached. AssertionError, with the seed, for the first that lost an event."""
    end, kills = monotonic() + seconds, Kills()
    with ApacheKafka() as kafka:
        for number in range(seed, seed + logs):
            if monotonic() >= end:
                break
            with tempfile.TemporaryDirectory() as folder:
                asyncio.run(_round(kafka, number, Path(folder), kills))
    return kills


async def _round(kafka: ApacheKafka, seed: int, folder: Path, kills: Kills) -> None:
    killings = await prepare(kafka, f"soak-{seed}", folder, seed)
    try:
        await killings.run(random.Random(f"victims-{seed}").choices(["collector", "broker"], [3, 1], k=KILLS))
        lost = await killings.lost()
        assert not lost, f"seed {seed}: {len(lost)} events were acknowledged and are not in the log"
        assert set(killings.senders.answers) <= {200, 429}, f"seed {seed}: {killings.senders.answers}"
    finally:
        killings.close()
    kills.victims += killings.victims
    kills.acknowledged += len(killings.senders.acknowledged)
    kills.cut += killings.senders.cut
