"""Senders that believe nothing but an answer of 200, while the collector and the broker are killed; and what then lies in the log."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from streamer.local.apache_kafka import ApacheKafka
from streamer.settings import Settings
from streamer.values import time_text
from tests.clients.door import SERVER_KEYS, Door
from tests.clients.shop_log import events, make_topics

SENDERS: Final = 12
BATCH_MAX: Final = 40
AUTHORIZATION: Final = f"Basic {base64.b64encode(SERVER_KEYS[0].encode() + b':').decode()}"
ANSWER_S: Final = 8.0  # the collector answers before its clients give up after ten
PATIENCE = ClientTimeout(total=2 * ANSWER_S)


class Senders:
    """Clients without a memory: each sends the next request whatever became of the last. ``acknowledged`` are the message ids of requests
    that were answered 200, ``answers`` counts statuses, ``cut`` the requests whose connection ended without an answer."""

    def __init__(self, address: str, seed: int) -> None:
        self.acknowledged: set[str] = set()
        self.answers: Counter[int] = Counter()
        self.cut = 0
        self.slowest_s = 0.0
        self._address = address
        self._seed = seed
        self._ended = False

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None]:
        """They send while this is open, and end the request that each has on its way before it closes."""
        async with ClientSession(timeout=PATIENCE, headers={"Authorization": AUTHORIZATION}) as session:
            tasks = [asyncio.create_task(self._send(session, number)) for number in range(SENDERS)]
            try:
                yield
            finally:
                self._ended = True
                await asyncio.gather(*tasks)

    async def _send(self, session: ClientSession, number: int) -> None:
        draw, sent = random.Random(f"{self._seed}-{number}"), 0
        while not self._ended:
            ids = [f"{self._seed}-{number}-{sent + at}" for at in range(draw.choice([1, 1, 3, BATCH_MAX]))]
            sent += len(ids)
            await self._request(session, ids, draw)
            await asyncio.sleep(draw.uniform(0, 0.02))

    async def _request(self, session: ClientSession, ids: list[str], draw: random.Random) -> None:
        batch = [_event(one, draw.randrange(500)) for one in ids]
        path, body = ("/v1/batch", {"batch": batch, "sentAt": time_text(_now_ms())}) if len(batch) > 1 else ("/v1/track", batch[0])
        begun = asyncio.get_running_loop().time()
        try:
            async with session.post(self._address + path, data=json.dumps(body)) as answer:
                await answer.read()
                status = answer.status
        except (ClientError, TimeoutError):
            self.cut += 1
            await asyncio.sleep(0.05)  # the process is away: do not spin
            return
        self.answers[status] += 1
        self.slowest_s = max(self.slowest_s, asyncio.get_running_loop().time() - begun)
        if status == 200:
            self.acknowledged |= set(ids)


def _event(message_id: str, customer: int) -> dict[str, object]:
    return {
        "type": "track",
        "event": "Product Viewed",
        "messageId": message_id,
        "userId": f"c-{customer}",
        "timestamp": time_text(_now_ms()),
        "properties": {"sku": message_id},
    }


def _now_ms() -> int:
    return int(time() * 1_000)


class Killings:
    """A collector over a broker, both of which die by ``kill -9`` at drawn moments. ``victims`` counts them."""

    def __init__(self, kafka: ApacheKafka, settings: Settings, folder: Path, seed: int) -> None:
        self.victims: Counter[str] = Counter()
        self._kafka = kafka
        self._settings = settings
        self.door = Door(settings, folder, origins=["http://127.0.0.1:1"])
        self._draw = random.Random(seed)
        self.senders = Senders(self.door.address, seed)

    async def run(self, victims: list[str]) -> None:
        """Kill each of ``victims`` (``collector`` or ``broker``) in turn while senders are at work."""
        async with self.senders.at_work():
            for victim in victims:
                await asyncio.sleep(self._draw.uniform(0.3, 1.2))
                await asyncio.to_thread(self._kill, victim)
                self.victims[victim] += 1
            await asyncio.sleep(1.0)
        assert await asyncio.to_thread(self.door.stop) == 0, self.door.child.log_tail(40)

    async def lost(self) -> set[str]:
        """Message ids that were acknowledged and do not lie in the log."""
        return self.senders.acknowledged - {event["messageId"] for event in await events(self._settings)}

    def _kill(self, victim: str) -> None:
        if victim == "collector":
            self.door.kill()
            self.door.start()
        else:
            self._kafka.kill()
            self._kafka.restart()

    def close(self) -> None:
        """End what is left."""
        self.door.kill()


async def prepare(kafka: ApacheKafka, name: str, folder: Path, seed: int) -> Killings:
    """A log of its own and a collector before it."""
    ours = {"kafka": kafka.bootstrap, "topic_prefix": name, "shards": 3, "create": True}
    settings = Settings.model_construct().model_copy(update=ours)
    await make_topics(settings, kafka)
    return await asyncio.to_thread(Killings, kafka, settings, folder, seed)
