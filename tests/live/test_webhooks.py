"""Deliveries on a real broker: whoever is killed, each change arrives, in order for each customer, and repeats have the same id."""

from __future__ import annotations

import asyncio
import base64
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import msgspec
import pytest
from aiohttp import web
from redis import Redis
from standardwebhooks import Webhook

from streamer.cli.checks.webhook_checks import check_webhooks
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from streamer.segments.change import decode_change
from streamer.webhooks.administration import read_dead, read_log
from streamer.wire import shard_of

from .hooks import SHARDS, VARIABLE, Hooks, Receiver, crowd


@pytest.fixture
async def hooks(kafka: ApacheKafka | ExternalKafka, fresh_name: str, tmp_path: Path) -> AsyncIterator[Hooks]:
    """Topics of one test; its processes end with it."""
    made = Hooks(kafka, fresh_name, tmp_path)
    await made.prepare()
    yield made
    made.close()


async def test_whoever_is_killed_each_change_arrives_in_order_and_repeats_have_its_id(hooks: Hooks) -> None:
    """``kill -9`` under load, with an endpoint that refuses one in ten: no gap, no change before an earlier one of its customer."""
    draw = random.Random(5)

    async def moody(_path: str, _customer: str, _sequence: int) -> int:
        await asyncio.sleep(0.002)
        return 500 if draw.random() < 0.1 else 204

    async with Receiver(moody) as receiver:
        subscription = hooks.subscription(receiver.url)
        await hooks.subscribe(subscription)
        hooks.start()
        hooks.start()
        await hooks.write(crowd(1_500, 1))
        for victim in (0, 1, 2):
            before = len(receiver.arrivals)
            await hooks.until(lambda before=before: len(receiver.arrivals) > before + 100, "deliveries go on")
            hooks.children[victim].kill()
            hooks.start()
            await hooks.write(crowd(300, victim + 2))
        await hooks.until(lambda: receiver.delivered() == hooks.written(), "everything is delivered in order")
        await hooks.until_done(subscription)
        ids = {one.webhook_id: (one.customer, one.sequence) for one in receiver.arrivals}
        assert len(ids) == sum(map(len, hooks.written().values())), "a repeat has another id"
        again = Counter(one.webhook_id for one in receiver.arrivals if one.status == 204)
        assert max(again.values()) > 1, "no delivery was interrupted: nothing is proved"
        assert any(one.status == 500 for one in receiver.arrivals)


async def test_endpoints_that_misbehave_harm_neither_others_nor_other_customers(hooks: Hooks) -> None:
    """One hangs, one redirects, one is gone, one says later, one refuses a customer: an endpoint beside them is served as if alone."""
    customers = crowd(300, 7)
    refused = customers[0]
    later: list[float] = []

    async def answer(path: str, customer: str, _sequence: int) -> int | web.Response:
        match path:
            case "/hangs":
                await asyncio.sleep(60)
            case "/redirects":
                return web.Response(status=307, headers={"Location": "/elsewhere"})
            case "/gone":
                return 410
            case "/later":
                later.append(monotonic())
                if len(later) == 1:
                    return web.Response(status=429, headers={"Retry-After": "2"})
            case "/refuses":
                return 422 if customer == refused else 204
            case _:
                pass
        return 204

    async with Receiver(answer) as receiver:
        paths = ("/hangs", "/redirects", "/gone", "/later", "/refuses", "/well")
        made = {path: hooks.subscription(receiver.url + path, path[1:]) for path in paths}
        made["/later"] = msgspec.structs.replace(made["/later"], in_flight=1)
        await hooks.subscribe(*made.values())
        await hooks.write(customers)
        hooks.start()
        await hooks.until(lambda: receiver.delivered("/well") == hooks.written(), "the endpoint beside them is served")
        others = {customer: sequences for customer, sequences in hooks.written().items() if customer != refused}
        await hooks.until(lambda: receiver.delivered("/refuses") == others, "the other customers are served")
        await hooks.until(lambda: receiver.delivered("/later") == hooks.written(), "who said later is served later")
        assert (await hooks.until_status("gone", "disabled")).why == "the endpoint answered 410 Gone"
        await hooks.until_done(made["/refuses"])

        assert later[1] - later[0] >= 2, "Retry-After was not obeyed"
        assert not any(one.path == "/elsewhere" for one in receiver.arrivals)
        assert sum(one.path == "/redirects" for one in receiver.arrivals) < 100, "the circuit stayed closed"
        assert "/hangs" not in {one.path for one in receiver.arrivals}, "it was answered"
        dead = await read_dead(hooks.settings)
        assert [decode_change(base64.b64decode(one.raw)).subject for one in dead] == [refused] * len(hooks.written()[refused])
        assert [one.last.attempt for one in dead] == [10] * len(dead)
        lines = [line for line in await read_log(hooks.settings) if line.subscription == "refuses" and line.verdict == "failed"]
        assert {line.status for line in lines} == {422}
        assert len(lines) == 10 * len(dead)

        asked = monotonic()
        hooks.children[0].process.terminate()  # while a request is under way at the endpoint that hangs
        await hooks.until(lambda: not hooks.children[0].alive, "it ends", 15)
        assert monotonic() - asked < 10
        assert hooks.children[0].process.returncode == 0


