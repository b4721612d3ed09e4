"""What ``flow.relay.Sink`` promises, of every sink: run over memory here and over a real broker in ``tests/live``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

from streamer.flow.relay import Sink
from streamer.stores.base import OutputPosition
from streamer.wire import CHANGES, DEAD_LETTERS, EVENTS, Output

SHARDS: Final = 3


class Found(NamedTuple):
    """One record as a reader of the topic gets it."""

    key: bytes
    value: bytes
    headers: dict[str, bytes]


class Desk(Protocol):
    """A sink and its topics, empty, of three shards."""

    @property
    def sink(self) -> Sink:
        """What is on trial."""
        ...

    async def read(self, topic: str, partition: int) -> list[Found]:
        """Everything in a partition."""
        ...


def output(offset: int, ordinal: int, *, topic: str = CHANGES, partition: int = 1, value: bytes = b"") -> Output:
    """One thing to say."""
    return Output(topic, partition, offset, ordinal, b"key-%d" % offset, value or b"value-%d-%d" % (offset, ordinal))


async def an_empty_partition_has_no_tail(desk: Desk) -> None:
    """A first deployment publishes from the beginning."""
    assert await desk.sink.tail(CHANGES, 0) is None
    await desk.sink.send([])
    assert await desk.sink.tail(CHANGES, 0) is None


async def outputs_arrive_whole_and_in_order(desk: Desk) -> None:
    """What is acknowledged can be read at once, with its place beside it."""
    sent = [output(3, 0), output(3, 1), output(4, 0, value=bytes(range(256))), output(10, 0)]
    await desk.sink.send(sent)
    found = await desk.read(CHANGES, 1)
    assert [(record.key, record.value) for record in found] == [(one.key, one.value) for one in sent]
    assert [record.headers["streamer-position"] for record in found] == [b"1-3-0", b"1-3-1", b"1-4-0", b"1-10-0"]
    assert (await desk.read(CHANGES, 0), await desk.read(CHANGES, 2)) == ([], [])


async def the_tail_is_the_highest_place(desk: Desk) -> None:
    """Compared as numbers, and of each topic and shard by itself."""
    await desk.sink.send([output(9, 11), output(10, 2), output(7, 0, topic=DEAD_LETTERS), output(99, 0, partition=2)])
    assert await desk.sink.tail(CHANGES, 1) == OutputPosition(10, 2)
    assert await desk.sink.tail(DEAD_LETTERS, 1) == OutputPosition(7, 0)
    assert await desk.sink.tail(CHANGES, 2) == OutputPosition(99, 0)
    assert await desk.sink.tail(CHANGES, 0) is None


async def what_a_zombie_appends_does_not_lower_the_tail(desk: Desk) -> None:
    """Or the next owner would say everything behind it once more."""
    await desk.sink.send([output(20, 0), output(21, 5)])
    await desk.sink.send([output(number, 0) for number in range(10)])
    assert await desk.sink.tail(CHANGES, 1) == OutputPosition(21, 5)


async def a_record_is_forwarded_to_another_shard(desk: Desk) -> None:
    """The partition is the output's, not the relay's."""
    await desk.sink.send([output(5, 0), output(5, 1, topic=EVENTS, partition=2, value=b'{"event": "A"}'), output(5, 2)])
    [forwarded] = await desk.read(EVENTS, 2)
    assert (forwarded.key, forwarded.value) == (b"key-5", b'{"event": "A"}')
    assert "streamer-control" not in forwarded.headers
    assert [record.value for record in await desk.read(CHANGES, 1)] == [b"value-5-0", b"value-5-2"]


async def more_than_a_batch_arrives_in_order(desk: Desk) -> None:
    """A relay that catches up sends megabytes at once."""
    sent = [output(number // 10, number % 10, value=b"%06d" % number + b"x" * 500) for number in range(3_000)]
    await desk.sink.send(sent)
    assert [record.value[:6] for record in await desk.read(CHANGES, 1)] == [b"%06d" % number for number in range(3_000)]
    assert await desk.sink.tail(CHANGES, 1) == OutputPosition(299, 9)


async def a_large_dead_letter_arrives(desk: Desk) -> None:
    """The raw bytes of a refused record, larger than a producer's batch."""
    large = output(1, 0, topic=DEAD_LETTERS, value=b"x" * 800_000)
    await desk.sink.send([output(0, 0, topic=DEAD_LETTERS), large, output(2, 0, topic=DEAD_LETTERS)])
    assert [len(record.value) for record in await desk.read(DEAD_LETTERS, 1)] == [9, 800_000, 9]


async def shards_publish_at_the_same_time(desk: Desk) -> None:
    """One sink serves all relays of a worker."""
    await asyncio.gather(*(desk.sink.send([output(number, 0, partition=shard) for number in range(50)]) for shard in range(SHARDS)))
    for shard in range(SHARDS):
        assert [record.headers["streamer-position"] for record in await desk.read(CHANGES, shard)] == [b"1-%d-0" % n for n in range(50)]


PROMISES: Final[list[Callable[[Desk], Awaitable[None]]]] = [
    an_empty_partition_has_no_tail,
    outputs_arrive_whole_and_in_order,
    the_tail_is_the_highest_place,
    what_a_zombie_appends_does_not_lower_the_tail,
    a_record_is_forwarded_to_another_shard,
    more_than_a_batch_arrives_in_order,
    a_large_dead_letter_arrives,
    shards_publish_at_the_same_time,
]
