"""What ``streamer collect`` answered 200 to lies in the log, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from hashlib import sha256
from pathlib import Path
from time import monotonic

import pytest
from aiohttp import ClientSession

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.settings import Settings
from tests.clients.door import SERVER_KEYS, Door
from tests.clients.shop_log import make_topics

from .acknowledged import ANSWER_S, AUTHORIZATION, prepare
from .strangers import bombs, good, half_open, resident_mb, slow

HALF_OPEN = 1_000
GROWTH_MB = 64.0  # of what strangers may cost: 64 kB a connection
SERVER = {"Authorization": AUTHORIZATION}


@pytest.fixture
async def settings(kafka: ApacheKafka | ExternalKafka, fresh_name: str) -> Settings:
    """A log of one test's own."""
    ours = {"kafka": kafka.bootstrap, "topic_prefix": fresh_name, "shards": 3, "create": True}
    made = Settings.model_construct().model_copy(update=ours)
    await make_topics(made, kafka)
    return made


async def test_what_was_answered_200_is_in_the_log_whoever_was_killed(
    kafka: ApacheKafka | ExternalKafka, fresh_name: str, tmp_path: Path
) -> None:
    """``kill -9`` of the collector, of the broker, and of both between each other, under load."""
    if isinstance(kafka, ExternalKafka):
        pytest.fail("this test kills its broker; run it without STREAMER_KAFKA")
    killings = await prepare(kafka, fresh_name, tmp_path, seed=11)
    try:
        await killings.run(["collector", "collector", "broker", "collector"])
        senders = killings.senders
        assert killings.victims == {"collector": 3, "broker": 1}
        assert senders.cut > 0, "no request was on its way when the collector died"
        assert set(senders.answers) <= {200, 429}, "an SDK gives up on anything else"
        assert len(senders.acknowledged) > 1_000, "too little happened to prove anything"
        assert senders.slowest_s < ANSWER_S + 1
        assert await killings.lost() == set()
    finally:
        killings.close()


async def test_told_to_end_under_load_it_answers_for_all_that_it_took(
    kafka: ApacheKafka | ExternalKafka, fresh_name: str, tmp_path: Path
) -> None:
    """SIGTERM: over within ten seconds, and what was answered 200 until then is in the log."""
    assert isinstance(kafka, ApacheKafka)
    killings = await prepare(kafka, fresh_name, tmp_path, seed=12)
    try:
        async with killings.senders.at_work():
            await asyncio.sleep(1.0)
            began = monotonic()
            assert await asyncio.to_thread(killings.door.stop) == 0, killings.door.child.log_tail(40)
            assert monotonic() - began < 10
        assert killings.senders.cut > 0, "nobody sent any more when it ended"
        assert killings.senders.acknowledged
        assert await killings.lost() == set()
    finally:
        killings.close()


async def test_strangers_cost_a_bounded_amount_of_memory_and_keep_nobody_out(settings: Settings, tmp_path: Path) -> None:
    """Connections that say nothing or a byte now and then, and bombs of gzip; ``make soak ARGS=strangers`` has 12,000 connections."""
    door = await asyncio.to_thread(Door, settings, tmp_path, ["http://127.0.0.1:1"])
    try:
        assert await good(door.address, SERVER, 5) == {200: 5}
        before = resident_mb(door.child.pid)
        async with half_open(door.address, HALF_OPEN) as connections, slow(connections[:200:2]):
            assert await bombs(door.address, 40, at_once=10) == {413: 40}
            assert await good(door.address, SERVER, 20) == {200: 20}
            assert resident_mb(door.child.pid) - before < GROWTH_MB
    finally:
        door.kill()


async def test_sighup_reads_the_keys_again(settings: Settings, tmp_path: Path) -> None:
    """Also where the file looks as it did: some tools keep time and size."""
    door = await asyncio.to_thread(Door, settings, tmp_path, ["http://127.0.0.1:1"])
    try:
        assert await good(door.address, SERVER, 1) == {200: 1}
        file = tmp_path / "keys.toml"
        seen, text = file.stat(), file.read_text()
        was, becomes = (sha256(key.encode()).hexdigest() for key in (SERVER_KEYS[0], "another"))
        assert was in text
        file.write_text(text.replace(was, becomes))
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        door.child.process.send_signal(signal.SIGHUP)
        deadline = monotonic() + 10
        while await good(door.address, SERVER, 1) != {401: 1}:
            assert monotonic() < deadline, door.child.log_tail(20)
        assert "keys read" in door.child.log_tail(20)
    finally:
        door.kill()


async def test_two_collectors_share_a_port_and_one_may_die(settings: Settings, tmp_path: Path) -> None:
    """A core each, behind one address."""
    first = await asyncio.to_thread(Door, settings, tmp_path, None, share_port=True)
    second = await asyncio.to_thread(first.twin)
    try:
        deadline = monotonic() + 10
        while not (_taken(first) and _taken(second)):
            assert await good(first.address, {}, 10) == {200: 10}
            assert monotonic() < deadline, "the kernel gives all connections to one"
        first.kill()
        assert await good(first.address, {}, 10) == {200: 10}
    finally:
        first.kill()
        second.kill()


async def test_what_a_collector_refused_is_shown_by_the_offset_of_its_letter(settings: Settings, tmp_path: Path) -> None:
    """It lay nowhere before, so it has no other place to be named by."""
    door = await asyncio.to_thread(Door, settings, tmp_path, None)
    try:
        async with ClientSession() as session, session.post(f"{door.address}/v1/track", data=b'{"event": ') as answer:
            assert answer.status == 400
        line = json.loads(await _dead_letters(settings, "list", "--json"))
        assert (line["letter"], line["offset"], line["reason"]) == (0, None, "not_json")
        assert (await _dead_letters(settings, "show", str(line["shard"]), "--letter", "0")).splitlines()[-1] == '{"event": '
    finally:
        door.kill()


async def _dead_letters(settings: Settings, *words: str) -> str:
    """What the command says."""
    ours = {"STREAMER_KAFKA": settings.kafka, "STREAMER_TOPIC_PREFIX": settings.topic_prefix, "STREAMER_SHARDS": str(settings.shards)}
    command = [sys.executable, "-m", "streamer", "dead-letters", *words]
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **ours}, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert process.returncode == 0, said
    return said.decode()


def _taken(door: Door) -> bool:
    """Whether it has answered for an event."""
    return 'collector_events_accepted_total{key="none"}' in door.figures()
