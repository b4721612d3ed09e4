"""From the broker's time of an event that names two ids to the broker's time of ``customer.merged``, at half of what the worker can do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import Final

from streamer.errors import SettingsError
from streamer.flow.checkpoint import decode_body
from streamer.segments.merge import MERGED, decode_merge, is_merge
from streamer.transports.kafka.clients import producer
from streamer.transports.kafka.partition import read_partition
from streamer.values import time_text
from streamer.wire import CHANGES, EVENTS

from .deployment import SHARDS, Deployment, Servers
from .latency import WARM_SHARE
from .library import twenty
from .report import Report, percentile
from .sending import send_steadily
from .shop import Made

EVENTS_A_LOGIN: Final = 100  # of customers who do not log in
EVENTS_A_VISIT: Final = 3  # under the id of a visitor, before the login
LOGIN: Final = "login-"
DEADLINE_S: Final = 120.0
POLL_S: Final = 0.05

_LOGIN_BEGINS: Final = f'"messageId":"{LOGIN}'.encode()


def with_logins(made: Iterator[Made], apart: int) -> Iterator[Made]:
    """The shop's events, and among them visitors, each of whom logs in as one of its customers ``apart`` events of the shop later."""
    visitors: deque[tuple[int, int]] = deque()
    for count, one in enumerate(made):
        yield one
        number, rest = divmod(count, EVENTS_A_LOGIN)
        if rest < EVENTS_A_VISIT:
            yield Made(f"an-{number}", one.at_ms, _visit(number, rest, one.at_ms))
            if rest == EVENTS_A_VISIT - 1:
                visitors.append((count + apart, number))
        if visitors and visitors[0][0] <= count:
            _, number = visitors.popleft()
            yield Made(one.customer, one.at_ms, _login(number, one))


def _visit(number: int, step: int, at_ms: int) -> bytes:
    return _body("Product Added", f"visit-{number}-{step}", at_ms, f'"anonymousId":"an-{number}"')


def _login(number: int, one: Made) -> bytes:
    return _body("Signed In", f"{LOGIN}{number}", one.at_ms, f'"anonymousId":"an-{number}","userId":"{one.customer}"')


def _body(event: str, message: str, at_ms: int, ids: str) -> bytes:
    properties = '{"product_id":"p-0001","category":"Shoes","brand":"brand-001","price":20.5,"currency":"EUR","quantity":1}'
    stamp = time_text(at_ms)
    return f'{{"type":"track","event":"{event}","messageId":"{message}",{ids},"timestamp":"{stamp}","properties":{properties}}}'.encode()


async def measure(report: Report, servers: Servers, made: Iterator[Made], per_second: float) -> None:
    """p50, p99 and the worst, in milliseconds. ``made`` carries the present as its times."""
    part = "identity"
    report.begin(part, f"one login in {EVENTS_A_LOGIN} events, {per_second:,.0f} events a second; broker's time to broker's time")
    deployment = Deployment(servers, "bench-identity", log_time=False)
    try:
        await deployment.define(twenty())
        deployment.start_worker()
        await deployment.work_off()
        client = producer(deployment.settings)
        await client.start()
        try:
            load = list(with_logins(made, apart=int(per_second)))
            await send_steadily(client, deployment.settings.topic(EVENTS), load, deployment.ends, per_second)
        finally:
            await client.stop()
        await deployment.work_off()
        waits = await _waits(deployment, sum(_LOGIN_BEGINS in one.value for one in load))
        report.add(part, "half of the pasts adopted within", percentile(waits, 0.5), "ms", f"of {len(waits):,}")
        report.add(part, "99 of 100 within", percentile(waits, 0.99), "ms")
        report.add(part, "all within", waits[-1], "ms")
    finally:
        await deployment.close()


async def _waits(deployment: Deployment, logins: int) -> list[float]:
    """Ascending milliseconds from login to merge. SettingsError where some past does not come."""
    await _until_adopted(deployment, logins)
    arrivals = await _arrivals(deployment)
    after_ms = percentile([float(ms) for ms in sorted(arrivals.values())], WARM_SHARE)
    found: list[float] = []
    for shard in range(SHARDS):
        async for records in read_partition(deployment.settings, CHANGES, shard):
            for record in records:
                value = record.value or b""
                if MERGED.encode() in value and is_merge(value) and arrivals[cause := decode_merge(value).data.cause] >= after_ms:
                    found.append(float(record.timestamp - arrivals[cause]))
    return sorted(found)


async def _until_adopted(deployment: Deployment, logins: int) -> None:
    deadline = monotonic() + DEADLINE_S
    while True:
        bodies = [decode_body((await deployment.store.checkpoint(shard)).body) for shard in range(SHARDS)]
        adopted = sum(body.identity.get("adopted", 0) for body in bodies)
        if adopted >= logins:
            await deployment.work_off()
            return
        if monotonic() > deadline:
            raise SettingsError(f"{adopted:,} of {logins:,} pasts were adopted")
        await asyncio.sleep(POLL_S)


async def _arrivals(deployment: Deployment) -> dict[str, int]:
    """The broker's time of each login, by its message id."""
    found: dict[str, int] = {}
    for shard in range(SHARDS):
        async for records in read_partition(deployment.settings, EVENTS, shard):
            for record in records:
                value = record.value or b""
                if _LOGIN_BEGINS in value and not record.headers:
                    rest = value[value.index(_LOGIN_BEGINS) + len(_LOGIN_BEGINS) :]
                    found[LOGIN + rest[: rest.index(b'"')].decode()] = record.timestamp
    return found
