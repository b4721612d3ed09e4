"""Commands through a real worker, and without one: done once, answered, and said as it is where nobody answers."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path
from secrets import token_hex
from time import time
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from streamer.commands import Answer, Command, Erase, Skip, decode_answer, encode_command
from streamer.deployment.asking import ask
from streamer.errors import SettingsError, UnansweredError
from streamer.events.dead_letter import read_dead_letter
from streamer.flow.checkpoint import decode_body
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.redis import RedisServer
from streamer.transports.kafka.commands_topic import send_command
from streamer.transports.kafka.journal import read_amendments
from streamer.transports.kafka.partition import read_partition
from streamer.values import time_text
from streamer.wire import ANSWERS, COMMANDS, DEAD_LETTERS, EVENTS, decode_control, shard_of
from tests.walk import customers_of

from .deployment import SHARDS, Deployment

# A worker of a release that halts at one event, and at another one that comes after a certain log time.
HALTING = """
import os
import sys
from streamer.errors import HaltError
from streamer.flow.evaluation import Evaluator
sound = Evaluator._remember
def remember(self, state, event, t, now):
    if event.event == "Never" or event.event == "Early" and state.origin_ms + now > int(os.environ["LATEST_MS"]):
        raise HaltError("this release cannot go on here")
    return sound(self, state, event, t, now)
Evaluator._remember = remember
from streamer.cli import main
from tests.walk import customers_of
sys.argv = ["streamer", "worker"]
main()
"""


async def erasures(shop: Deployment, customer: str) -> int:
    """How many erasures of a customer lie in the log."""
    records = [record for record in await shop.read(EVENTS, shard_of(customer, SHARDS)) if record.headers]
    controls = [decode_control(record.value) for record in records]
    return sum(control.control == "erase" and control.customer == customer for control in controls)


async def answers(shop: Deployment) -> list[Answer]:
    """All that workers have said."""
    return [decode_answer(record.value or b"") async for records in read_partition(shop.settings, ANSWERS, 0) for record in records]


async def commands(shop: Deployment) -> list[Any]:
    """All records of the topic of commands."""
    return [record async for records in read_partition(shop.settings, COMMANDS, 0) for record in records]


async def until_answered(shop: Deployment, command_id: str, *, deadline_s: float = 60) -> list[Answer]:
    """The answers to one command, once the last of them is there."""
    async with asyncio.timeout(deadline_s):
        while True:
            found = [answer for answer in await answers(shop) if answer.id == command_id]
            if any(answer.outcome != "begun" for answer in found):
                return found
            await asyncio.sleep(0.1)


async def test_an_erasure_is_done_by_a_worker_and_the_customer_is_gone(shop: Deployment) -> None:
    """What the command line says is true when it says it, and what remains is exact."""
    shop.start_worker()
    await shop.load(3)
    said = await shop.command("erase", "customer-7")
    assert "erasure of customer-7 is in the log" in said, said
    assert await erasures(shop, "customer-7") == 1
    await shop.until_caught_up()
    async with shop.store() as store:
        shard = shard_of("customer-7", SHARDS)
        assert "customer-7" not in await customers_of(store, shard)
    assert [answer.outcome for answer in await answers(shop)] == ["begun", "done"]
    assert not any("customer-7" in answer.text for answer in await answers(shop))
    assert set(await shop.stop_all()) == {0}, shop.logs()
    assert (await shop.reckon()).changes > 20, "too little happened to prove anything"


async def test_without_a_worker_it_says_so_and_only_an_erasure_is_done_later(shop: Deployment) -> None:
    """A skip that is carried out in the morning, by the first worker of the day, would pass over another record than was meant."""
    with pytest.raises(UnansweredError, match=r"no worker answered within 1 s.*Nothing was done, and nothing will be"):
        await ask(shop.settings, Skip(0, "a test"), wait_seconds=1)
    with pytest.raises(UnansweredError, match="the first worker to come does it, within 7 days"):
        await ask(shop.settings, Erase("customer-3"), wait_seconds=1)
    assert await erasures(shop, "customer-3") == 0
    shop.start_worker()
    await shop.until(lambda found: all(checkpoint.position.offset > 1 for checkpoint in found))
    asked = [msgspec.json.decode(record.value)["id"] for record in await commands(shop)]
    for command_id in asked:
        await until_answered(shop, command_id)
    assert [answer.outcome for answer in await answers(shop)] == ["expired", "begun", "done"]
    assert await erasures(shop, "customer-3") == 1
    assert [one async for one in read_amendments(shop.settings, 0)] == []
    assert set(await shop.stop_all()) == {0}, shop.logs()


async def test_the_command_line_ends_with_a_code_of_its_own_where_no_worker_answers(shop: Deployment) -> None:
    """A script can tell it from a wrong setting, and may try again."""
    assert await shop.exit_code("erase", "customer-3", "--wait", "1") == 5


async def test_a_record_that_is_no_command_and_one_that_comes_again_stop_nothing(shop: Deployment) -> None:
    """Whatever lies in the topic, the commands behind it are done, and each of them once."""
    shop.start_worker()
    now_ms = int(time() * 1_000)
    command = Command(token_hex(16), now_ms, now_ms + 600_000, Erase("customer-5"), "a test")
    later = Command(token_hex(16), now_ms, now_ms + 600_000, Erase("customer-6"), "a test")
    async with AIOKafkaProducer(bootstrap_servers=shop.settings.kafka) as client:
        for raw in (b"\xff\x00 no command", None, b"{}", encode_command(command), encode_command(command)):
            await client.send_and_wait(shop.settings.topic(COMMANDS), raw, partition=0, key=b"x")
        await send_command(client, shop.settings, later)
    await until_answered(shop, later.id)
    assert [answer.outcome for answer in await until_answered(shop, command.id)] == ["begun", "done"]
    assert (await erasures(shop, "customer-5"), await erasures(shop, "customer-6")) == (1, 1)
    assert set(await shop.stop_all()) == {0}, shop.logs()


async def test_a_worker_that_stands_still_leaves_its_commands_to_another(shop: Deployment) -> None:
    """One worker has the topic; a command that somebody waits for must not wait for that one."""
    first = shop.start_worker()
    await shop.until(lambda found: all(checkpoint.position.offset > 1 for checkpoint in found))
    first.pause()
    now_ms = int(time() * 1_000)
    command = Command(token_hex(16), now_ms, now_ms + 600_000, Erase("customer-9"), "a test")
    async with shop.producer() as client:
        await send_command(client, shop.settings, command)
    shop.start_worker()
    found = await until_answered(shop, command.id, deadline_s=90)
    first.resume()
    assert found[-1].outcome == "done"
    assert await erasures(shop, "customer-9") == 1
    assert set(await shop.stop_all()) == {0}, shop.logs()


async def test_once_keys_hold_a_command_without_a_signature_is_refused(shop: Deployment) -> None:
    """Whoever may write into that topic, and has no key, would otherwise erase whom they like in a worker's name."""
    keys = {"STREAMER_SIGNING_KEYS": f"k1:{b64encode(b'1' * 32).decode()}"}
    shop.start_worker(**keys)
    await shop.until(lambda found: all(checkpoint.position.offset > 1 for checkpoint in found))
    assert "k1 now in" in await shop.command("keys", "use", "k1", **keys)
    await shop.until(lambda found: all(decode_body(checkpoint.body).trust.keys for checkpoint in found if checkpoint.body))
    now_ms = int(time() * 1_000)
    forged = Command(token_hex(16), now_ms, now_ms + 600_000, Erase("customer-5"), "a test")
    async with shop.producer() as client:
        await send_command(client, shop.settings, forged)
    found = await until_answered(shop, forged.id)
    assert [answer.outcome for answer in found] == ["refused"]
    assert "not signed" in found[0].text
    with pytest.raises(SettingsError, match="'k1', which is not in STREAMER_SIGNING_KEYS"):
        await ask(shop.settings, Erase("customer-5"), wait_seconds=5)
    assert await erasures(shop, "customer-5") == 0
    assert "is in the log" in await shop.command("erase", "customer-5", **keys)
    assert await erasures(shop, "customer-5") == 1
    assert set(await shop.stop_all()) == {0}, shop.logs()


