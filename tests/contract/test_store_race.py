"""Redis and memory, side by side: whatever is done to both, both say the same."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from streamer.errors import FencedError
from streamer.local.redis import RedisServer
from streamer.stores.base import Checkpoint, Commit, OutputPosition, Position, Store
from streamer.stores.memory import MemoryStore
from streamer.stores.redis import connect

from .dump import Dump, dump, ownerless

EXAMPLES = int(os.environ.get("STREAMER_TEST_EXAMPLES", "25"))
names = st.sampled_from(["a", "b", "B", "\uff5e", "\U0001d11e"])
shards = st.integers(0, 1)
blobs = st.binary(max_size=6)
steps = st.integers(0, 3)


def test_redis_and_memory_keep_the_same_promises(redis_server: RedisServer) -> None:
    """Simulations and replays run on the one, workers on the other."""

    class Race(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.runner = asyncio.Runner()
            self.stores: tuple[Store, Store] = (MemoryStore(), connect(redis_server.url, namespace=f"race-{uuid.uuid4().hex}"))
            empty = Checkpoint(0, Position(0, 0), b"", b"")
            self.known: dict[int, list[Sequence[Checkpoint]]] = {shard: [(empty, empty)] for shard in (0, 1)}  # as each store tells it

        def teardown(self) -> None:
            self.runner.run(self.stores[1].close())
            self.runner.close()

        def both(self, *calls: Callable[[Store], Awaitable[Any]]) -> Sequence[Any]:
            """One call for both, or one for each."""
            answers = [self.runner.run(_answer(call, store)) for call, store in zip((calls * 2)[:2], self.stores, strict=True)]
            assert _comparable(answers[0]) == _comparable(answers[1])
            return answers

        @rule(shard=shards)
        def acquire(self, shard: int) -> None:
            self.known[shard].append(self.both(lambda store: store.acquire(shard)))

        @rule(
            shard=shards,
            back=st.integers(0, 2),
            offsets=st.integers(0, 2),
            step=st.integers(1, 3),
            states=st.dictionaries(names, st.none() | blobs),
            wakes=st.dictionaries(names, st.none() | st.integers(-5, 20)),
            outbox=st.none() | blobs,
            documents=st.dictionaries(names, blobs, max_size=2),
            output_digest=blobs,
            wrong_digest=st.booleans(),
        )
        def commit(
            self,
            shard: int,
            back: int,
            offsets: int,
            step: int,
            output_digest: bytes,
            wrong_digest: bool,
            outbox: bytes | None,
            **what: Any,
        ) -> None:
            known = self.known[shard]
            pair = known[-1 - min(back, len(known) - 1)]
            if wrong_digest and back:
                pair = [replace(expected, output_digest=b"wrong") for expected in pair]
            at = pair[0].position
            position = Position(at.offset + offsets, step) if offsets else Position(at.offset, at.step + step)
            entry = None if outbox is None else (OutputPosition(*position), outbox)
            first, second = (Commit(expected, position, output_digest, b"body", outbox=entry, **what) for expected in pair)
            if self.both(lambda store: store.commit(shard, first), lambda store: store.commit(shard, second)) == [None, None]:
                known.append((first.checkpoint, second.checkpoint))

        @rule(shard=shards, offset=st.integers(0, 6), step=steps)
        def trim(self, shard: int, offset: int, step: int) -> None:
            self.both(lambda store: store.trim(shard, upto=OutputPosition(offset, step)))

        @rule(shard=shards, offset=st.integers(0, 6), step=steps, limit=st.integers(1, 3))
        def outbox(self, shard: int, offset: int, step: int, limit: int) -> None:
            self.both(lambda store: store.outbox(shard, after=OutputPosition(offset, step), limit=limit))

        @rule(shard=shards, customers=st.lists(names), until_ms=st.integers(-6, 21), limit=st.integers(0, 4))
        def fetch(self, shard: int, customers: list[str], until_ms: int, limit: int) -> None:
            self.both(lambda store: store.fetch(shard, customers, until_ms=until_ms, limit=limit))

        @rule(name=names, content=blobs, shard=st.none() | shards)
        def documents(self, name: str, content: bytes, shard: int | None) -> None:
            self.both(lambda store: store.put_document(name, content))
            self.both(lambda store: store.get_document(name, shard=shard))

        @invariant()
        def same(self) -> None:
            for shard in (0, 1):
                self.both(lambda store, shard=shard: dump(store, shard))

    run_state_machine_as_test(
        Race,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
        ),
    )


def _comparable(answer: Any) -> Any:
    if isinstance(answer, Dump):
        return answer._replace(checkpoint=ownerless(answer.checkpoint))
    return ownerless(answer) if isinstance(answer, Checkpoint) else answer


async def _answer(call: Callable[[Store], Awaitable[Any]], store: Store) -> Any:
    try:
        return await call(store)
    except FencedError:
        return FencedError


@pytest.mark.parametrize("answer", [FencedError, None])
async def test_a_race_tells_refusals_from_success(answer: Any) -> None:
    """Else both could refuse everything and agree."""
    checkpoint = Checkpoint(0 if answer is None else 1, Position(0, 0), b"", b"")
    assert await _answer(lambda store: store.commit(0, Commit(checkpoint, Position(1, 0), b"", b"")), MemoryStore()) is answer
