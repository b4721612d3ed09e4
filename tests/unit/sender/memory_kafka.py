"""Partitions and producers in memory that keep what a broker with transactions keeps, and can fail at each of a producer's waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace, TracebackType
from typing import Literal

from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced

from streamer.settings import Settings

Fate = Literal["open", "written", "aborted"]


@dataclass
class _Kept:
    """One offset: a record, or a mark of a transaction."""

    value: bytes | None
    fate: Fate
    id: str = ""


@dataclass
class MemoryKafka:
    """Topics of one partition. ``wait`` is called before and after each thing that a producer does; what it raises happens there."""

    wait: Callable[[], None]
    partitions: dict[str, list[_Kept]] = field(default_factory=dict[str, list[_Kept]])
    epochs: dict[str, int] = field(default_factory=dict[str, int])
    positions: dict[TopicPartition, int] = field(default_factory=dict[TopicPartition, int])

    def read(self, topic: str, begin: int = 0) -> list[tuple[int, bytes]]:
        """What a reader of committed records sees: nothing at or behind an open transaction, nothing of aborted ones, no mark."""
        found: list[tuple[int, bytes]] = []
        for offset, kept in enumerate(self.partitions.get(topic, [])):
            if kept.fate == "open":
                break
            if offset >= begin and kept.fate == "written" and kept.value is not None:
                found.append((offset, kept.value))
        return found

    def stable_end(self, topic: str) -> int:
        """The offset before which everything is decided."""
        kept = self.partitions.get(topic, [])
        return next((offset for offset, one in enumerate(kept) if one.fate == "open"), len(kept))

    def append(self, topic: str, kept: _Kept) -> int:
        """The offset of what is kept now."""
        partition = self.partitions.setdefault(topic, [])
        partition.append(kept)
        return len(partition) - 1

    def end_transaction(self, id_: str, fate: Fate) -> None:
        """Decide what a transaction wrote, with a mark in each partition that it wrote to."""
        for topic, partition in self.partitions.items():
            mine = [kept for kept in partition if kept.id == id_ and kept.fate == "open"]
            for kept in mine:
                kept.fate = fate
            if mine:
                self.append(topic, _Kept(None, "written"))

    async def read_partition(
        self, settings: Settings, topic: str, partition: int, *, begin: int | None = None, newest: int | None = None
    ) -> AsyncIterator[list[SimpleNamespace]]:
        """In the place of ``partition.read_partition``."""
        assert partition == 0
        name = settings.topic(topic)
        first = begin or 0 if newest is None else max(begin or 0, self.stable_end(name) - newest)
        yield [SimpleNamespace(offset=offset, value=value) for offset, value in self.read(name, first)]


class MemoryProducer:
    """In the place of aiokafka's. One with a ``transactional_id`` fences those who had it before."""

    def __init__(self, kafka: MemoryKafka, transactional_id: str) -> None:
        self._kafka = kafka
        self._id = transactional_id
        self._epoch = 0

    async def start(self) -> None:
        """Take the id; what its former owner left open is aborted."""
        self._kafka.wait()
        if self._id:
            self._epoch = self._kafka.epochs[self._id] = self._kafka.epochs.get(self._id, 0) + 1
            self._kafka.end_transaction(self._id, "aborted")
        self._kafka.wait()

    async def stop(self) -> None:
        """Nothing of it is left to do."""

    async def send(self, topic: str, value: bytes, *, key: bytes, partition: int, headers: object = ()) -> Awaitable[SimpleNamespace]:
        """Append; the future has the offset."""
        del key, headers
        assert partition == 0
        self._check()
        self._kafka.wait()
        offset = self._kafka.append(topic, _Kept(value, "open" if self._id else "written", self._id))
        self._kafka.wait()
        acknowledged: asyncio.Future[SimpleNamespace] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(SimpleNamespace(offset=offset))
        return acknowledged

    async def send_offsets_to_transaction(self, offsets: Mapping[TopicPartition, int], group: str) -> None:
        """Of which nothing depends here."""
        assert group
        self._check()
        self._kafka.wait()
        self._kafka.positions |= offsets

    def transaction(self) -> _Transaction:
        """See aiokafka."""
        assert self._id
        return _Transaction(self)

    async def end(self, fate: Fate) -> None:
        """Commit or abort."""
        self._check()
        self._kafka.wait()
        self._kafka.end_transaction(self._id, fate)
        self._kafka.wait()

    def _check(self) -> None:
        if self._id and self._kafka.epochs[self._id] != self._epoch:
            raise ProducerFenced


@dataclass
class _Transaction:
    producer: MemoryProducer

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            await self.producer.end("written")
        elif isinstance(error, Exception) and not isinstance(error, ProducerFenced):
            await self.producer.end("aborted")  # a process that was killed aborts nothing: its successor does
