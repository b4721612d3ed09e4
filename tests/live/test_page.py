"""The page over a real deployment: figures of the command line, and a screen that goes on through a worker's death."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from time import monotonic, time

import aiohttp
from aiokafka import AIOKafkaProducer

from streamer.cli.segment_sizes import read_sizes
from streamer.cli.shard_clocks import clocks_of
from streamer.events.redaction import CLOCK_STEPS
from streamer.exports.making import exported
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from streamer.wire import EVENTS, shard_of

from .change_readers import ServeProcess
from .deployment import SHARDS, Deployment

DEFINITIONS = """
segments:
  buyer: {for: bought, when: 'did("Order Completed")'}
  busy: {for: many views, when: 'count("Product Viewed") >= 4'}
  quiet: {for: nothing for a while, when: 'did("Order Completed") and idle("*") >= "20m"'}
"""


async def write(shop: Deployment, client: AIOKafkaProducer, customer: str, name: str, number: int) -> None:
    """An event into the log."""
    value = json.dumps(
        {"event": name, "userId": customer, "messageId": f"{customer}-{name}-{number}", "timestamp": int(time() * 1_000)}
    ).encode()
    await client.send_and_wait(shop.settings.topic(EVENTS), value, key=customer.encode(), partition=shard_of(customer, SHARDS))


async def page(session: aiohttp.ClientSession, address: str) -> str:
    """A page as somebody reads it."""
    async with session.get(address) as response:
        assert response.status == 200, address
        return " ".join(re.sub("<[^>]*>", " ", await response.text()).split())


async def until_shown(session: aiohttp.ClientSession, address: str, wanted: str, deadline_s: float = 60) -> str:
    """The page, once it says something."""
    deadline = monotonic() + deadline_s
    while not re.search(wanted, found := await page(session, address)):
        assert monotonic() < deadline, f"{wanted!r} did not come: {found[:600]}"
        await asyncio.sleep(0.2)
    return found


async def check_export(session: aiohttp.ClientSession, url: str, shop: Deployment) -> None:
    """The file of a customer is what the command line prints, but for the moments at which they were made."""
    async with session.get(f"{url}/customers/c-7/export") as response:
        found = await response.json()
    printed = json.loads(b"\n".join([line async for line in exported(shop.settings, "c-7")]))
    assert [one["event"]["messageId"] for one in found["events"]] == ["c-7-Order Completed-7"]
    assert [one["value"]["data"]["segment"] for one in found["changes"]] == ["buyer"]
    assert found["remembered"]["standing"]["memberships"]["buyer"]["in"] is True
    for name in ("ids", "events", "changes", "decisions", "messages", "dead_letters", "attempts", "not_looked_at"):
        assert found[name] == printed[name], name
    assert found["remembered"]["memories"] == printed["remembered"]["memories"]


async def check_publication(session: aiohttp.ClientSession, url: str) -> None:
    """A segment is tried, seen and published beside the others, and is in force with the past that it had."""
    text = """segments: {fresh: {for: x, when: 'segment("buyer") and count("Order Completed", within="1d") >= 1'}}"""
    async with session.get(f"{url}/try") as response:
        [form_key, *_] = re.findall(r'name="form_key" value="([0-9a-f]{64})"', await response.text())
    async with session.post(f"{url}/publication", data={"form_key": form_key, "what": "look", "text": text}) as response:
        looked = await response.text()
    assert re.search(r">fresh</bdi></th><td class=\"n\">0</td><td class=\"n in\">20</td>", looked), looked
    [version] = re.findall(r'name="version" value="([0-9]+)"', looked)
    form = {"form_key": form_key, "what": "publish", "text": text, "version": version}
    async with session.post(f"{url}/publication", data=form, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/publication")
    await until_shown(
        session, f"{url}/publication", f"Version {int(version) + 1} was published last. [0-9a-f]{{32}} It holds in all shards"
    )
    await until_shown(session, f"{url}/segments?q=fresh", "fresh x 20")
    await until_shown(session, f"{url}/segments?q=buyer", "buyer bought 20")
    async with session.post(f"{url}/publication", data=form, allow_redirects=False) as response:
        assert response.status == 409
        assert "something else was published meanwhile" in await response.text()


async def test_the_page_shows_what_the_deployment_does_and_goes_on_through_a_workers_death(
    kafka: ApacheKafka | ExternalKafka, own_redis: RedisServer, fresh_name: str, tmp_path: Path
) -> None:
    """Sizes, flows and what timers will bring are those of the command line; a stream that is open shows what another worker does."""
    async with Deployment(kafka.bootstrap, own_redis.url, fresh_name, tmp_path, definitions=DEFINITIONS) as shop:
        await shop.prepare()
        serve, first = ServeProcess(shop.settings, tmp_path), shop.start_worker()
        try:
            await serve.until_ready()
            async with shop.producer() as client, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
                for number in range(20):
                    await write(shop, client, f"c-{number}", "Order Completed", number)
                await until_shown(session, f"{serve.url}/workers", "Shards at work 3 / 3")
                await until_shown(session, f"{serve.url}/segments?q=buyer", "buyer bought 20 20 0 100.0% 0 0")
                await until_shown(session, f"{serve.url}/segments/quiet", "Will enter within the hour 20")
                lines = {line.segment: line for line in await read_sizes(shop.settings)}
                assert [(one.size, one.entered, one.left) for one in (lines["buyer"], lines["busy"])] == [(20, 20, 0), (0, 0, 0)]
                assert (lines["quiet"].will_enter, lines["quiet"].is_bounded) == (20, False)
                await write(shop, client, "c-9", "", 1)
                await until_shown(session, f"{serve.url}/dead-letters", "1 Re-drive .* c-9")
                await until_shown(session, f"{serve.url}/ledger", "Show There is no such decision among the newest")
                await until_shown(session, f"{serve.url}/customers/c-7", "1 record of theirs is noted.* Order Completed → entered buyer")
                await until_shown(session, f"{serve.url}/sources", "Of 20 of the newest events.* Order Completed c-…")
                assert await clocks_of(shop.settings, 1_000) == [("right", 20), *((step, 0) for step in CLOCK_STEPS[1:])]
                await check_export(session, serve.url, shop)
                await check_publication(session, serve.url)
                async with session.get(f"{serve.url}/live/customers/c-7") as stream:
                    first.kill()
                    second = shop.start_worker()
                    for number in range(4):
                        await write(shop, client, "c-7", "Product Viewed", number)
                    async with asyncio.timeout(60):
                        said = ""
                        while 'href="/segments/busy"' not in said:
                            said += (await stream.content.readany()).decode()
                assert second.alive
                assert not first.alive
            serve.child.process.terminate()
            assert await asyncio.to_thread(serve.child.process.wait, 10) == 0, serve.child.log_tail(20)
        finally:
            serve.child.kill()
