"""The earliest timer that the store keeps for a shard, followed from commit to commit without asking."""

from __future__ import annotations

from collections.abc import Mapping


class FirstTimer:
    """The earliest timer of a shard as (due_ms, customer), None where there is none.

    A commit that moves it or takes it away leaves open which is the earliest now: then it is not known until the store was asked.
    """

    def __init__(self) -> None:
        self.is_known = False
        self._timer: tuple[int, str] | None = None

    @property
    def due_ms(self) -> int | None:
        """When it is due, in UTC milliseconds; None where there is none, or where it is not known."""
        return self._timer[0] if self.is_known and self._timer is not None else None

    def found(self, timer: tuple[int, str] | None) -> None:
        """What the store has."""
        self._timer, self.is_known = timer, True

    def committed(self, wakes: Mapping[str, int | None]) -> None:
        """What a commit has written: moments by customer, None for what it has removed."""
        if not self.is_known:
            return
        armed = [(due_ms, customer) for customer, due_ms in wakes.items() if due_ms is not None]
        earliest = min(armed, default=None)
        before = self._timer
        if before is None or (earliest is not None and earliest <= before):
            self._timer = earliest
        elif before[1] in wakes:
            self.is_known = False


__all__ = ["FirstTimer"]
