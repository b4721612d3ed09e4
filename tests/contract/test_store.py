"""What ``stores.base.Store`` promises, of every store."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from streamer.errors import FencedError, StoreOlderError
from streamer.stores.base import Checkpoint, Committed, Fetched, OutputPosition, Page, Position, Store
from streamer.stores.buckets import BUCKETS, bucket_of, place_of
from tests.walk import customers_of

from .dump import ALL, FAR_MS, dump, next_commit, ownerless

FULL: dict[str, Any] = {"states": {"a": b"1", "b": b"2"}, "wakes": {"a": 10, "b": 20}, "outbox": b"said", "documents": {"doc": b"text"}}
NAMES = ["", "A", "B", "a", "aa", "é", "\uff5e", "\ufffd", "\U0001d11e", "\U0010ffff"]  # ascending by code point, not so in UTF-16


async def test_a_shard_that_nobody_had_is_empty(store: Store) -> None:
    """A fresh deployment begins at the beginning of the log."""
    assert await store.checkpoint(3) == Checkpoint(0, Position(0, 0), b"", b"")
    assert await store.fetch(3, ["a"], until_ms=FAR_MS, limit=10) == Fetched([None], [])
    assert (await store.customers(3, 0, limit=5), await store.outbox(3, after=None, limit=5)) == (Page([], None), [])
    assert (await store.get_document("x"), await store.get_document("x", shard=3)) == (None, None)


async def test_to_acquire_raises_the_epoch_and_keeps_the_rest(store: Store) -> None:
    """The next owner goes on where the last one committed."""
    first = await store.acquire(0)
    assert ownerless(first) == Checkpoint(1, Position(0, 0), b"", b"")
    await store.commit(0, next_commit(first, **FULL))
    second = await store.acquire(0)
    assert ownerless(second) == Checkpoint(2, Position(1, 0), b"digest-1-0", b"body")
    assert await store.checkpoint(0) == second
    assert second.owner not in (b"", first.owner)


async def test_a_commit_writes_everything_at_once(store: Store) -> None:
    """State, position, wake-ups and outbox are one story."""
    commit = next_commit(await store.acquire(0), offset=7, step=3, **FULL)
    await store.commit(0, commit)
    found = await dump(store)
    assert found.checkpoint == commit.checkpoint
    assert ownerless(found.checkpoint) == Checkpoint(1, Position(7, 3), b"digest-7-3", b"body")
    assert found.states == [("a", b"1"), ("b", b"2")]
    assert found.wakes == [(10, "a"), (20, "b")]
    assert found.outbox == [(Position(7, 3), b"said")]
    assert await store.get_document("doc", shard=0) == b"text"


async def test_none_removes_and_removing_nothing_is_nothing(store: Store) -> None:
    """Erasure; and a customer who was never known."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    gone = next_commit(await store.checkpoint(0), states={"a": None, "x": None}, wakes={"a": None, "x": None})
    await store.commit(0, gone)
    found = await dump(store)
    assert (found.states, found.wakes) == ([("b", b"2")], [(20, "b")])
    assert [entry for _, entry in found.outbox] == [b"said"]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"epoch": 1}, id="older epoch"),
        pytest.param({"epoch": 3}, id="epoch from another time"),
        pytest.param({"position": Position(0, 0)}, id="older position"),
        pytest.param({"position": Position(1, 1)}, id="other step"),
        pytest.param({"output_digest": b"other"}, id="other output digest"),
        pytest.param({"owner": b"other"}, id="same epoch of another time"),
    ],
)
async def test_a_fenced_commit_writes_nothing(store: Store, wrong: dict[str, Any]) -> None:
    """A zombie, a lost timeline, a store that came back older: each has another checkpoint in mind."""
    await store.acquire(0)
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    before = await dump(store)
    stale = replace(before.checkpoint, **wrong)
    with pytest.raises(FencedError):
        await store.commit(
            0, next_commit(stale, offset=9, states={"a": b"!", "c": b"!"}, wakes={"a": 1, "b": None}, outbox=b"!", documents={"doc": b"!"})
        )
    assert await dump(store) == before
    assert await store.get_document("doc", shard=0) == b"text"


