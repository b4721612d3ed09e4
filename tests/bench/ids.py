"""What it costs to tell an event from its second delivery, by how many ids a customer's memory holds.

python -m tests.bench.ids
"""

from __future__ import annotations

from time import perf_counter

from streamer.customers.ids import IDS_MAX, digest, is_remembered, remember

DAY_MS = 86_400_000
NOW_MS = 1_772_625_600_000
HORIZON_MS = NOW_MS - DAY_MS
ROUNDS = 500


def filled(size: int) -> bytes:
    """A memory of so many ids, spread over the day before ``NOW_MS``."""
    seen = b""
    for number in range(size):
        seen, _ = remember(
            seen,
            digest(f"m{number}"),
            timestamp_ms=NOW_MS - DAY_MS + 60_000 + number * 80_000_000 // size,
            horizon_ms=HORIZON_MS,
            floor_ms=HORIZON_MS,
        )
    return seen


def microseconds(size: int) -> float:
    """Of one event: looked for, not found, added."""
    seen, keys = filled(size), [digest(f"new {number}") for number in range(ROUNDS)]
    start = perf_counter()
    for key in keys:
        is_remembered(seen, key, horizon_ms=HORIZON_MS, floor_ms=HORIZON_MS)
        remember(seen, key, timestamp_ms=NOW_MS, horizon_ms=HORIZON_MS, floor_ms=HORIZON_MS)
    return (perf_counter() - start) / ROUNDS * 1e6


if __name__ == "__main__":
    for size in (1, 20, 100, 512, 2_000, IDS_MAX - 1):
        print(f"{size:>7,} ids  {len(filled(size)):>9,} bytes  {microseconds(size):7.1f} µs")
