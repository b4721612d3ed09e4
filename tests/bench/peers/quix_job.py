"""The five segments on Quix Streams, exactly once, with its state in RocksDB.

Quix keeps state by the key of a record and calls nobody when time passes. So every record of a partition has one key here (the state of a
partition is one prefix of its store), and timers are kept by hand: in the store by the hour, and those of the present hour in a heap.
A partition in which nothing arrives has no time: there its timers wait.
"""

# pyright: basic, reportMissingImports=false
from __future__ import annotations

import heapq
import os
from typing import Any

import msgspec
from quixstreams import Application, State, message_context
from quixstreams.models.serializers import Deserializer

from tests.bench.peers.rules import HOUR_MS, NEVER, Change, Customer, take, wake

encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Customer).decode


class OneKey(Deserializer):
    """All customers of a partition under one key."""

    def __call__(self, value: bytes, ctx: Any) -> str:
        return "all"


class Timers:
    """The timers of a partition; ``hour`` is the present one."""

    def __init__(self, state: State) -> None:
        self.hour: int = state.get("hour", default=NEVER)
        self.heap: list[tuple[int, str]] = []
        if self.hour != NEVER:
            self.load(state)

    def load(self, state: State) -> None:
        for due, who in state.get(f"h:{self.hour}", default=[]):
            heapq.heappush(self.heap, (due, who))

    def add(self, state: State, due: int, who: str) -> None:
        hour = due // HOUR_MS
        key = f"h:{hour}"
        state.set(key, [*state.get(key, default=[]), [due, who]])
        if hour <= self.hour:
            heapq.heappush(self.heap, (due, who))

    def next(self, state: State, now: int) -> tuple[int, str] | None:
        """The next one up to ``now``; goes from hour to hour until there is none."""
        if self.hour == NEVER:
            self.hour = now // HOUR_MS
        while not self.heap or self.heap[0][0] > now:
            if self.hour >= now // HOUR_MS:
                return None
            state.delete(f"h:{self.hour}")
            self.hour += 1
            state.set("hour", self.hour)
            self.load(state)
        return heapq.heappop(self.heap)


timers_of: dict[int, Timers] = {}


def handle(event: Any, _key: Any, now: int, _headers: Any, state: State) -> list[Any]:
    partition = message_context().partition
    timers = timers_of.get(partition)
    if timers is None:
        timers = timers_of[partition] = Timers(state)
    said: list[Change] = []
    while (timer := timers.next(state, now)) is not None:
        due, who = timer
        customer = decode(state.get_bytes(f"c:{who}"))
        if customer.due == due:
            said += wake(who, customer, due)
            keep(state, timers, who, customer, due)
    who = event["userId"]
    raw = state.get_bytes(f"c:{who}")
    customer = Customer(now) if raw is None else decode(raw)
    before = customer.due
    said += take(who, customer, event["event"], event["properties"].get("total", 0), now)
    keep(state, timers, who, customer, before)
    return [msgspec.to_builtins(change) for change in said]


def keep(state: State, timers: Timers, who: str, customer: Customer, before: int) -> None:
    state.set_bytes(f"c:{who}", encode(customer))
    if customer.due not in (before, NEVER):
        timers.add(state, customer.due, who)


def main() -> None:
    application = Application(
        broker_address=os.environ["JOB_KAFKA"],
        consumer_group=os.environ["JOB_GROUP"],
        auto_offset_reset="earliest",
        state_dir=os.environ["JOB_STATE"],
        processing_guarantee="exactly-once",
        commit_interval=0.1,
        loglevel="WARNING",
    )
    events = application.topic(os.environ["JOB_EVENTS"], key_deserializer=OneKey(), value_deserializer="json")
    changes = application.topic(os.environ["JOB_CHANGES"], key_serializer="string", value_serializer="json")
    frame = application.dataframe(events).apply(handle, stateful=True, expand=True, metadata=True)
    frame.to_topic(changes, key=lambda change: change["customer"])
    application.run()


if __name__ == "__main__":
    main()