@pytest.mark.parametrize("wrong", [{"epoch": 9}, {"position": Position(0, 0)}, {"output_digest": b"other"}, {"owner": b"other"}])
async def test_what_another_owner_wrote_is_not_read_by_mistake(store: Store, wrong: dict[str, Any]) -> None:
    """A failover may undo it before the commit, which then would go through."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    now = await store.checkpoint(0)
    for customers, limit in ((["a"], 5), (["a"], 0), ([], 5)):
        found = await store.fetch(0, customers, until_ms=FAR_MS, limit=limit, expected=now)
        assert found == await store.fetch(0, customers, until_ms=FAR_MS, limit=limit)
        with pytest.raises(FencedError):
            await store.fetch(0, customers, until_ms=FAR_MS, limit=limit, expected=replace(now, **wrong))
    assert (await store.customers(0, 0, limit=9, expected=now)).customers == sorted("ab", key=place_of)
    for bucket in (0, BUCKETS - 1):  # where there is somebody, and where there is nobody
        with pytest.raises(FencedError):
            await store.customers(0, bucket, limit=9, expected=replace(now, **wrong))


@pytest.mark.parametrize(
    ("wrong", "is_older"),
    [
        ({"epoch": 9}, True),
        ({"position": Position(7, 0)}, True),
        ({"position": Position(0, 0)}, False),
        ({"epoch": 0}, False),
        ({"owner": b"other"}, False),
    ],
)
async def test_a_store_that_came_back_older_is_told_from_one_with_a_newer_owner(
    store: Store, wrong: dict[str, Any], is_older: bool
) -> None:
    """People must hear that Redis lost what was committed; a shard that changed hands is nothing to tell them."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    with pytest.raises(FencedError) as caught:
        await store.verify(0, replace(await store.checkpoint(0), **wrong))
    assert isinstance(caught.value, StoreOlderError) is is_older
    assert ("the store is older" in str(caught.value)) is is_older
    with pytest.raises(StoreOlderError, match="the store is empty"):
        await store.verify(1, await store.checkpoint(0))


async def test_the_body_fences_nobody(store: Store) -> None:
    """It belongs to the segmenter; only epoch, position and output digest are compared."""
    await store.commit(0, next_commit(await store.acquire(0)))
    await store.commit(0, next_commit(replace(await store.checkpoint(0), body=b"another")))
    assert (await store.checkpoint(0)).position == Position(2, 0)


async def test_of_commits_from_one_checkpoint_one_goes_through(store: Store) -> None:
    """Whoever raced and lost is fenced, and left no trace."""
    start = await store.acquire(0)
    commits = [next_commit(start, offset=number + 1, states={f"c{number}": b"x"}, outbox=b"%d" % number) for number in range(8)]
    results = await asyncio.gather(*(store.commit(0, commit) for commit in commits), return_exceptions=True)
    [won] = [number for number, result in enumerate(results) if result is None]
    assert [type(result) for result in results if result is not None] == [FencedError] * 7
    found = await dump(store)
    assert (found.checkpoint, found.states) == (commits[won].checkpoint, [(f"c{won}", b"x")])
    assert found.outbox == [(Position(won + 1, 0), b"%d" % won)]


async def test_of_shards_that_commit_at_the_same_time_none_suffers_for_another(store: Store) -> None:
    """They may share a transaction; what becomes of each is its own affair."""
    starts = [await store.acquire(shard) for shard in range(4)]
    await store.acquire(2)
    commits = [next_commit(start, states={"a": b"%d" % shard}, outbox=b"said") for shard, start in enumerate(starts)]
    results = await asyncio.gather(*(store.commit(shard, commit) for shard, commit in enumerate(commits)), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), type(None), FencedError, type(None)]
    assert [(await dump(store, shard)).states for shard in range(4)] == [[("a", b"0")], [("a", b"1")], [], [("a", b"3")]]


