"""How quiet the machine is: its load, and a fixed piece of work that is timed before and after."""

from __future__ import annotations

import os
from time import perf_counter, process_time
from typing import Any, Final, NamedTuple

ROUNDS: Final = 20
STEPS: Final = 20_000
REFERENCE_MS: Final = 2.9  # one round on the machine of the README's figures while it was quiet
SLOWER_MAX: Final = 1.25  # of the reference; above it the figures say more about the machine
APART_MAX: Final = 1.15  # before against after
WAITING_MAX: Final = 1.10  # wall clock against processor time: others wanted the core
LOAD_MAX: Final = 1.0  # when a run begins


class Calibration(NamedTuple):
    """One round of the fixed work, the median of many; and how loaded the machine was."""

    cpu_ms: float
    waiting: float  # wall clock against processor time, over all rounds
    load: float  # of the last minute


def calibrate() -> Calibration:
    """Takes about a tenth of a second."""
    load = os.getloadavg()[0]
    began, began_cpu = perf_counter(), process_time()
    rounds = sorted(_round_ms() for _ in range(ROUNDS))
    return Calibration(rounds[ROUNDS // 2], (perf_counter() - began) / max(1e-9, process_time() - began_cpu), load)


def disturbances(before: Calibration, after: Calibration) -> list[str]:
    """What makes a run noisy, in words; nothing of a quiet one."""
    found: list[str] = []
    if before.load > LOAD_MAX:
        found.append(f"the load was {before.load:.1f} when it began")
    for when, one in (("before", before), ("after", after)):
        if one.cpu_ms > SLOWER_MAX * REFERENCE_MS:
            found.append(f"{when}: fixed work takes {one.cpu_ms / REFERENCE_MS:.2f} times what it takes on a quiet core")
        if one.waiting > WAITING_MAX:
            found.append(f"{when}: a process waits {one.waiting - 1:.0%} of its time for a core")
    if max(before.cpu_ms, after.cpu_ms) > APART_MAX * min(before.cpu_ms, after.cpu_ms):
        found.append(f"fixed work took {before.cpu_ms:.2f} ms before and {after.cpu_ms:.2f} ms after")
    return found


def as_data(one: Calibration) -> dict[str, float]:
    """Fit for JSON."""
    return {"cpu_ms": round(one.cpu_ms, 3), "waiting": round(one.waiting, 3), "load": round(one.load, 2)}


def _round_ms() -> float:
    """What a segmenter in Python does all day: dictionaries, lists, small integers and calls."""
    began = process_time()
    kept: dict[int, list[Any]] = {}
    for step in range(STEPS):
        found = kept.setdefault(step % 997, [0, 0])
        found[0] += step & 7
        found[1] = max(found[1], step)
    return (process_time() - began) * 1e3
