"""What was published, as a worker knows it: the topic of definitions, read again whenever it has grown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import HaltError
from streamer.flow.published import Published
from streamer.transports.kafka.definitions_topic import DefinitionsTopic

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.proposals")

LOOK_SECONDS: Final = 0.5  # between two questions where the topic ends


class PublicationWatch:
    """``find_end`` asks where the topic ends, which costs no more than a heartbeat; the topic itself is read only where that has moved."""

    def __init__(self, topic: DefinitionsTopic, find_end: Callable[[], Awaitable[int]]) -> None:
        self._topic = topic
        self._find_end = find_end
        self._seen_end: int | None = None
        self._problem = ""

    async def look(self) -> Published:
        """What the topic says, as far as Kafka answers. Never raises; what is wrong is said once."""
        try:
            end = await self._find_end()
            if end != self._seen_end:
                await self._topic.refresh()
                self._seen_end = end
        except (KafkaError, TimeoutError, OSError, HaltError) as error:
            self._say(str(error) if isinstance(error, HaltError) else type(error).__name__)
        else:
            self._problem = ""
        return self._topic.published

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.warning("not looked at what was published", action="publish", why=problem)


__all__ = ["LOOK_SECONDS", "PublicationWatch"]
