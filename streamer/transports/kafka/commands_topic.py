"""The topics of commands and answers on Kafka: one partition each, little in them, nothing of them held in memory for long."""

from __future__ import annotations

from contextlib import aclosing
from time import time

from aiokafka import AIOKafkaProducer
from aiokafka.errors import OffsetOutOfRangeError

from streamer.commands import COMMAND_PLACE, VALID_MS_MAX, Answer, AnswerLog, Command, encode_answer, encode_command
from streamer.settings import Settings
from streamer.wire import ANSWERS, COMMANDS

from .clients import signer
from .partition import read_partition


async def send_command(client: AIOKafkaProducer, settings: Settings, command: Command) -> None:
    """Write a command, signed where this process has keys, and wait for the acknowledgement."""
    raw, by = encode_command(command), signer(settings)
    headers = [*by.sign(COMMAND_PLACE, raw)] if by is not None else []
    await client.send_and_wait(settings.topic(COMMANDS), raw, partition=0, headers=headers)


class AnswersTopic:
    """The answers as far as they were read, and a way to give one."""

    def __init__(self, settings: Settings, client: AIOKafkaProducer) -> None:
        self._settings = settings
        self._producer = client
        self._known = AnswerLog()

    async def refresh(self) -> AnswerLog:
        """Read what came since the last look. Raises KafkaError, TimeoutError."""
        try:
            await self._read(self._known.end or None)
        except OffsetOutOfRangeError:  # nothing was asked for so long that what was read last is not kept any more
            await self._read(None)
        self._known.forget(int(time() * 1_000) - VALID_MS_MAX)
        return self._known

    async def _read(self, begin: int | None) -> None:
        async with aclosing(read_partition(self._settings, ANSWERS, 0, begin=begin)) as batches:
            async for records in batches:
                for record in records:
                    self._known.take(record.offset, record.value or b"")

    async def give(self, answer: Answer) -> None:
        """Write an answer, and wait for the acknowledgement."""
        topic = self._settings.topic(ANSWERS)
        await self._producer.send_and_wait(topic, encode_answer(answer), partition=0, key=answer.id.encode())


__all__ = ["AnswersTopic", "send_command"]
