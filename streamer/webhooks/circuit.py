"""The circuit of one endpoint: closed while it answers; open when it does not, with one probe at a time until it does again."""

from __future__ import annotations

from typing import Final

from streamer.units import DAY_MS, MINUTE_MS, SECOND_MS

FAILURES_MAX: Final = 10  # in a row, of as many changes, and the circuit opens
PROBE_FIRST_MS: Final = 30 * SECOND_MS
PROBE_MAX_MS: Final = 10 * MINUTE_MS
DISABLE_MS: Final = 5 * DAY_MS  # of nothing but failures


class Circuit:
    """Times are UTC milliseconds. ``failing_since_ms`` is the first failure since the last success; 0 while there is none.

    Besides, an endpoint that says "later" (429, or Retry-After) is left alone until then: ``hold``.
    """

    def __init__(self) -> None:
        self.failing_since_ms = 0
        self._has_succeeded = False
        self._failures = 0
        self._closed_again_ms = 0  # no attempt before
        self._pause_ms = 0  # between probes; 0: the circuit is closed
        self._is_probing = False

    def remember(self, failing_since_ms: int) -> None:
        """Another process has seen nothing but failures since then; 0: it has not."""
        if failing_since_ms and not self.failing_since_ms and not self._has_succeeded:
            self.failing_since_ms = failing_since_ms

    @property
    def is_open(self) -> bool:
        """Whether only probes are made."""
        return self._pause_ms > 0

    def wait_ms(self, now_ms: int) -> int | None:
        """How long an attempt has to wait; 0: none may begin now (call ``begin`` then). None: as long as the probe takes that is made."""
        if now_ms < self._closed_again_ms:
            return self._closed_again_ms - now_ms
        return None if self._is_probing else 0

    def begin(self) -> bool:
        """An attempt begins; whether it is a probe, after which nobody else may until it has ended."""
        self._is_probing = self.is_open
        return self._is_probing

    def succeeded(self) -> None:
        """An attempt was answered with 2xx."""
        self.failing_since_ms = self._failures = self._closed_again_ms = self._pause_ms = 0
        self._is_probing, self._has_succeeded = False, True

    def failed(self, now_ms: int, *, is_probe: bool, is_first: bool = True) -> None:
        """An attempt failed. Only first attempts at a change count towards opening: one change that is refused again and again says
        nothing of the others. Those that were under way when the circuit opened do not open it further."""
        self.failing_since_ms = self.failing_since_ms or now_ms
        self._failures += is_first
        if is_probe:
            self._is_probing = False
            self._pause_ms = min(2 * self._pause_ms, PROBE_MAX_MS)
            self._closed_again_ms = now_ms + self._pause_ms
        elif self._failures >= FAILURES_MAX and not self.is_open:
            self._pause_ms = PROBE_FIRST_MS
            self._closed_again_ms = now_ms + self._pause_ms

    def abandoned(self, *, is_probe: bool) -> None:
        """An attempt ended without a result: its shard goes to another process."""
        if is_probe:
            self._is_probing = False

    def hold(self, until_ms: int) -> None:
        """Leave the endpoint alone until then: it asked for it, so it lives."""
        self._closed_again_ms = max(self._closed_again_ms, until_ms)
        self._is_probing = False

    def is_hopeless(self, now_ms: int) -> bool:
        """Whether nothing but failures came for so long that somebody must look."""
        return self.failing_since_ms > 0 and now_ms - self.failing_since_ms >= DISABLE_MS
