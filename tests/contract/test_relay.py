"""What a relay promises: each output once as far as it can know, in order, and nothing forgotten before it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from streamer.flow.relay import BACKLOG_BYTES_MAX, BACKLOG_MAX, ENTRIES_AT_ONCE, Relay
from streamer.stores.base import OutputPosition, Store
from streamer.transports.memory import MemoryLog, MemorySink, position_of
from streamer.wire import CHANGES, DEAD_LETTERS, EVENTS, Output, encode_outputs

from .dump import next_commit

Entry = tuple[OutputPosition, list[Output]]


class Sink(MemorySink):
    """Fails when told to, and waits a moment like a broker does."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.fail_after: int | None = None
        self.sends = 0

    async def send(self, outputs: Sequence[Output]) -> None:
        self.sends += 1
        await asyncio.sleep(0)
        if self.fail_after is not None:
            await super().send(outputs[: self.fail_after])
            raise ConnectionError("no acknowledgement")
        await super().send(outputs)
        await asyncio.sleep(0)


@pytest.fixture
def log() -> MemoryLog:
    """Topics of one shard."""
    return MemoryLog(1, lambda: 0)


@pytest.fixture
def sink(log: MemoryLog) -> Sink:
    """The sink over them."""
    return Sink(log)


async def test_outputs_are_published_in_order_and_trimmed(store: Store, log: MemoryLog, sink: Sink) -> None:
    """The ordinary way."""
    entries = await _commit(store, range(5))
    relay = Relay(0, store, sink)
    relay.add(entries)
    assert relay.backlog == 10
    assert await relay.turn() is True
    assert await relay.turn() is False
    assert _published(log) == [(number, ordinal) for number in range(5) for ordinal in (0, 1)]
    assert (relay.backlog, relay.published, await _left(store)) == (0, 10, [])


async def test_a_relay_takes_up_what_the_former_owner_left(store: Store, log: MemoryLog, sink: Sink) -> None:
    """It was committed, so it is said; also more of it than one read brings."""
    count = 2 * ENTRIES_AT_ONCE + 3
    await _commit(store, range(count))
    relay = await _started(store, sink)
    assert relay.backlog == 2 * count
    while await relay.turn():
        pass
    assert _published(log) == [(number, ordinal) for number in range(count) for ordinal in (0, 1)]
    assert await _left(store) == []


async def test_a_relay_goes_on_behind_the_tail(store: Store, log: MemoryLog, sink: Sink) -> None:
    """Its predecessor died between the acknowledgement and the trim, in the middle of an entry."""
    entries = await _commit(store, range(4))
    await sink.send([*entries[0][1], entries[1][1][0]])
    relay = await _started(store, sink)
    await relay.turn()
    assert _published(log) == [(number, ordinal) for number in range(4) for ordinal in (0, 1)]
    assert (relay.published, await _left(store)) == (5, [])


async def test_tails_are_of_a_topic_each(store: Store, log: MemoryLog, sink: Sink) -> None:
    """Changes may be further than dead letters: what lags is still to be said."""
    outputs = [_output(1, 0, DEAD_LETTERS), _output(1, 1), _output(1, 2, DEAD_LETTERS), _output(1, 3)]
    await sink.send([outputs[1], outputs[3]])
    await store.commit(0, next_commit(await store.acquire(0), outbox=encode_outputs(outputs)))
    await (await _started(store, sink)).turn()
    assert _published(log) == [(1, 1), (1, 3)]
    assert [position_of(record)[1:] for record in log.records(DEAD_LETTERS, 0)] == [(1, 0), (1, 2)]


async def test_what_is_published_already_is_trimmed_without_a_word(store: Store, log: MemoryLog, sink: Sink) -> None:
    """The store came back older and the shard has said it all again."""
    entries = await _commit(store, range(3))
    await sink.send([output for _, outputs in entries for output in outputs])
    relay = await _started(store, sink)
    sends = sink.sends
    assert await relay.turn() is True
    assert (sink.sends, relay.published, len(_published(log)), await _left(store)) == (sends, 0, 6, [])


@pytest.mark.parametrize("published", [0, 1, 3, 6])
async def test_nothing_is_trimmed_before_it_is_acknowledged(store: Store, log: MemoryLog, sink: Sink, published: int) -> None:
    """After an error any first part may be out; the outbox still has everything, and the next turn says it again."""
    entries = await _commit(store, range(3))
    relay = Relay(0, store, sink)
    relay.add(entries)
    sink.fail_after = published
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await relay.turn()
        assert await _left(store) == [place for place, _ in entries]
    assert relay.backlog == 6
    sink.fail_after = None
    await relay.turn()
    assert _published(log)[-6:] == [(number, ordinal) for number in range(3) for ordinal in (0, 1)]
    assert (await _left(store), relay.backlog) == ([], 0)


