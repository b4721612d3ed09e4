"""How much one preview may cost."""

from __future__ import annotations

from time import monotonic
from typing import Final

from streamer.errors import TooMuchError


class Bounds:
    """At most so many events in so many seconds from now on; None: as many as there are."""

    def __init__(self, events_max: int | None = None, seconds_max: float | None = None) -> None:
        self._events_max = events_max
        self._until = None if seconds_max is None else monotonic() + seconds_max
        self._seconds_max = seconds_max
        self._events = 0

    @property
    def counts_events(self) -> bool:
        """Whether so many events are an end: then one process has to count them."""
        return self._events_max is not None

    def spend(self, events: int) -> None:
        """So many more were read. Raises TooMuchError beyond the bounds."""
        self._events += events
        if self._events_max is not None and self._events > self._events_max:
            raise TooMuchError(f"more than {self._events_max:,} events; {ADVICE}")
        self.check()

    def check(self) -> None:
        """Raises TooMuchError when time is over."""
        if self._until is not None and monotonic() > self._until:
            raise TooMuchError(f"not done after {self._seconds_max:g} s and {self._events:,} events; {ADVICE}")


ADVICE: Final = "look at a smaller share of the customers, or begin later"
