"""Lift of a deployment: the ledger and the log, read from a broker."""

from __future__ import annotations

import msgspec

from streamer.lift.report import lifts
from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from streamer.local.mock_kafka import MockKafka
from streamer.settings import Settings
from streamer.transports.kafka.clients import producer
from streamer.transports.kafka.topics import ensure_topics
from streamer.transports.kafka.trial_topics import read_trial
from streamer.values import time_text
from streamer.wire import CONTROL_HEADER, EVENTS, LEDGER, TICK

BEGIN_MS = 1_772_000_000_000


def decision(customer: str, kind: str, reason: str | None) -> bytes:
    goal = {"event": "Order Completed", "within_ms": 3_600_000, "value": None}
    data = {"message": "tasting", "key": customer, "at": time_text(BEGIN_MS), "reason": reason, "goal": goal}
    return msgspec.json.encode({"type": kind, "subject": customer, "data": data})


def order(customer: str) -> bytes:
    at = time_text(BEGIN_MS + 1_000)
    return msgspec.json.encode({"type": "track", "event": "Order Completed", "messageId": customer, "userId": customer, "timestamp": at})


async def test_decisions_and_events_of_all_shards_are_brought_together(
    broker: ApacheKafka | ExternalKafka | MockKafka, fresh_name: str
) -> None:
    """A goal may lie in another shard than the first decisions; control records and what is no event only let time pass."""
    settings = Settings(kafka=broker.bootstrap, topic_prefix=fresh_name, shards=2)  # pyright: ignore[reportCallIssue] - all have defaults
    if isinstance(broker, MockKafka):
        for topic in (EVENTS, LEDGER):
            broker.create_topic(settings.topic(topic), 2)
    else:
        await ensure_topics(settings)
    client = producer(settings)
    await client.start()
    try:
        ledger, events = settings.topic(LEDGER), settings.topic(EVENTS)
        await client.send_and_wait(ledger, decision("c-1", "message.send", None), partition=0)
        await client.send_and_wait(ledger, decision("c-2", "message.skip", "holdout"), partition=1)
        await client.send_and_wait(ledger, decision("c-3", "message.skip", "cap"), partition=1)
        await client.send_and_wait(events, order("c-1"), partition=1)
        await client.send_and_wait(events, b"no event", partition=0)
        await client.send_and_wait(events, TICK, partition=0, headers=[(CONTROL_HEADER, b"")])
    finally:
        await client.stop()
    [lift] = lifts(await read_trial(settings))
    arms = lift.contrasts[0].arm, lift.contrasts[0].against
    assert [(arm.customers, arm.reached) for arm in arms] == [(1, 1), (1, 0)]
    assert len((await read_trial(settings, message="tasting", since_ms=BEGIN_MS)).decisions["tasting"]) == 2
    assert not (await read_trial(settings, message="another")).decisions
    assert not (await read_trial(settings, since_ms=BEGIN_MS + 1)).decisions, "they were made before that"


async def test_the_log_is_read_from_the_first_decision_on(broker: ApacheKafka | ExternalKafka | MockKafka, fresh_name: str) -> None:
    """A log of years is not read for a message of this week, and what arrived before a decision is no success of it."""
    settings = Settings(kafka=broker.bootstrap, topic_prefix=fresh_name, shards=1)  # pyright: ignore[reportCallIssue] - all have defaults
    for topic in (EVENTS, LEDGER):
        broker.create_topic(settings.topic(topic), 1)
    client = producer(settings)
    await client.start()
    try:
        early, late = BEGIN_MS - 1_000, BEGIN_MS + 2_000
        await client.send_and_wait(settings.topic(EVENTS), order("c-1"), partition=0, timestamp_ms=early)
        await client.send_and_wait(settings.topic(EVENTS), order("c-2"), partition=0, timestamp_ms=late)
        for customer in ("c-1", "c-2"):
            await client.send_and_wait(settings.topic(LEDGER), decision(customer, "message.send", None), partition=0, timestamp_ms=BEGIN_MS)
    finally:
        await client.stop()
    trial = await read_trial(settings)
    assert {one.assignment.customer: one.reached for one in trial.followed()} == {"c-1": False, "c-2": True}
    assert trial.now_ms == late
