"""One customer of 200 events folded anew beside a worker: how long it takes, and what of it is waiting for Kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from time import perf_counter, process_time
from typing import Final

from streamer.customers.state import decode_state
from streamer.errors import SettingsError
from streamer.flow.amendments import Amendments
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import decode_body
from streamer.flow.customer_folder import CustomerFolder
from streamer.signing import NO_KEYS
from streamer.transports.kafka.record_picker import RecordPicker
from streamer.wire import LogRecord
from tests.walk import customers_of

from .deployment import Deployment, Servers
from .library import twenty
from .report import Report
from .shop import events

EVENTS_EACH: Final = 200
NEAR: Final = 40  # records from one event of a customer to the next, on average
SPREAD: Final = 500
FOLDS: Final = 25


class _TimedPicker(RecordPicker):
    """Knows how long it was waited for."""

    seconds = 0.0

    async def pick(self, shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        began = perf_counter()
        try:
            return await super().pick(shard, offsets)
        finally:
            self.seconds = perf_counter() - began


async def measure(report: Report, servers: Servers, *, start_ms: int, gap_ms: int, quick: bool) -> None:
    """Medians over some customers, one after the other."""
    report.begin("refold", f"a customer of {EVENTS_EACH} events folded anew, 20 segments, median of {FOLDS}")
    await _measure(report, servers, "near", NEAR, start_ms, gap_ms)
    await _measure(report, servers, "spread", SPREAD // (5 if quick else 1), start_ms, gap_ms)


async def _measure(report: Report, servers: Servers, what: str, apart: int, start_ms: int, gap_ms: int) -> None:
    deployment = Deployment(servers, f"refold-{what}", log_time=True, shards=1)
    picker = _TimedPicker(deployment.settings)
    try:
        await deployment.define(twenty())
        await deployment.write(events(EVENTS_EACH * apart, customers=apart, start_ms=start_ms, gap_ms=gap_ms))
        deployment.start_worker()
        await deployment.work_off()
        deployment.stop_worker()
        took, picked, busy = await _folds(deployment, picker)
    finally:
        await picker.stop()
        await deployment.close()
    note = f"an event each {apart} records; {median(picked) * 1e3:.1f} ms of it wait for Kafka"
    report.add("refold", what, median(took) * 1e3, "ms", note)
    report.add("refold", f"{what}: processor time", median(busy) * 1e3, "ms")


async def _folds(deployment: Deployment, picker: _TimedPicker) -> tuple[list[float], list[float], list[float]]:
    """Seconds that each took, that the log was waited for in it, and of processor time."""

    async def amendments(_shard: int) -> Amendments:
        return Amendments()

    store, rules = deployment.store, deployment.settings.rules
    folder = CustomerFolder(store, rules, Plans(store, rules), NO_KEYS, picker, amendments)
    took, picked, busy = list[float](), list[float](), list[float]()
    for customer in (await customers_of(store, 0))[: FOLDS + 1]:
        found = await store.committed(0, [customer])
        blob = found.states[0] or b""
        body = decode_body(found.checkpoint.body)
        began, began_busy = perf_counter(), process_time()
        folded = await folder.fold(0, customer, found.checkpoint.position, body, decode_state(blob).offsets)
        took.append(perf_counter() - began)
        busy.append(process_time() - began_busy)
        picked.append(picker.seconds)
        if folded.state != blob:
            raise SettingsError("what was folded is not what the worker has")
    return took[1:], picked[1:], busy[1:]  # the first one opens the connection and compiles the plan
