"""How a process gives way to all others, and how it knows that nothing is left for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

NICENESS: Final = 19
LOOKED_AT_SECONDS: Final = 2.0  # of wanting a processor
STARVED_BELOW: Final = 0.05
SCHEDSTAT: Final = Path("/proc/self/schedstat")


class ProcessorTime(NamedTuple):
    """For how long a process has run so far, and for how long it would have and another did."""

    ran_seconds: float
    waited_seconds: float


def give_way() -> bool:
    """Run from now on only while nobody else wants the processor: whoever wakes up takes it at once. False, and nothing done, where the
    system does not say whether anything is left over: a process that gets nothing has to know it."""
    if sys.platform != "linux" or read_processor_time() is None:
        return False
    os.nice(NICENESS)
    with suppress(OSError):  # a container may forbid it
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    return True


def read_processor_time() -> ProcessorTime | None:
    """Of this process's first thread; None where the system does not count it."""
    try:
        ran_ns, waited_ns, _ = SCHEDSTAT.read_text(encoding="ascii").split()
        return ProcessorTime(int(ran_ns) / 1e9, int(waited_ns) / 1e9)
    except (OSError, ValueError):
        return None


class ProcessorShare:
    """Whether a process is given next to nothing. ``read`` says what it has wanted so far."""

    def __init__(self, read: Callable[[], ProcessorTime | None] = read_processor_time) -> None:
        self._read = read
        self._last = read()

    def is_starved(self) -> bool:
        """Whether of the last seconds in which it wanted a processor it got less than one in twenty. False until there are as many."""
        now, last = self._read(), self._last
        if now is None or last is None:
            return False
        ran, waited = now.ran_seconds - last.ran_seconds, now.waited_seconds - last.waited_seconds
        if ran + waited < LOOKED_AT_SECONDS:
            return False
        self._last = now
        return ran < STARVED_BELOW * (ran + waited)


__all__ = ["ProcessorShare", "ProcessorTime", "give_way", "read_processor_time"]
