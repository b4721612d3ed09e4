"""How much one address may send with a public key. What is remembered is bounded: those heard of longest ago are forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

from .answers import RequestError
from .keys import WriteKey

ADDRESSES_MAX: Final = 20_000
BURST_SECONDS: Final = 10.0  # a page that loads sends at once what it sends in ten seconds otherwise


class _Bucket:
    """What an address has left; it fills up with time."""

    __slots__ = ("at", "bytes", "events")

    def __init__(self, at: float, events: float, size: float) -> None:
        self.at = at
        self.events = events
        self.bytes = size


class Rates:
    """What each address has sent lately, by key. ``clock`` gives seconds that never go back."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()

    def take(self, key: WriteKey, address: str, events: int, size: int) -> None:
        """Count what is about to be taken in. RequestError where it is too much. A single large request after a silence is let through."""
        now = self._clock()
        bucket = self._bucket(key, address, now)
        if bucket.events < 1 or bucket.bytes < 1:
            raise RequestError("too_many_requests", "this address sends more than its key allows")
        bucket.events -= events
        bucket.bytes -= size

    def _bucket(self, key: WriteKey, address: str, now: float) -> _Bucket:
        most_events, most_bytes = max(1.0, key.events_per_second * BURST_SECONDS), max(1.0, key.bytes_per_minute)
        place = key.name, address
        bucket = self._buckets.get(place)
        if bucket is None:
            if len(self._buckets) >= ADDRESSES_MAX:
                self._buckets.popitem(last=False)
            bucket = self._buckets[place] = _Bucket(now, most_events, most_bytes)
            return bucket
        self._buckets.move_to_end(place)
        passed = now - bucket.at
        bucket.at = now
        bucket.events = min(most_events, bucket.events + passed * key.events_per_second)
        bucket.bytes = min(most_bytes, bucket.bytes + passed * key.bytes_per_minute / 60)
        return bucket
