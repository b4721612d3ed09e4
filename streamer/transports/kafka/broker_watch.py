"""Whether Kafka answers, and where the log ends: asked every second, for the client itself says neither.

A fetch from a broker that is away returns nothing, as it does while nothing happens, and the end of the log that comes with a fetch is as
old as the last one. What is known here has an age, and whoever shows it shows it only while it is young.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.kafka")

ASK_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 2.0  # how long a broker may take for the end of the log
AWAY_SECONDS: Final = 5.0  # so long without an answer, and Kafka is away; an election of leaders takes less
FAILED_LOOKS: Final = 2  # one may fail because this process itself was asleep
REMIND_SECONDS: Final = 60.0
STALE_SECONDS: Final = 15.0  # an end of the log that is older says nothing about lag


class BrokerWatch:
    """What one process knows of its brokers. ``clock`` gives seconds that never go back."""

    def __init__(self, address: str, *, clock: Callable[[], float] = monotonic) -> None:
        self.is_away = False
        self._address = address
        self._clock = clock
        self._answered_at = clock()
        self._failed = 0
        self._reminded_at = 0.0
        self._ends: dict[int, tuple[int, float]] = {}

    @property
    def problem(self) -> str:
        """That Kafka is away, for a person; empty while it is there."""
        return f"Kafka at {self._address} has not answered for {self.silent_seconds:.0f} s" if self.is_away else ""

    @property
    def silent_seconds(self) -> float:
        """Time since the last answer of any kind."""
        return self._clock() - self._answered_at

    def answered(self) -> None:
        """The broker has answered something."""
        self._answered_at, self._failed = self._clock(), 0

    def end(self, shard: int) -> int | None:
        """The offset behind the last record of a shard; None where it is not known, or ``STALE_SECONDS`` old."""
        end, seen_at = self._ends.get(shard, (0, -STALE_SECONDS))
        return end if self._clock() - seen_at < STALE_SECONDS else None

    def forget(self, shard: int) -> None:
        """The shard is another worker's from now on."""
        self._ends.pop(shard, None)

    async def look(self, ends: Callable[[], Awaitable[Mapping[int, int]]]) -> None:
        """Ask where the log ends, by shard; then say what a person should know."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                found = await ends()
        except (TimeoutError, KafkaError, OSError):
            self._failed += 1
        else:
            self.answered()
            for shard, end in found.items():
                self._ends[shard] = end, self._clock()
        self._tell()

    def _tell(self) -> None:
        """One line when Kafka goes, one a minute while it is away, one when it is back."""
        silent, now = self.silent_seconds, self._clock()
        if self._failed == 0:
            if self.is_away:
                self.is_away = False
                log.warning("kafka is back", action="kafka", address=self._address)
        elif not self.is_away and self._failed >= FAILED_LOOKS and silent > AWAY_SECONDS:
            self.is_away, self._reminded_at = True, now
            log.error("kafka is away", action="kafka", address=self._address, silent_seconds=round(silent))
        elif self.is_away and now - self._reminded_at >= REMIND_SECONDS:
            self._reminded_at = now
            log.error("kafka is still away", action="kafka", address=self._address, silent_seconds=round(silent))


__all__ = ["ASK_SECONDS", "BrokerWatch"]