async def test_shards_that_fetch_at_the_same_time_get_each_what_is_theirs(store: Store) -> None:
    """They may share a round trip."""
    for shard in range(4):
        await store.commit(shard, next_commit(await store.acquire(shard), states={"a": b"%d" % shard}, wakes={"a": 10 + shard}))
    found = await asyncio.gather(*(store.fetch(shard, ["a"] * shard, until_ms=12, limit=5) for shard in range(4)))
    assert found == [Fetched([b"%d" % shard] * shard, [(10 + shard, "a")] if shard < 3 else []) for shard in range(4)]


async def test_owners_at_the_same_time_get_epochs_of_their_own(store: Store) -> None:
    """Two workers may believe in the same assignment for a moment."""
    epochs = [checkpoint.epoch for checkpoint in await asyncio.gather(*(store.acquire(0) for _ in range(8)))]
    assert sorted(epochs) == list(range(1, 9))


async def test_shards_do_not_see_each_other(store: Store) -> None:
    """One namespace holds them all."""
    await store.commit(0, next_commit(await store.acquire(0), **FULL))
    before = await dump(store, 0)
    await store.commit(10, next_commit(await store.acquire(10), states={"a": b"other"}, wakes={"a": 1}, outbox=b"x"))
    await store.trim(10, upto=OutputPosition(9, 9))
    assert await dump(store, 0) == before
    assert await store.get_document("doc", shard=10) is None


async def test_states_come_in_the_order_asked_for(store: Store) -> None:
    """Answers are matched by place."""
    await store.commit(0, next_commit(await store.acquire(0), states={"a": b"1", "b": b"2"}))
    for limit in (0, 5):
        assert (await store.fetch(0, ["b", "?", "a", "b"], until_ms=0, limit=limit)).states == [b"2", None, b"1", b"2"]
    assert await store.fetch(0, [], until_ms=0, limit=5) == Fetched([], [])


async def test_wake_ups_come_by_moment_and_then_by_code_point(store: Store) -> None:
    """Timers fire in this order in every store, or two runs would tell two stories."""
    names = NAMES[1:]
    wakes = dict.fromkeys(reversed(names), 50) | {"early": 49, "late": 51, "first": -3, "last": FAR_MS - 1}
    await store.commit(0, next_commit(await store.acquire(0), wakes=wakes))
    expected = [(-3, "first"), (49, "early"), *((50, name) for name in names), (51, "late"), (FAR_MS - 1, "last")]
    assert (await store.fetch(0, [], until_ms=FAR_MS, limit=ALL)).due == expected
    assert (await store.fetch(0, ["x"], until_ms=50, limit=ALL)).due == expected[: 2 + len(names)]
    assert (await store.fetch(0, [], until_ms=49, limit=ALL)).due == expected[:2]
    assert (await store.fetch(0, [], until_ms=FAR_MS, limit=4)).due == expected[:4]
    assert (await store.fetch(0, [], until_ms=FAR_MS, limit=0)).due == []


async def test_a_wake_up_can_move_both_ways_and_comes_once(store: Store) -> None:
    """A customer has one."""
    for due_ms in (50, 20, 70, 20):
        await store.commit(0, next_commit(await store.checkpoint(0) if due_ms != 50 else await store.acquire(0), wakes={"a": due_ms}))
        assert (await store.fetch(0, [], until_ms=FAR_MS, limit=9)).due == [(due_ms, "a")]
    assert (await store.fetch(0, [], until_ms=FAR_MS, limit=9)).due == [(20, "a")]  # to look at it does not take it away