async def test_a_failed_trim_is_tried_again_and_nothing_is_said_twice(
    store: Store, log: MemoryLog, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker has it; only the store was away."""
    relay = Relay(0, store, sink)
    relay.add(await _commit(store, range(3)))

    async def refuse(*_: object, **__: object) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(store, "trim", refuse)
        with pytest.raises(ConnectionError):
            await relay.turn()
    assert await relay.turn() is True
    assert (len(_published(log)), await _left(store)) == (6, [])


async def test_calls_at_the_same_time_publish_nothing_twice(store: Store, log: MemoryLog, sink: Sink) -> None:
    """A worker's loop and the revocation of a shard both want the rest out."""
    relay = Relay(0, store, sink)
    relay.add(await _commit(store, range(20)))
    await asyncio.gather(*(_until_empty(relay) for _ in range(4)))
    assert _published(log) == [(number, ordinal) for number in range(20) for ordinal in (0, 1)]
    assert (relay.backlog, relay.published) == (0, 40)


async def test_what_is_added_while_a_turn_waits_is_not_lost(store: Store, log: MemoryLog, sink: Sink) -> None:
    """The shard goes on while the broker takes its time."""
    entries = await _commit(store, range(6))
    relay = Relay(0, store, sink)
    relay.add(entries[:3])
    turn = asyncio.ensure_future(relay.turn())
    await asyncio.sleep(0)
    relay.add(entries[3:])
    await turn
    assert await _left(store) == [place for place, _ in entries[3:]]
    await relay.turn()
    assert (len(_published(log)), await _left(store)) == (12, [])


async def test_forwarded_records_have_no_tail(store: Store, log: MemoryLog, sink: Sink) -> None:
    """In the log they lie among the producers' own; the right shard knows a repeated one by its place."""
    await store.commit(0, next_commit(await store.acquire(0), outbox=encode_outputs([_output(1, 0, EVENTS), _output(1, 1)])))
    log.append(EVENTS, 0, b"by a producer, without a place")
    await (await _started(store, sink)).turn()
    assert [record.value for record in log.records(EVENTS, 0)] == [b"by a producer, without a place", b"1-0"]


async def test_a_relay_says_when_it_has_too_much(store: Store, sink: Sink) -> None:
    """The shard then stops fetching, so that the outbox has an end."""
    relay = Relay(0, store, sink)
    relay.add([(OutputPosition(1, 0), [_output(1, 0)] * BACKLOG_MAX)])
    assert not relay.is_full
    relay.add([(OutputPosition(2, 0), [_output(2, 0)])])
    assert relay.is_full


async def test_a_few_large_outputs_are_too_much_as_well(store: Store, sink: Sink) -> None:
    """Ten thousand dead letters of half a megabyte would be most of the machine."""
    relay = Relay(0, store, sink)
    large = _output(1, 0)._replace(value=b"x" * 500_000)
    count = BACKLOG_BYTES_MAX // len(large.value)
    relay.add([(OutputPosition(1, number), [large._replace(ordinal=number)]) for number in range(count)])
    assert not relay.is_full
    relay.add([(OutputPosition(2, 0), [_output(2, 0)])])
    assert relay.is_full
    while await relay.turn():
        pass
    assert not relay.is_full


def _output(offset: int, ordinal: int, topic: str = CHANGES) -> Output:
    return Output(topic, 0, offset, ordinal, b"", b"%d-%d" % (offset, ordinal))


async def _commit(store: Store, numbers: range) -> list[Entry]:
    """Commits with two outputs each, the first of a fresh owner."""
    checkpoint = await store.acquire(0)
    entries: list[Entry] = []
    for number in numbers:
        outputs = [_output(number, 0), _output(number, 1)]
        commit = replace(next_commit(checkpoint), outbox=(OutputPosition(number, 1), encode_outputs(outputs)))
        await store.commit(0, commit)
        checkpoint = commit.checkpoint
        entries.append((OutputPosition(number, 1), outputs))
    return entries


async def _started(store: Store, sink: Sink) -> Relay:
    relay = Relay(0, store, sink)
    await relay.start()
    return relay


async def _until_empty(relay: Relay) -> None:
    while await relay.turn():
        pass


async def _left(store: Store) -> list[OutputPosition]:
    return [place for place, _ in await store.outbox(0, after=None, limit=1_000)]


def _published(log: MemoryLog) -> list[OutputPosition]:
    return [OutputPosition(*position_of(record)[1:]) for record in log.records(CHANGES, 0)]
