"""What an event costs with ten to ten thousand segments."""

from __future__ import annotations

from collections.abc import Sequence
from time import process_time

from streamer.language.definitions import Definitions, parse_definitions
from streamer.segments.plan.plan import Plan
from streamer.stores.memory import MemoryStore

from .core import run
from .report import Report
from .shop import BRANDS, CATEGORIES, PRODUCTS, Made

WINDOWS = ("1d", "3d", "7d", "14d", "30d")


def by_value(number: int) -> Definitions:
    """As a shop with many segments has them: each names a product or a brand. Every tenth is of the kind that all events concern."""
    lines: list[str] = []
    for index in range(number):
        least, window = 1 + index % 3, WINDOWS[index % len(WINDOWS)]
        if index % 10 < 7:
            where = f'prop("product_id") == "p-{index * 7 % PRODUCTS:04d}"'
        else:
            where = f'prop("brand") == "{BRANDS[index * 3 % len(BRANDS)]}" and prop("price") < {20 + index % 150}'
        lines.append(_line(index, f'count("Product Viewed", where={where}, within="{window}") >= {least}'))
    return parse_definitions("segments:\n" + "\n".join(lines))


def without_selector(number: int) -> Definitions:
    """The unfriendly case: nothing tells which segments an event concerns, so each is asked."""
    lines = [
        _line(index, f'count("Product Viewed", where=prop("price") < {20 + index / 7:.2f}, within="{WINDOWS[index % len(WINDOWS)]}") >= 3')
        for index in range(number)
    ]
    return parse_definitions("segments:\n" + "\n".join(lines))


def _line(index: int, when: str) -> str:
    return f"  s{index:05d}: {{for: {CATEGORIES[index % len(CATEGORIES)]}, when: '{when}'}}"


async def measure(report: Report, made: Sequence[Made], *, quick: bool) -> None:
    """Microseconds of processor time an event, and times the cost of ten segments."""
    part = "segments"
    report.begin(part, "processor time an event with more segments, one shard in memory")
    base = 0.0
    for number in (10, 100, 1_000) if quick else (10, 100, 1_000, 10_000):
        began = process_time()
        definitions = by_value(number)
        Plan(definitions, lateness_ms=86_400_000)
        compile_s = process_time() - began
        cost = await run(MemoryStore(), definitions, made, len(made) // 2)
        micros = cost.seconds / (len(made) - len(made) // 2) * 1e6
        base = base or micros
        note = f"{micros / base:.2f} times that of 10; read and compiled in {compile_s:.1f} s"
        report.add(part, f"{number:,} segments that name a product or brand", micros, "µs/event", note)
    for number, events in ((10, 4_000), (100, 2_000), (1_000, 600)):
        cost = await run(MemoryStore(), without_selector(number), made[:events], events // 2)
        report.add(part, f"{number:,} segments that all events concern", cost.seconds / (events // 2) * 1e6, "µs/event")
