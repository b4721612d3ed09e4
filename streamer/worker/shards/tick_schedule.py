"""When the owner of one shard writes a tick, so that time passes there although no event comes. Pure: each moment is an argument.

A tick stays in the log for ever, so none is written without need: one behind the moment at which time alone may change something, and a
heartbeat now and then. A record that comes lets time pass by itself, and while records flow no tick is written at all.
"""

from __future__ import annotations

from math import inf
from typing import Final

from .broker_clock import BrokerClock

HEARTBEAT_MS: Final = 30_000
APART_MS: Final = 50  # a tick follows whatever let time pass last no sooner: at most 20 a second, and none while as many records come
BEHIND_MS: Final = 1  # a tick is aimed at so long after the moment that is due
AGAIN_MS: Final = 1_000  # before another try, where the broker did not take a tick


class TickSchedule:
    """The ticks of one shard. Moments are milliseconds of our clock, which never goes back; ``due_ms`` and ``log_time_ms`` are the
    broker's, UTC milliseconds.

    ``heartbeat_ms`` is how long a shard is left without a record; 0: no tick is written at all, and time passes with records alone.
    """

    def __init__(self, heartbeat_ms: int = HEARTBEAT_MS) -> None:
        self.clock = BrokerClock()
        self.is_on = heartbeat_ms > 0
        self._heartbeat_ms = heartbeat_ms
        self._passed_ms = -inf  # when a record was read last, or a tick sent
        self._not_before_ms = -inf
        self._reached_ms = 0  # to which time the log has come, as far as is known
        self._sent_ms: float | None = None  # when the tick was sent that is on its way
        self._unread_since_ms: float | None = None  # when the first tick was sent since records were last read

    @property
    def quiet_at_ms(self) -> float:
        """From when on the shard counts as quiet if nothing else comes."""
        return self._passed_ms + APART_MS

    def unread_ms(self, now_ms: float) -> float:
        """For how long a tick has been on its way to us through the log; 0 when none is."""
        return 0.0 if self._unread_since_ms is None else now_ms - self._unread_since_ms

    # what has happened

    def read(self, now_ms: float, log_time_ms: int) -> None:
        """Records were read and applied: time has passed by itself."""
        self._passed_ms = now_ms
        self._reached_ms = max(self._reached_ms, log_time_ms)
        self._unread_since_ms = None

    def sent(self, now_ms: float) -> None:
        """A tick is on its way; ``acknowledged`` or ``failed`` follows."""
        self._sent_ms = self._passed_ms = now_ms
        if self._unread_since_ms is None:
            self._unread_since_ms = now_ms

    def acknowledged(self, now_ms: float, broker_ms: int) -> None:
        """The tick lies in the log with this time of the broker's."""
        assert self._sent_ms is not None, "no tick is on its way"
        self.clock.observe(self._sent_ms, now_ms, broker_ms)
        self._reached_ms = max(self._reached_ms, broker_ms)
        self._sent_ms = None

    def failed(self, now_ms: float) -> None:
        """The broker did not take the tick: another is wanted as soon as it may be tried."""
        self._sent_ms, self._passed_ms = None, -inf
        self._not_before_ms = now_ms + AGAIN_MS

    # what is to be done

    def next_at(self, now_ms: float, due_ms: int | None, *, hurries: bool = False) -> float:
        """The moment at which the next tick is to be sent, for what is known now; infinity where nothing asks for one.

        ``due_ms`` is when time alone may change something here, None where that is never. ``hurries``: records are wanted as often as
        they may come.
        """
        if self._sent_ms is not None or not self.is_on:
            return inf
        wanted = self.quiet_at_ms if hurries else min(self._aimed_at(now_ms, due_ms), self._passed_ms + self._heartbeat_ms)
        return max(wanted, self.quiet_at_ms, self._not_before_ms)

    def _aimed_at(self, now_ms: float, due_ms: int | None) -> float:
        if due_ms is None or due_ms <= self._reached_ms:  # what is in the log already lets it pass
            return inf
        return self.clock.ours_at(due_ms + BEHIND_MS, now_ms) if self.clock.is_known else -inf


__all__ = ["AGAIN_MS", "APART_MS", "BEHIND_MS", "TickSchedule"]
