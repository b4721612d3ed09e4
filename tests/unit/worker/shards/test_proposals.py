"""What was published comes into a shard by a record that its owner writes: once, after what lies in its log, and never by force."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError

from streamer.flow.published import Published, definitions_in
from streamer.language.definitions import Definitions, parse_definitions
from streamer.transports.memory import CONTROL
from streamer.wire import EVENTS, LogRecord, decode_control, definitions_control
from streamer.worker.shards import proposals
from streamer.worker.shards.proposals import Proposals
from streamer.worker.status.lane_status import LaneStatus
from tests.unit.worker.one_worker import SEEN, Worker

if TYPE_CHECKING:
    from collections.abc import Iterable

BUYER = parse_definitions({"segments": {"buyer": {"for": "x", "when": 'did("Order Completed")'}}})
LOYAL = parse_definitions({"segments": {"loyal": {"for": "x", "when": 'count("Order Completed") >= 2'}}})


class Shop:
    """A worker with one shard that has read its log, and the topic of definitions in memory. ``away``: Kafka takes nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.worker = Worker()
        self.published, self.records = Published(), list[bytes]()
        self.away, self.sent, self.is_vouched = False, 0, True
        monkeypatch.setattr(proposals, "send_control", self._send)
        for name in ("POLL_SECONDS", "PUBLISHER_SECONDS"):
            monkeypatch.setattr(proposals, name, 0.0)
        segmenter = self.worker.segmenter
        self.proposals = Proposals(segmenter.edges, segmenter.shards, cast("Any", self))
        self.publish(SEEN)

    def publish(self, definitions: Definitions, *, shadow: bool = False) -> None:
        raw = definitions_control(definitions.content(), definitions.digest, 1, shadow=shadow)
        self.published.take(LogRecord(len(self.records), 0, raw))
        self.records.append(raw)

    async def vouched(self, version: int) -> bytes | None:
        found = self.published.at(version)
        return definitions_in(LogRecord(0, 0, self.records[found.offset])) if found is not None and self.is_vouched else None

    async def _send(self, _client: object, _settings: object, raw: bytes, shards: Iterable[int]) -> None:
        if self.away:
            raise KafkaConnectionError
        self.sent += 1
        for shard in shards:
            self.worker.log.append(EVENTS, shard, raw, headers=CONTROL)

    async def look(self, turns: int = 20) -> LaneStatus | None:
        """Look once, and let what that begins come as far as it can."""
        self.proposals.look_after(self.published)
        for _ in range(turns):
            await asyncio.sleep(0)
        return self.proposals.status(0)

    async def read(self) -> None:
        """The shard reads its log to the end."""
        shard = self.worker.owned.shard
        assert shard is not None
        records = self.worker.log.fetch(0, shard.position.offset, 1_000)
        await self.worker.segmenter.processing.process(self.worker.owned, shard, records)

    def written(self) -> list[int]:
        records = self.worker.log.records(EVENTS, 0)
        return [decode_control(record.value).version for record in records if record.headers == CONTROL]


@pytest.fixture
async def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    """Version 1 holds."""
    found = Shop(monkeypatch)
    await found.worker.own()
    assert await found.look() is None
    return found


async def test_the_owner_of_a_shard_writes_what_was_published_and_once(shop: Shop) -> None:
    """Publishing wrote it itself once, wherever the shard stood."""
    shop.publish(BUYER)
    for _ in range(3):
        status = await shop.look()
        assert status is not None
        assert (status.version, status.state) == (2, "written")
    await shop.read()
    assert await shop.look() is None
    assert shop.written() == [1, 2]


async def test_a_shard_reads_its_log_before_anything_is_written_for_it(shop: Shop) -> None:
    """What was published may lie there already, as after a store came back empty."""
    shop.publish(BUYER)
    shop.worker.log.append(EVENTS, 0, b'{"event": "x"}')
    status = await shop.look()
    assert status is not None
    assert (status.state, shop.written()) == ("reads", [1])
    await shop.read()
    await shop.look()
    assert shop.written() == [1, 2]


async def test_what_is_published_meanwhile_overtakes_what_was_not_written_yet(shop: Shop) -> None:
    """Two switches, one after the other, would let everybody enter and leave what never held for long."""
    shop.publish(BUYER)
    shop.worker.log.append(EVENTS, 0, b'{"event": "x"}')
    await shop.look()
    shop.publish(LOYAL)
    await shop.look()
    await shop.read()
    await shop.look()
    assert shop.written() == [1, 3]


async def test_a_shadow_is_written_into_no_shard(shop: Shop) -> None:
    """It is there to be compared."""
    shop.publish(BUYER, shadow=True)
    await shop.look()
    assert shop.written() == [1]


async def test_a_kafka_that_is_away_is_said_and_asked_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shard itself goes on."""
    monkeypatch.setattr(proposals, "AGAIN_SECONDS", (0.0,))
    shop.away = True
    shop.publish(BUYER)
    status = await shop.look()
    assert status is not None
    assert (status.state, "KafkaConnectionError" in status.why) == ("stands", True)
    assert shop.worker.segmenter.problems() == []
    shop.away = False
    await shop.look()
    assert shop.written() == [1, 2]


async def test_a_fault_of_our_own_holds_up_the_publication_and_not_the_shard(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its text may quote a customer's data, so only the place is said."""

    async def fails(_version: int) -> bytes:
        raise ZeroDivisionError("anna@example.org")

    monkeypatch.setattr(shop, "vouched", fails)
    shop.publish(BUYER)
    status = await shop.look()
    assert status is not None
    assert status.why.startswith("unexpected ZeroDivisionError in ")
    assert "anna" not in status.why
    assert shop.worker.segmenter.problems() == []
    await asyncio.sleep(0)
    assert any(b"publication_fault" in raw for raw in shop.worker.published)


async def test_what_is_not_signed_by_a_key_of_this_worker_is_not_written_in_its_name(shop: Shop) -> None:
    """Whoever may write into the topic of definitions must not get a worker to sign for them."""
    shop.is_vouched = False
    shop.publish(BUYER)
    status = await shop.look()
    assert status is not None
    assert (status.state, shop.written()) == ("stands", [1])
    assert "not signed by a key" in status.why


async def test_whoever_lost_the_shard_writes_nothing_more_for_it(shop: Shop) -> None:
    """The new owner does it, once it has read the log."""
    shop.publish(BUYER)
    shop.worker.log.append(EVENTS, 0, b'{"event": "x"}')
    await shop.look()
    shop.worker.owned.is_ours = False
    assert await shop.look() is None
    await shop.read()
    assert shop.written() == [1]
