"""One table of all engines, for people and for machines, with ratios against ``streamer`` in the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any, Final, NamedTuple

from tests.bench.quiet import REFERENCE_MS, Calibration, as_data, disturbances
from tests.bench.report import Report

from .engines import Engine, Streamer
from .live import Latency
from .throughput import Throughput

PART: Final = "peers"
WIDTH: Final = 20  # of a column


@dataclass(slots=True)
class Result:
    """What is known of one engine; ``missing`` is why it could not be run, or where it broke off."""

    engine: type[Engine]
    throughput: Throughput | None = None
    latencies: list[Latency] = field(default_factory=list[Latency])
    differing: list[str] = field(default_factory=list[str])
    missing: str = ""


class Line(NamedTuple):
    """One figure of all engines."""

    what: str
    unit: str
    of: Callable[[Result], float | None]


def _of_log(name: str) -> Callable[[Result], float | None]:
    return lambda result: getattr(result.throughput, name) if result.throughput else None


def _of_rate(rate: int, name: str) -> Callable[[Result], float | None]:
    return lambda result: next((getattr(one, name) for one in result.latencies if one.rate == rate), None)


def _with_redis(of: Callable[[Result], float | None]) -> Callable[[Result], float | None]:
    return lambda result: of(result) if result.engine.uses_redis else None


def lines(rates: Sequence[int]) -> Iterator[Line]:
    """The figures, in the order of the table."""
    yield Line("processor time an event", "µs", _of_log("engine_us"))
    yield Line("of its Redis beside it, an event", "µs", _with_redis(_of_log("redis_us")))
    yield Line("of the broker, an event", "µs", _of_log("broker_us"))
    yield Line("wall clock", "events/s", _of_log("events_per_s"))
    for rate in rates:
        yield Line(f"event to change at {rate:,}/s, p50", "ms", _of_rate(rate, "event_p50_ms"))
        yield Line(f"event to change at {rate:,}/s, p99", "ms", _of_rate(rate, "event_p99_ms"))
        yield Line(f"by time alone at {rate:,}/s, late p50", "ms", _of_rate(rate, "timer_p50_ms"))
        yield Line(f"by time alone at {rate:,}/s, late p99", "ms", _of_rate(rate, "timer_p99_ms"))
        yield Line(f"processor time a second at {rate:,}/s", "ms", _of_rate(rate, "engine_cpu_ms"))
        yield Line(f"of its Redis a second at {rate:,}/s", "ms", _with_redis(_of_rate(rate, "redis_cpu_ms")))
    yield Line("resident at most", "MB", _of_log("rss_mb"))
    yield Line("state a customer", "bytes", _of_log("state_bytes"))
    yield Line("start to first change", "s", _of_log("first_change_s"))
    yield Line("processor time of the start", "s", _of_log("start_cpu_s"))
    yield Line("lines that the user wrote", "lines", lambda one: float(one.engine.lines()))


class Table:
    """Results of all engines; what went wrong is said at once."""

    def __init__(self, report: Report, rates: Sequence[int]) -> None:
        self._report, self._rates = report, rates
        self.results: list[Result] = []

    def add(self, result: Result) -> None:
        """One engine is through."""
        self.results.append(result)
        name = result.engine.name
        if result.missing:
            print(f"  {name}: NOT RUN TO ITS END: {result.missing}", flush=True)
        if result.differing:
            print(f"  {name}: ERROR, its rows are not those of the first engine:", *result.differing, sep="\n    ", flush=True)
        elif result.throughput:
            print(f"  {name}: {len(result.throughput.rows):,} changes, {result.throughput.engine_us:.1f} µs an event", flush=True)

    def finish(self, before: Calibration, after: Calibration) -> bool:
        """Print the table and keep its figures; whether all rows of all engines that were run are the same."""
        noise = disturbances(before, after)
        print()
        for text in self.text():
            print(text)
        print(f"  fixed work: {before.cpu_ms:.2f} ms before, {after.cpu_ms:.2f} ms after, {REFERENCE_MS:.2f} ms on a quiet machine")
        print(f"  {'NOISY, take ratios at most: ' + '; '.join(noise) if noise else 'a quiet run'}", flush=True)
        figures: dict[str, Any] = {one.engine.name: self._figures(one) for one in self.results}
        self._report.figures[PART] = {
            "engines": figures,
            "machine": {"before": as_data(before), "after": as_data(after), "reference_ms": REFERENCE_MS, "noisy": noise},
        }
        return not any(one.differing for one in self.results)

    def text(self) -> Iterator[str]:
        """The table: a line a figure, a column an engine; behind each figure its ratio against streamer's."""
        shown = [one for one in self.results if one.throughput or one.latencies]
        base = next((one for one in shown if one.engine is Streamer), None)
        yield f"  {'':<38}" + "".join(f"{one.engine.name:>{WIDTH}}" for one in shown)
        yield f"  {'promise':<38}" + "".join(f"{one.engine.guarantee:>{WIDTH}}" for one in shown)
        for line in lines(self._rates):
            cells = [_cell(line.of(one), None if base in (None, one) else line.of(base)) for one in shown if base is None or base]
            yield f"  {line.what + ', ' + line.unit:<38}" + "".join(f"{cell:>{WIDTH}}" for cell in cells)

    def _figures(self, result: Result) -> dict[str, Any]:
        base = next((one for one in self.results if one.engine is Streamer), None)
        found: dict[str, Any] = {"promise": result.engine.guarantee}
        for line in lines(self._rates):
            value, other = line.of(result), line.of(base) if base else None
            if value is not None and not isnan(value):
                found[line.what] = {"value": round(value, 4), "unit": line.unit}
                if other and not isnan(other):
                    found[line.what]["against_streamer"] = round(value / other, 3)
        rows = None if result.throughput is None else len(result.throughput.rows)
        return {**found, "changes": rows, "differing": result.differing, "missing": result.missing}


def _cell(value: float | None, base: float | None) -> str:
    if value is None or isnan(value):
        return "–"
    shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}"
    return f"{shown} ({value / base:.2f}×)" if base and not isnan(base) else f"{shown}        "
