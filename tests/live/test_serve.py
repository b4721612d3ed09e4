"""``streamer serve`` on a real broker: streams that are cut anywhere have neither a gap nor a repetition."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic

import aiohttp

from .change_readers import ChangeWriter, ResumingReader, ServeProcess, by_shard
from .deployment import Deployment


async def until(holds: object, deadline_s: float = 30) -> None:
    """Wait for something to hold."""
    assert callable(holds)
    deadline = monotonic() + deadline_s
    while not holds():
        assert monotonic() < deadline, "it did not come"
        await asyncio.sleep(0.02)


async def test_a_stream_has_each_change_once_whatever_is_killed(shop: Deployment, tmp_path: Path) -> None:
    """The server is killed with ``kill -9`` under load, again and again; readers come back with the last id that they got."""
    await shop.prepare()
    serve = ServeProcess(shop.settings, tmp_path)
    try:
        await serve.until_ready()
        everything, quiet = ResumingReader(serve.url), ResumingReader(serve.url, "?segments=quiet")
        reading = [asyncio.create_task(reader.run()) for reader in (everything, quiet)]
        async with shop.producer() as client:
            writer = ChangeWriter(shop.settings, client)
            await asyncio.gather(everything.connected.wait(), quiet.connected.wait())
            for _ in range(4):
                await writer.write(60)
                await until(lambda: set(everything.ids) & set(writer.written[-60:]))  # in the middle of what it sends
                serve.child.kill()
                await writer.write(60)  # while nobody serves
                serve.start()
            await writer.write(60)
            await until(lambda: len(everything.ids) >= len(writer.written))
            wanted = len(writer.written) // 2
            await until(lambda: len(quiet.ids) >= wanted)
            assert not [task for task in reading if task.done()], [task.exception() for task in reading if task.done()]
        for task in reading:
            task.cancel()
        assert serve.starts == 5
        assert min(everything.cuts, quiet.cuts) >= 4, "nobody was cut"
        assert writer.repeated > 100, "the topic repeats nothing"
        assert by_shard(everything.ids) == by_shard(writer.written)
        assert len(quiet.ids) == len(set(quiet.ids)) == wanted
    finally:
        serve.child.kill()


async def test_an_id_that_cannot_be_gone_on_from_is_refused_with_what_was_expected(shop: Deployment, tmp_path: Path) -> None:
    """A stream that went on somewhere else would have a gap, and nobody would know."""
    await shop.prepare()
    serve = ServeProcess(shop.settings, tmp_path)
    try:
        await serve.until_ready()
        async with aiohttp.ClientSession() as session:
            for last_id, says in (
                ("nonsense", "positions of 3 shards"),
                ("0:1,1:1", "3 shards"),
                ("0:0,1:999,2:0", "shard 1 has not come"),
            ):
                async with session.get(f"{serve.url}/v1/changes", headers={"Last-Event-ID": last_id}) as response:
                    body = await response.json()
                assert (response.status, body["code"], body["path"]) == (400, "bad_cursor", "header.Last-Event-ID")
                assert says in body["message"]
        began = monotonic()
        serve.child.process.terminate()
        await asyncio.to_thread(serve.child.process.wait, 10)
        assert monotonic() - began < 10
        assert serve.child.process.returncode == 0, serve.child.log_tail(20)
    finally:
        serve.child.kill()
