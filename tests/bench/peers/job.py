"""The job that all engines do: five segments, and a log of 60 days.

A log is JSON events of about 320 bytes in 12 partitions by murmur2. Customers come for visits of three events on average, about 3,000
customers per 15,000 events. A record's time is its event's: the moment of arrival. The last record of each partition comes 80 days
later, so that what is due by then is said.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import time
from typing import Any, Final, NamedTuple

import orjson

from streamer.values import time_text
from streamer.wire import shard_of
from tests.bench.shop import BRANDS, CATEGORIES, DEVICES, LOCALES, PRODUCTS, Made

SHARDS: Final = 12
DAY_MS: Final = 86_400_000
LOG_MS: Final = 60 * DAY_MS
LAST_MS: Final = 80 * DAY_MS  # from the end of the log to the last record of each partition
EVENTS_A_VISIT: Final = 3.0
CUSTOMERS_A_VISIT: Final = 0.94  # to draw from: of 300,000 events about 61,500 customers
PAUSE_MS: Final = 90_000.0  # between two events of a visit, on average
SEGMENTS_FILE: Final = Path(__file__).with_name("segments.yaml")


@dataclass(frozen=True, slots=True)
class Durations:
    """What of the segments differs between a log of 60 days and a live run of seconds."""

    idle_ms: int = 30 * 60_000
    cart_ms: int = 3 * DAY_MS
    fresh_ms: int = DAY_MS


LOG: Final = Durations()
LIVE: Final = Durations(idle_ms=3_000, cart_ms=10_000, fresh_ms=5_000)


class Row(NamedTuple):
    """One change, as it is compared."""

    customer: str
    segment: str
    kind: str
    at_ms: int
    sequence: int


def segments_text(durations: Durations) -> str:
    """The definitions for ``streamer``; each of the three durations stands in the file once."""
    text = SEGMENTS_FILE.read_text(encoding="utf-8")
    for written, wanted_ms in (('"30m"', durations.idle_ms), ('"3d"', durations.cart_ms), ('"24h"', durations.fresh_ms)):
        if text.count(written) != 1:
            raise ValueError(f"{written} must stand once in {SEGMENTS_FILE}")
        text = text.replace(written, f'"{wanted_ms}ms"')
    return text


def log_events(number: int, *, start_ms: int, seed: int = 1) -> Iterator[Made]:
    """``number`` events in order of time, and the last record of each partition."""
    draw = random.Random(seed)
    visits = max(1, int(number / EVENTS_A_VISIT))
    customers = max(1, int(visits * CUSTOMERS_A_VISIT))
    going: list[tuple[int, int, str]] = []  # moment of the next event, number of the visit, customer
    counted = itertools.count()
    for visit in itertools.count():
        begins_ms = start_ms + LOG_MS * visit // visits
        while going and going[0][0] <= begins_ms:
            at_ms, which, who = heapq.heappop(going)
            count = next(counted)
            if count == number:
                yield from _last_records(start_ms + LOG_MS + LAST_MS)
                return
            yield Made(who, at_ms, _event(draw, who, at_ms, count))
            if draw.random() >= 1 / EVENTS_A_VISIT:
                heapq.heappush(going, (at_ms + 1 + int(draw.expovariate(1 / PAUSE_MS)), which, who))
        heapq.heappush(going, (begins_ms, visit, f"c-{draw.randrange(customers):06d}"))


def live_events(number: int, *, customers: int, seed: int = 2) -> Iterator[Made]:
    """``number`` events of customers drawn uniformly; each happens when it is asked for."""
    draw = random.Random(seed)
    for count in range(number):
        who, at_ms = f"c-{draw.randrange(customers):06d}", int(time() * 1_000)
        yield Made(who, at_ms, _event(draw, who, at_ms, count))


def row_of_streamer(value: bytes) -> tuple[Row, str]:
    """A change of ``streamer`` and the kind of its cause."""
    said: dict[str, Any] = orjson.loads(value)
    data = said["data"]
    at_ms = moment_ms(data["at"])
    return Row(said["subject"], data["segment"], said["type"].removeprefix("segment."), at_ms, data["sequence"]), data["cause"]["kind"]


def row_of_peer(value: bytes) -> tuple[Row, str]:
    """A change of another engine and the kind of its cause."""
    said: dict[str, Any] = orjson.loads(value)
    return Row(said["customer"], said["segment"], said["kind"], said["at"], said["sequence"]), said["cause"]


def moment_ms(text: str) -> int:
    """UTC milliseconds of a moment as ``streamer`` writes it."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


def _last_records(at_ms: int) -> Iterator[Made]:
    missing = set(range(SHARDS))
    for count in itertools.count():
        who = f"last-{count}"
        if (shard := shard_of(who, SHARDS)) in missing:
            missing.remove(shard)
            yield Made(who, at_ms, _event(random.Random(count), who, at_ms, 10**9 + count))
        if not missing:
            return


def _event(draw: random.Random, who: str, at_ms: int, count: int) -> bytes:
    price = round(draw.uniform(5, 200), 2)
    chance = draw.random()
    category = draw.choice(CATEGORIES)
    product = (
        f'"product_id":"p-{draw.randrange(PRODUCTS):04d}","category":"{category}","brand":"{draw.choice(BRANDS)}",'
        f'"name":"Product of {category}","price":{price},"currency":"EUR"'
    )
    if chance < 0.12:
        name, properties = (
            "Order Completed",
            f'"order_id":"o-{count:08d}","total":{2 * price:.2f},"currency":"EUR","coupon":null,"products":1',
        )
    elif chance < 0.37:
        name, properties = "Product Added", f'{product},"quantity":1'
    else:
        name, properties = "Product Viewed", product
    return (
        f'{{"type":"track","event":"{name}","messageId":"m-{count:09d}-{draw.randrange(1 << 32):08x}","userId":"{who}",'
        f'"timestamp":"{time_text(at_ms)}","properties":{{{properties}}},'
        f'"context":{{"locale":"{draw.choice(LOCALES)}","device":{{"type":"{draw.choice(DEVICES)}"}}}}}}'
    ).encode()
