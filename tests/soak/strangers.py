"""More connections than a collector has, slow senders and gzip bombs, for a while; see ``tests/live/strangers``."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

from streamer.local.apache_kafka import ApacheKafka
from streamer.settings import Settings
from tests.clients.door import Door
from tests.clients.shop_log import make_topics
from tests.live.acknowledged import AUTHORIZATION
from tests.live.strangers import bombs, good, half_open, resident_mb, slow

CONNECTIONS: Final = 12_000  # a collector has 10,000
GROWTH_MB_MAX: Final = 200.0
SERVER: Final = {"Authorization": AUTHORIZATION}


class Siege(NamedTuple):
    """What a collector bore: how bombs and good requests were answered, and the most memory that came on top."""

    bombs: Counter[int]
    good: Counter[int]
    growth_mb: float


def besiege(*, seconds: float) -> Siege:
    """AssertionError where a good request was not answered 200, a bomb not 413, or memory grew too much."""
    with ApacheKafka() as kafka, tempfile.TemporaryDirectory() as folder:
        ours = {"kafka": kafka.bootstrap, "topic_prefix": "siege", "shards": 3, "create": True}
        settings = Settings.model_construct().model_copy(update=ours)
        asyncio.run(make_topics(settings, kafka))
        door = Door(settings, Path(folder), ["http://127.0.0.1:1"])
        try:
            found = asyncio.run(_siege(door, seconds))
        finally:
            door.kill()
    assert set(found.bombs) == {413}, found
    assert set(found.good) == {200}, found
    assert found.growth_mb < GROWTH_MB_MAX, found
    return found


async def _siege(door: Door, seconds: float) -> Siege:
    thrown, answered = Counter[int](), await good(door.address, SERVER, 20)
    before = most = resident_mb(door.child.pid)
    async with half_open(door.address, CONNECTIONS) as connections, slow(connections[-1_000::2]):
        end = monotonic() + seconds
        while monotonic() < end:
            assert "collector_connections_turned_away_total 0.0" not in door.figures(), "there was room for all of them"
            thrown += await bombs(door.address, 100, at_once=20)
            answered += await good(door.address, SERVER, 20)
            most = max(most, resident_mb(door.child.pid))
    return Siege(thrown, answered, most - before)
