"""What a process has used, as the system counts it."""

from __future__ import annotations

import os
from pathlib import Path
from time import monotonic
from typing import Final, NamedTuple

TICKS: Final = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """What a process had used when it was looked at: all its threads, those that have ended too."""

    at_s: float
    cpu_s: float
    rss_mb: float


def usage_of(pid: int) -> Usage:
    """Of a process and those that it has begun and that run; the processor time of those that have ended too."""
    pids = [pid, *children_of(pid)]
    pages = sum(_pages_of(one) for one in pids)
    return Usage(monotonic(), sum(cpu_s_of(one) for one in pids) + _ended_cpu_s_of(pid), pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def children_of(pid: int) -> list[int]:
    """The processes that a process has begun and that run."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def _pages_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


def _ended_cpu_s_of(pid: int) -> float:
    """Of children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS


def cpu_s_of(pid: int) -> float:
    """Seconds of processor time; to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_peak_mb_of(pid: int) -> float:
    """The most memory that was resident so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e3
