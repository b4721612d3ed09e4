"""How fast records come into the log: its ends, which the server looks at anyway, noted once a second for the last minutes."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Final

from streamer.server.customer_answers import LogEndsSeen

SAMPLE_SECONDS: Final = 1.0
KEPT: Final = 300
RATE_SAMPLES: Final = 10  # a rate is that of the last ten seconds


class Pulse:
    """Samples of (seconds, records in all logs)."""

    def __init__(self, ends: LogEndsSeen, shards: int) -> None:
        self._ends = ends
        self._shards = shards
        self._samples = deque[tuple[float, int]](maxlen=KEPT)

    def look(self, now_s: float) -> None:
        """Take a sample, where Kafka has said lately where all logs end."""
        ends = [self._ends.end(shard) for shard in range(self._shards)]
        if None not in ends:
            self._samples.append((now_s, sum(end or 0 for end in ends)))

    def rate(self) -> float | None:
        """Records a second over the last seconds; None before there are two samples."""
        return _rate(list(self._samples)[-RATE_SAMPLES - 1 :])

    def rates(self, step: int) -> list[float]:
        """The same for each stretch of so many samples, the oldest first."""
        samples = list(self._samples)
        stretches = [samples[start : start + step + 1] for start in range(0, len(samples) - 1, step)]
        return [rate for stretch in stretches if (rate := _rate(stretch)) is not None]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look(monotonic())
            await asyncio.sleep(SAMPLE_SECONDS)


def _rate(samples: list[tuple[float, int]]) -> float | None:
    if len(samples) < 2 or samples[-1][0] <= samples[0][0]:
        return None
    return max(0, samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0])
