"""What is published over a log of which retention has taken the beginning: it holds all the same, and says since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from streamer.flow.checkpoint import decode_body
from streamer.transports.kafka.clients import connection
from streamer.wire import EVENTS

from .deployment import SHARDS
from .test_born_old import LOYAL, fill, publish

if TYPE_CHECKING:
    from pathlib import Path

    from .deployment import Deployment

EVENTS_BEFORE = 600
GONE = 60  # records of each shard


async def test_definitions_hold_where_the_log_has_lost_its_beginning(shop: Deployment, tmp_path: Path) -> None:
    """As that of every shop has that is older than its log. What is new then remembers since the first record that is left."""
    shop.start_worker()
    await fill(shop, EVENTS_BEFORE)
    await shop.until_caught_up()
    admin = AIOKafkaAdminClient(**connection(shop.settings))
    await admin.start()
    try:
        topic = shop.settings.topic(EVENTS)
        await admin.delete_records({TopicPartition(topic, shard): RecordsToDelete(before_offset=GONE) for shard in range(SHARDS)})
    finally:
        await admin.close()
    first_ms = [(await shop.read(EVENTS, shard))[0].timestamp for shard in range(SHARDS)]
    assert await publish(shop, tmp_path / "newer.yaml", LOYAL) == 2
    await shop.until(lambda found: all(one.body and decode_body(one.body).version == 2 for one in found))
    since_ms = [set(decode_body(one.body).since_ms.values()) for one in await shop.checkpoints()]
    assert since_ms == [{at_ms} for at_ms in first_ms], "nothing says since when it remembers"
    assert set(await shop.stop_all()) == {0}, shop.logs()
