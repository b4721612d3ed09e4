"""How fast messages leave: so many a second by a channel, and by a channel to one domain. Of one process; two senders are twice as fast.

What has to wait takes nothing, so whoever asks again later finds its place by the order in which messages are tried.
"""

from __future__ import annotations

from typing import Final

DOMAINS_MAX: Final = 10_000  # remembered; the one that was asked for longest ago is full again by then


class SendRates:
    """Buckets of tokens. A burst is as large as what leaves in a second, and at least one message."""

    def __init__(self, a_second: float, a_second_to_domain: float) -> None:
        self._a_second = a_second
        self._to_domain = a_second_to_domain
        self._buckets: dict[tuple[str, str], _TokenBucket] = {}

    def take(self, channel: str, domain: str, now_seconds: float) -> float:
        """0 and a message may leave; or how many seconds until one may. An empty ``domain`` shares nothing."""
        buckets = [self._bucket(channel, "", self._a_second, now_seconds)]
        if domain:
            buckets.append(self._bucket(channel, domain, self._to_domain, now_seconds))
        wait = max(bucket.wait_seconds(now_seconds) for bucket in buckets)
        if wait == 0:
            for bucket in buckets:
                bucket.tokens -= 1
        return wait

    def _bucket(self, channel: str, domain: str, rate: float, now_seconds: float) -> _TokenBucket:
        found = self._buckets.pop((channel, domain), None) or _TokenBucket(rate, now_seconds)
        self._buckets[channel, domain] = found  # the newest stands last
        if len(self._buckets) > DOMAINS_MAX:
            del self._buckets[next(iter(self._buckets))]
        return found


class _TokenBucket:
    __slots__ = ("at", "most", "rate", "tokens")

    def __init__(self, rate: float, now_seconds: float) -> None:
        self.rate = rate
        self.most = max(1.0, rate)
        self.tokens = self.most
        self.at = now_seconds

    def wait_seconds(self, now_seconds: float) -> float:
        self.tokens = min(self.most, self.tokens + max(0.0, now_seconds - self.at) * self.rate)
        self.at = now_seconds
        return 0.0 if self.tokens >= 1 else (1 - self.tokens) / self.rate
