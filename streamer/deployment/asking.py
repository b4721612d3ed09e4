"""Ask the workers of a deployment to do something, and wait for what they say."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from secrets import token_hex
from time import time
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streamer.commands import VALID_MS_MAX, Action, Answer, Command, Erase, decode_answer
from streamer.errors import RefusedError, SettingsError, UnansweredError
from streamer.settings import Settings
from streamer.stopping import at_most
from streamer.transports.kafka.clients import producer, reader
from streamer.transports.kafka.commands_topic import send_command
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.units import DAY_MS
from streamer.wire import ANSWERS

from .connecting import CLOSE_SECONDS, check_log, start_producer

GRACE_SECONDS: Final = 3.0  # for a worker that began at the last moment to have said so, and for two clocks to differ
WORK_SECONDS: Final = 600.0  # that are waited for a worker that has begun
POLL_MS: Final = 200


async def ask(settings: Settings, action: Action, *, wait_seconds: float) -> Answer:
    """The last word of a worker on a command: ``done``, ``refused``, ``failed`` or ``expired``.

    Waits ``wait_seconds`` for a worker to begin, then ``WORK_SECONDS`` for it to end. An erasure stays valid for a week; anything else
    expires with the waiting, so that it is either done now or never. Raises UnansweredError where no word comes, SettingsError where the
    command could not be given.
    """
    valid_ms = VALID_MS_MAX if isinstance(action, Erase) else int(wait_seconds * 1_000)
    client = producer(settings)
    try:
        await start_producer(client, settings, may_begin=False)
        topic = DefinitionsTopic(settings, client)
        await check_log(settings, topic)
        if refusal := settings.keyring.refusal(topic.published.trust.keys):
            raise SettingsError(refusal)
        async with _answers(settings) as consumer:
            now_ms = int(time() * 1_000)
            command = Command(token_hex(16), now_ms, now_ms + valid_ms, action, f"{getpass.getuser()}@{socket.gethostname()}")
            await send_command(client, settings, command)
            return await _last_word(consumer, command, settings, wait_seconds)
    except (KafkaError, TimeoutError, OSError) as error:
        raise SettingsError(f"STREAMER_KAFKA: {settings.kafka} did not do its part ({type(error).__name__}); try again") from None
    finally:
        await at_most(CLOSE_SECONDS, client.stop())


@asynccontextmanager
async def _answers(settings: Settings) -> AsyncGenerator[AIOKafkaConsumer]:
    """A consumer that stands at the end of the answers."""
    consumer, at = reader(settings, enable_auto_commit=False, auto_offset_reset="latest"), TopicPartition(settings.topic(ANSWERS), 0)
    try:
        await consumer.start()
        consumer.assign([at])
        consumer.seek(at, (await consumer.end_offsets([at]))[at])
        yield consumer
    finally:
        await at_most(CLOSE_SECONDS, consumer.stop())


async def _last_word(consumer: AIOKafkaConsumer, command: Command, settings: Settings, wait_seconds: float) -> Answer:
    begun: Answer | None = None
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_seconds + GRACE_SECONDS
    while loop.time() < until:
        for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
            for answer in (_answer(record.value or b"") for record in records):
                if answer is None or answer.id != command.id:
                    continue
                if answer.outcome != "begun":
                    return answer
                if begun is None:
                    until = loop.time() + WORK_SECONDS
                begun = answer
    raise UnansweredError(_silence(command, begun, settings, wait_seconds))


def _answer(raw: bytes) -> Answer | None:
    try:
        return decode_answer(raw)
    except RefusedError:
        return None


def _silence(command: Command, begun: Answer | None, settings: Settings, wait_seconds: float) -> str:
    """What is true where no last word came."""
    if begun is not None:
        return (
            f"{begun.worker} began at {begun.at} and has not said that it is done; it goes on, and what comes of it will be in "
            f"{settings.topic(ANSWERS)} under {command.id}"
        )
    asked = f"no worker answered within {wait_seconds:g} s: is one running, and not busy with another command?"
    if isinstance(command.do, Erase):
        return f"{asked} Nothing was done yet; the first worker to come does it, within {VALID_MS_MAX // DAY_MS} days"
    return f"{asked} Nothing was done, and nothing will be"


__all__ = ["ask"]