async def test_a_subscription_is_made_tried_paused_and_replayed_by_hand(hooks: Hooks) -> None:
    """The way of a developer through the command line, on a running deliverer; and what is refused says why."""
    async with Receiver() as receiver:
        hooks.start()
        url = receiver.url + "/hooks"

        async def said(*words: str, code: int = 0) -> str:
            return await hooks.command(*words, code=code)

        wrong = await said("add", "shop", "--url", "https://10.0.0.1/", "--secret", f"env:{VARIABLE}", code=3)
        assert "the address 10.0.0.1 is internal" in wrong
        wrong = await said("add", "shop", "--url", url, "--secret", f"env:{VARIABLE}", "--segment", "cart_lef", code=3)
        assert "no segment 'cart_lef' in the definitions in force (did you mean cart_left?)" in wrong
        wrong = await said("add", "shop", "--url", url, "--secret", hooks.secret, code=3)
        assert "expected one or two of env:NAME or file:/PATH" in wrong
        assert hooks.secret not in wrong, "a secret is repeated on the terminal"

        await said("add", "shop", "--url", url, "--secret", f"env:{VARIABLE}", "--segment", "cart_left", "--from", "beginning")
        assert "shop: delivered, status 204" in await said("test", "shop")
        await hooks.write(["c-1", "c-2", "c-1"])
        await hooks.until(lambda: receiver.delivered("/hooks").get("c-1") == [1, 2], "changes are delivered")
        ids = {one.webhook_id for one in receiver.arrivals if one.customer != "example"}
        Webhook(hooks.secret).verify(receiver.arrivals[-1].body, receiver.arrivals[-1].headers)

        await said("pause", "shop")
        await hooks.until_status("shop", "paused")
        await hooks.until(hooks.is_ready, "it is ready with nothing to do")
        before = len(receiver.arrivals)
        await hooks.write(["c-1"])
        await said("resume", "shop")
        await hooks.until(lambda: receiver.delivered("/hooks").get("c-1") == [1, 2, 3], "it goes on where it was")
        assert [one.sequence for one in receiver.arrivals[before:]] == [3]

        await said("replay", "shop", "--from", "beginning")
        await hooks.until(lambda: len(receiver.arrivals) >= before + 5, "everything goes out once more")
        again = [one.webhook_id for one in receiver.arrivals[before:]]
        assert set(again) >= ids, "a replay has other ids"
        await hooks.until_done(await hooks.until_status("shop", "active"))
        wrong = await said("replay", "shop", "--from", "9:0", "--customer", "c-1", code=3)
        assert "where changes of this customer lie" in wrong
        before, shard = len(receiver.arrivals), shard_of("c-1", SHARDS)
        assert "shop: 3 delivered, 0 refused" in await said("replay", "shop", "--from", "beginning", "--customer", "c-1")
        assert "shop: 1 delivered, 0 refused" in await said("replay", "shop", "--from", f"{shard}:0", "--to", f"{shard}:1")
        sent = [(one.customer, one.sequence) for one in receiver.arrivals[before:]]
        assert sent[:3] == [("c-1", 1), ("c-1", 2), ("c-1", 3)]
        assert {one.webhook_id for one in receiver.arrivals[before:]} <= {one.webhook_id for one in receiver.arrivals[:before]}
        await hooks.until_logged(12)
        assert (await said("log", "shop")).count(": delivered, status 204") == 12
        assert "active: entered, exited of cart_left" in await said("list")
        await hooks.until_done(await hooks.until_status("shop", "active"))
        [checked] = await check_webhooks(hooks.settings)
        assert (checked.verdict, checked.found) == ("ok", "0 records behind in 3 shards")
        await said("remove", "shop")
        assert await said("list", code=1) == ""


async def test_an_emptied_redis_loses_no_subscription_and_no_position(hooks: Hooks, own_redis: RedisServer) -> None:
    """Both lie in Kafka: after a restart beside an empty store only what is new goes out."""
    hooks.store = own_redis.url
    async with Receiver() as receiver:
        subscription = hooks.subscription(receiver.url)
        await hooks.subscribe(subscription)
        hooks.start()
        await hooks.write(crowd(100, 3))
        await hooks.until(lambda: receiver.delivered() == hooks.written(), "everything is delivered")
        await hooks.until_done(subscription)
        hooks.children[0].kill()
        with Redis.from_url(own_redis.url) as store:
            store.set("something", "1")
            store.flushall()
            assert store.dbsize() == 0
        hooks.start()
        before = len(receiver.arrivals)
        await hooks.write(crowd(50, 4))
        await hooks.until(lambda: receiver.delivered() == hooks.written(), "what is new is delivered")
        assert len(receiver.arrivals) == before + 50, "something came again"