@pytest.mark.parametrize("limit", [1, 100, 10_000])
async def test_customers_come_bucket_by_bucket_and_ascending_by_code_point_in_each(store: Store, limit: int) -> None:
    """New definitions are judged in this order, and it must be the same in every store; a cursor into it survives a crash."""
    names = NAMES + [f"c{number:05}" for number in range(3_000)] + [f"\U0001d11e{number}" for number in range(50)]
    await store.commit(0, next_commit(await store.acquire(0), states=dict.fromkeys(names, b"x")))
    assert await customers_of(store, limit=limit) == sorted(names, key=place_of)


async def test_a_page_has_whole_buckets_and_no_more_of_them_than_asked_for(store: Store) -> None:
    """Whoever walks a large shard has a part of it in hand, and can go on at any bucket."""
    names = [f"c{number:05}" for number in range(640)]
    await store.commit(0, next_commit(await store.acquire(0), states=dict.fromkeys(names, b"x")))
    by_bucket = {bucket: sorted(name for name in names if bucket_of(name) == bucket) for bucket in range(BUCKETS)}
    first = await store.customers(0, 5, limit=len(by_bucket[5]))
    assert first == Page(by_bucket[5], 6)
    more = await store.customers(0, 5, limit=len(by_bucket[5]) + 1)
    assert more == Page(by_bucket[5] + by_bucket[6], 7)
    assert await store.customers(0, BUCKETS - 1, limit=1) == Page(by_bucket[BUCKETS - 1], None)


async def test_a_walk_ends_behind_the_last_customer(store: Store) -> None:
    """Buckets without anybody are no pages."""
    await store.commit(0, next_commit(await store.acquire(0), states={"a": b"1", "b": b"2"}))
    one, other = sorted("ab", key=place_of)
    assert bucket_of(one) < bucket_of(other)
    assert await store.customers(0, 0, limit=1) == Page([one], bucket_of(other))
    assert await store.customers(0, bucket_of(other), limit=1) == Page([other], None)
    await store.commit(0, next_commit(await store.checkpoint(0), states={other: None}))
    assert await store.customers(0, 0, limit=1) == Page([one], None)


async def test_bytes_come_back_as_they_were(store: Store) -> None:
    """States are MessagePack, outputs JSON, names whatever a shop calls its customers."""
    blob = bytes(range(256)) + b"\r\n$-1\r\n"
    name = "a b\u00a0\U0001f600{7}*"
    await store.commit(0, next_commit(await store.acquire(0), states={name: blob, "e": b""}, wakes={name: 5}, outbox=blob))
    found = await dump(store)
    assert sorted(found.states) == sorted([(name, blob), ("e", b"")])
    assert (found.wakes, found.outbox) == ([(5, name)], [(Position(1, 0), blob)])


async def test_a_commit_of_any_size_is_one(store: Store) -> None:
    """More than one command takes: it is still all or nothing."""
    count = 25_000
    big = next_commit(
        await store.acquire(0),
        states={f"c{number}": b"x" for number in range(count)},
        wakes={f"c{number}": number for number in range(count)},
    )
    await store.commit(0, big)
    assert len(await customers_of(store)) == count
    await store.commit(
        0,
        next_commit(big.checkpoint, states=dict.fromkeys(big.states, None), wakes=dict.fromkeys(big.wakes, None), outbox=b"x" * 3_000_000),
    )
    found = await dump(store)
    assert (found.states, found.wakes, len(found.outbox[0][1])) == ([], [], 3_000_000)


