"""A segment that is defined over a log that is there already is right at once, whatever happens to the workers on the way."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.customers.state import State, decode_state
from streamer.deployment.connecting import starting
from streamer.deployment.publishing import publish_definitions
from streamer.flow.checkpoint import decode_body
from streamer.language.definitions import load_definitions
from streamer.local.children import process_exists
from streamer.stores.memory import MemoryStore
from streamer.transports.kafka.clients import log_record
from streamer.wire import EVENTS, LogRecord, definitions_control, shard_of
from streamer.worker.status.shard_notes import read_note
from tests.bench.usage import children_of
from tests.walk import customers_of

from .deployment import DEFINITIONS, SHARDS, Deployment

if TYPE_CHECKING:
    from streamer.local.children import Child
    from streamer.stores.base import Store

EVENTS_BEFORE = 6_000
NEVER = '  never: {for: looked and never bought, when: \'did("Product Viewed") and never("Order Completed")\'}\n'
LOYAL = "  loyal: {for: has bought often, when: 'count(\"Order Completed\") >= 15'}\n"

# A worker whose lanes fold slowly enough to be killed in the middle.
SLOW = """
import asyncio
import sys
from streamer.worker.shards import lane_pace
lane_pace.SLICE_RECORDS = 20
swift = lane_pace.LanePace._until_live_has_room
async def slow(self):
    await asyncio.sleep(0.1)
    await swift(self)
lane_pace.LanePace._until_live_has_room = slow
from streamer.cli import main
if __name__ == "__main__":  # the processes that fold lanes run all but this
    sys.argv = ["streamer", "worker"]
    main()
"""


async def fill(shop: Deployment, events: int) -> None:
    """Customers' events at once, so that there is a past."""
    async with shop.producer() as client:
        for _ in range(events):
            customer, raw = shop.event()
            await client.send(shop.settings.topic(EVENTS), raw, key=customer.encode(), partition=shard_of(customer, SHARDS))


async def publish(shop: Deployment, file: Path, more: str) -> int:
    file.write_text(DEFINITIONS + more)  # noqa: ASYNC240 - a few lines
    async with starting(shop.settings) as (client, store):
        found = await publish_definitions(shop.settings, client, store, file)
    assert found.waiting == list(range(SHARDS)), "every shard has a past"
    return found.publication.version


async def folded(shop: Deployment) -> int:
    """How many records of the log the lanes have folded, as far as their workers have said."""
    async with shop.store() as store:
        notes = [await read_note(store, shard) for shard in range(SHARDS)]
    return sum(note.status.lane.folded for note in notes if note is not None and note.status.lane is not None)


def folding(worker: Child) -> set[int]:
    """The processes of a worker that fold lanes."""
    return {pid for pid in children_of(worker.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}


async def until_folding(shop: Deployment, worker: Child, besides: set[int]) -> set[int]:
    """Wait until lanes are folded in the middle of their log, by processes other than these; return them."""
    async with asyncio.timeout(60):
        while not (found := folding(worker) - besides) or not 0 < await folded(shop) < EVENTS_BEFORE:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found


async def states(store: Store, shard: int) -> dict[str, State]:
    customers = await customers_of(store, shard)
    found = (await store.fetch(shard, customers, until_ms=0, limit=0)).states
    return {customer: decode_state(blob or b"") for customer, blob in zip(customers, found, strict=True)}


async def replayed(shop: Deployment, file: Path, shard: int, records: list[LogRecord], upto: int) -> MemoryStore:
    """The log as if the definitions of a file had held from its first record on."""
    found = load_definitions(file)
    first = records[0]._replace(value=definitions_control(found.content(), found.digest, 99))
    return (await shop.told(shard, [first, *records[1:]], upto))[2]


async def test_a_worker_killed_while_it_folds_the_past_costs_nothing_of_it(shop: Deployment, tmp_path: Path) -> None:
    """Published twice in a row, with events all the while. The processes that fold are killed in the middle, then the worker, with which
    they end: members are those of a replay from the first record on."""
    slow = tmp_path / "slow.py"
    slow.write_text(SLOW)
    worker = shop.start_worker(str(slow))
    await fill(shop, EVENTS_BEFORE)
    await shop.until_caught_up()
    load = asyncio.create_task(shop.load(8))
    file = tmp_path / "newer.yaml"
    assert await publish(shop, file, NEVER) == 2
    first = await until_folding(shop, worker, set())
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    second = await until_folding(shop, worker, first)
    worker.kill()
    async with asyncio.timeout(60):
        while any(map(process_exists, first | second)):  # noqa: ASYNC110 - of a process that is not ours
            await asyncio.sleep(0.1)
    assert await publish(shop, file, NEVER + LOYAL) == 3
    shop.start_worker()
    await shop.until(lambda found: all(one.body and decode_body(one.body).version == 3 for one in found), deadline_s=30)
    await load
    await shop.until_caught_up()
    assert set(await shop.stop_all()) == {0}, shop.logs()
    said = await shop.command("segments", "status")
    assert "version 3 holds in shards 0, 1, 2" in said
    assert "warming" not in said
    members = 0
    async with shop.store() as store:
        for shard in range(SHARDS):
            checkpoint = await store.checkpoint(shard)
            assert not decode_body(checkpoint.body).since_ms, "nothing is warming"
            records = [log_record(record) for record in await shop.read(EVENTS, shard)]
            mine = await states(store, shard)
            theirs = await states(await replayed(shop, file, shard, records, checkpoint.position.offset), shard)
            assert {one: state.members for one, state in mine.items()} == {one: state.members for one, state in theirs.items()}
            assert {one: state.slots for one, state in mine.items()} == {one: state.slots for one, state in theirs.items()}
            members += sum(len(state.members) for state in mine.values())
    assert members > 40, "too little happened to prove anything"
    assert (await shop.reckon()).changes > 50, "too little happened to prove anything"