async def test_what_cannot_be_done_as_asked_for_is_refused_with_the_reason(shop: Deployment) -> None:
    """A person reads it at night, and the worker goes on."""
    shop.start_worker()
    await shop.load(1)
    for words, says in (
        (("shards", "resume", "0", "--at", "1", "--why", "x"), "positions never go back"),
        (("shards", "resume", "99", "--skip", "--why", "x"), "there is no shard 99"),
        (("shards", "rebuild", "99"), "there is no shard 99"),
        (("models", "unpin", "churn"), "nothing was learned yet"),
        (("models", "pin", "churn", "3"), "nothing was learned yet"),
        (("dead-letters", "redrive", "--shard", "99"), "there is no shard 99"),
    ):
        said = await shop.command(*words)
        assert says in said, (words, said)
        assert said.startswith("refused by "), (words, said)
    assert "0 records are in the log again, 0 were not sent" in await shop.command("dead-letters", "redrive", "--all")
    assert set(await shop.stop_all()) == {0}, shop.logs()


async def test_a_halted_shard_passes_over_a_record_or_bounds_its_arrival_as_a_person_says(
    kafka: ApacheKafka | ExternalKafka, own_redis: RedisServer, fresh_name: str, tmp_path: Path
) -> None:
    """The worker that halted it does the command, takes the shard up by itself, and goes on behind the record."""
    async with Deployment(kafka.bootstrap, own_redis.url, fresh_name, tmp_path, tick=0) as shop:
        await shop.prepare()
        script, latest_ms = tmp_path / "halting.py", int(time() * 1_000)
        script.write_text(HALTING, encoding="utf-8")
        shop.start_worker(str(script), LATEST_MS=str(latest_ms))
        await shop.until(lambda found: all(checkpoint.position.offset >= 1 for checkpoint in found))
        async with shop.producer() as client:
            for shard, name in ((0, "Never"), (1, "Early")):
                customer = next(name for name in map(str, range(100)) if shard_of(name, SHARDS) == shard)
                event = {"event": name, "messageId": "1", "userId": customer, "timestamp": latest_ms}
                for number in (1, 2):  # what comes behind waits too
                    event |= {"messageId": str(number), "event": name if number == 1 else "Product Viewed"}
                    await client.send_and_wait(shop.settings.topic(EVENTS), msgspec.json.encode(event), partition=shard)
        for shard in (0, 1):
            await shop.until_problem(f"shard {shard}: halted")
        said = await shop.command("shards", "resume", "0", "--skip", "--why", "a test")
        assert said.startswith("amended: skip at offset 1 of shard 0"), said
        said = await shop.command("shards", "resume", "1", "--arrival", time_text(latest_ms), "--why", "a test")
        assert said.startswith("amended: arrival at offset 1 up to 3 of shard 1"), said
        await shop.until(lambda found: all(found[shard].position.offset == 3 for shard in (0, 1)), deadline_s=30)
        assert [read_dead_letter(record.value).reason for record in await shop.read(DEAD_LETTERS, 0)] == ["passed_over"]
        assert await shop.read(DEAD_LETTERS, 1) == []
        assert set(await shop.stop_all()) == {0}, shop.logs()