async def test_the_outbox_is_read_from_the_oldest(store: Store) -> None:
    """In the order of the story; ordinals are numbers and not text. A log may begin with something to say."""
    checkpoint = await store.acquire(0)
    places = [OutputPosition(0, 0), OutputPosition(1, 2), OutputPosition(1, 10), OutputPosition(2, 0), OutputPosition(10, 0)]
    for place in places:
        commit = replace(next_commit(checkpoint), outbox=(place, b"%d-%d" % place))
        await store.commit(0, commit)
        checkpoint = commit.checkpoint
    await store.commit(0, next_commit(checkpoint))  # has nothing to say
    entries = [(place, b"%d-%d" % place) for place in places]
    assert await store.outbox(0, after=None, limit=9) == entries
    assert await store.outbox(0, after=OutputPosition(0, 0), limit=9) == entries[1:]
    assert await store.outbox(0, after=OutputPosition(1, 2), limit=9) == entries[2:]
    assert await store.outbox(0, after=OutputPosition(1, 3), limit=2) == entries[2:4]
    assert await store.outbox(0, after=OutputPosition(99, 0), limit=9) == []


async def test_trimming_forgets_up_to_a_place_and_no_further(store: Store) -> None:
    """By place, so that a former owner cannot trim what it has not published; repeated it does nothing."""
    checkpoint = await store.acquire(0)
    for step in range(1, 5):
        commit = next_commit(checkpoint, offset=0, step=step, outbox=b"x")
        await store.commit(0, commit)
        checkpoint = commit.checkpoint
    for upto in (OutputPosition(0, 2), OutputPosition(0, 2), OutputPosition(0, 1)):
        await store.trim(0, upto=upto)
        assert [place.ordinal for place, _ in await store.outbox(0, after=None, limit=9)] == [3, 4]
    await store.trim(0, upto=OutputPosition(9, 0))
    assert await store.outbox(0, after=None, limit=9) == []
    again = next_commit(checkpoint, outbox=b"y")
    await store.commit(0, again)
    assert await store.outbox(0, after=None, limit=9) == [(again.position, b"y")]


async def test_a_document_is_put_once(store: Store) -> None:
    """Two workers that start together agree on what the first one wrote."""
    kept = await asyncio.gather(*(store.put_document("manifest", b"%d" % number) for number in range(5)))
    assert len(set(kept)) == 1
    assert await store.put_document("manifest", b"other") == kept[0] == await store.get_document("manifest")
    assert await store.put_document("empty", b"") == b""


async def test_a_note_takes_the_place_of_the_last_one(store: Store) -> None:
    """What a worker says of its shard now is all that anybody wants to know."""
    await store.replace_document("note:0", b"first")
    await store.replace_document("note:0", b"second")
    assert await store.get_document("note:0") == b"second"


async def test_a_shards_own_document_comes_first(store: Store) -> None:
    """It came with the commit that needs it, and is lost only with that."""
    await store.put_document("doc", b"for all")
    assert await store.get_document("doc", shard=0) == b"for all"
    await store.commit(0, next_commit(await store.acquire(0), documents={"doc": b"its own"}))
    assert (await store.get_document("doc", shard=0), await store.get_document("doc")) == (b"its own", b"for all")


async def test_who_only_reads_a_shard_gets_states_and_checkpoint_of_one_moment(store: Store) -> None:
    """An answer about a customer says up to where in the log it holds, while the owner commits."""
    checkpoint = await store.acquire(0)
    assert await store.committed(1, ["a"]) == Committed(Checkpoint(0, Position(0, 0), b"", b""), [None])
    found: list[Committed] = []

    async def read() -> None:
        for _ in range(40):
            found.append(await store.committed(0, ["b", "x", "a"]))
            await asyncio.sleep(0)

    reading = asyncio.create_task(read())
    for offset in range(1, 41):
        commit = next_commit(checkpoint, states=dict.fromkeys(("a", "b"), b"%d" % offset))
        await store.commit(0, commit)
        checkpoint = commit.checkpoint
        await asyncio.sleep(0)
    await reading
    found.append(await store.committed(0, ["b", "x", "a"]))
    assert len({one.checkpoint.position for one in found}) > 1, "nothing was committed between two reads"
    for seen in found:
        offset = seen.checkpoint.position.offset
        assert seen.states == ([b"%d" % offset, None, b"%d" % offset] if offset else [None, None, None])
    assert found[-1].checkpoint == await store.checkpoint(0)
