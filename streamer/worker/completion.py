"""Finish what a publisher began: whoever dies between the topic of definitions and the shards leaves shards under older definitions.

A worker looks now and then at what was published, and writes it into those of its shards that have read all of their log and do not have
it. A shard that has it already takes a repeated record for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.errors import HaltError
from streamer.flow.published import Publication
from streamer.settings import Settings
from streamer.transports.kafka.control import send_control
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.wire import definitions_control

from .shards.status_report import InForce

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.completion")

PUBLICATION_SECONDS: Final = 30.0  # between two looks; twice as long as an end of the log that a worker knows may be old


class Completion:
    """Looks after the shards that ``in_force`` names."""

    def __init__(
        self, settings: Settings, topic: DefinitionsTopic, producer: AIOKafkaProducer, in_force: Callable[[], Iterable[InForce]]
    ) -> None:
        self.settings = settings
        self._topic = topic
        self._producer = producer
        self._in_force = in_force
        self._newest: Publication | None = None

    async def try_look(self) -> None:
        """One look now; where Kafka does not answer the next one comes in ``PUBLICATION_SECONDS``. Never raises."""
        try:
            await self.look()
        except (KafkaError, TimeoutError, OSError, HaltError) as error:
            why = str(error) if isinstance(error, HaltError) else type(error).__name__
            log.warning("not looked at what was published", action="publish", why=why)

    async def look(self) -> None:
        """One look. What is seen for the first time is left alone until the next: it may just be written."""
        newest = (await self._topic.refresh()).newest
        if newest is None:
            return
        if newest != self._newest:
            self._newest = newest
            return
        behind = [one.shard for one in self._in_force() if one.version < newest.version and one.is_read_whole]
        content = await self._topic.vouched(newest.version) if behind else None
        if content is not None:
            await send_control(self._producer, self.settings, definitions_control(content, newest.digest, newest.version), behind)
            log.info("publication completed", action="publish", version=newest.version, shards=behind)
