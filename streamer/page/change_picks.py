"""One change of each second, where there are more than somebody can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .change_history import SeenChange

SECONDS_KEPT: Final = 60
_TO_THE_SECOND: Final = len("2026-01-31T09:12:03")


class ChangePicks:
    """Of each of the last seconds of log time the first that time alone let in, else the first that came in, else the first."""

    def __init__(self) -> None:
        self._by_second: dict[str, SeenChange] = {}

    def note(self, change: SeenChange) -> None:
        """One that was seen; shards say theirs in turn, so seconds need not come in order."""
        second = change.at[:_TO_THE_SECOND]
        found = self._by_second.get(second)
        if found is None or _weight(change) > _weight(found):
            self._by_second[second] = change
        if len(self._by_second) > SECONDS_KEPT:
            del self._by_second[min(self._by_second)]

    def newest(self, most: int) -> list[SeenChange]:
        """Of the last seconds in which something changed, the newest first."""
        return [self._by_second[second] for second in sorted(self._by_second, reverse=True)[:most]]


def _weight(change: SeenChange) -> tuple[bool, bool]:
    return change.enters, change.cause == "timer"
