"""Examples of a shop with planted truth, as three shards say them: who has an open cart buys."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from streamer.customers.features import FEATURES
from streamer.examples import MARK_MS, Example, encode_example
from streamer.flow.published import GivenVersions
from streamer.flow.training import TrainingLog
from streamer.flow.training_order import MinuteOrder, TrainingRecord, read_training_record
from streamer.language.definitions import parse_definitions
from streamer.stores.base import Store
from streamer.wire import Control, LogRecord, encode_control

SHARDS = 3
T0 = 1_767_225_600_000
HOUR = 3_600_000
DEFINITIONS = """
models:
  purchase: {kind: purchase, horizon: 30m, window: 10m}
  behaviour: {kind: groups, groups: 3}
segments:
  hot: {for: likely to buy, when: 'score("purchase") >= 0.5'}
"""
CART = FEATURES.names.index("cart_open")


@lru_cache
def logs(customers: int = 2_600) -> tuple[tuple[LogRecord, ...], ...]:
    """Each shard's part of the topic, over some hours."""
    draw, due = random.Random(3), list[tuple[int, int, Example]]()
    for number in range(customers):
        t_ms, shard = T0 + number * 9_000, number % SHARDS
        x = tuple(round(draw.uniform(feature.low, min(feature.high, 3.0)), 3) for feature in FEATURES.features)
        x = (*x[:CART], float(draw.random() < 0.3), *x[CART + 1 :])
        label = int(draw.random() < (0.6 if x[CART] else 0.05))
        due.append((t_ms, shard, example("profile", shard, t_ms, x=x)))
        at_ms = t_ms + 5 * MARK_MS if label else t_ms + 10 * MARK_MS
        due.append((at_ms, shard, example("train", shard, at_ms, t_ms=t_ms, x=x, label=label)))
        due.append((t_ms + 30 * MARK_MS, shard, example("mature", shard, t_ms + 30 * MARK_MS, t_ms=t_ms, x=x, label=label)))
    last = max(at_ms for at_ms, *_ in due)
    due += [
        (at, shard, Example("mark", shard, 0, 0, at, definitions=1)) for at in range(T0, last + MARK_MS, MARK_MS) for shard in range(SHARDS)
    ]
    due.sort(key=lambda entry: (entry[0], entry[2].kind != "mark"))
    found: list[list[LogRecord]] = [[] for _ in range(SHARDS)]
    for at_ms, shard, said in due:
        said.offset = len(found[shard])
        found[shard].append(LogRecord(len(found[shard]), at_ms, encode_example(said)))
    return tuple(tuple(log) for log in found)


def example(kind: str, shard: int, at_ms: int, **fields: Any) -> Example:
    """One of the model ``purchase``, or a profile."""
    model = "" if kind == "profile" else "purchase"
    return Example(kind, shard, 0, 0, at_ms, model=model, features=FEATURES.version, **{"t_ms": at_ms, **fields})  # type: ignore[arg-type]


def command(at: int, what: str, model: str = "purchase", version: int = 0) -> LogRecord:
    """A pin or its end, at a place of the first shard."""
    return LogRecord(at, 0, encode_control(Control(what, version=version, model=model)), control=True)  # type: ignore[arg-type]


def with_command(places: Iterable[tuple[int, LogRecord]]) -> tuple[tuple[LogRecord, ...], ...]:
    """The logs, with commands put in at places of the first shard."""
    found, *others = logs()
    log = list(found)
    for at, record in sorted(places, key=lambda entry: entry[0], reverse=True):
        log.insert(at, record)
    return (tuple(record._replace(offset=offset) for offset, record in enumerate(log)), *others)


def in_order(found: tuple[tuple[LogRecord, ...], ...], after: list[int] | None = None) -> list[TrainingRecord]:
    """What is over in every shard, from the offsets ``after``."""
    order = MinuteOrder(SHARDS)
    for shard, log in enumerate(found):
        order.add([read_training_record(shard, record) for record in log[after[shard] if after else 0 :]])
    return order.ready()


def versions(*texts: str) -> GivenVersions:
    """Definitions under the numbers 1, 2, 3 …"""
    return GivenVersions({number: parse_definitions(text).content() for number, text in enumerate(texts or (DEFINITIONS,), 1)})


async def learner(store: Store, *texts: str) -> TrainingLog:
    """The learner of a store, where these definitions were published."""
    return await TrainingLog.acquire(store, versions(*texts), SHARDS)
