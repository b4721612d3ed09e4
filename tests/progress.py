"""Say now and then what the tests are at: with dots alone, ten minutes look like a hang, and nobody knows which folder is slow."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import pytest

EVERY_SECONDS = 20.0


class Progress:
    """Counts tests that have ended. ``clock`` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._began = self._said_at = clock()
        self._ended = 0
        self._folders: dict[str, int] = {}

    def ended(self, test: str, total: int) -> str | None:
        """One test has ended: a line to print when it is time for one, else None.

        ``test`` is pytest's id of it, ``total`` the number of all tests, 0 where it is not known yet.
        """
        self._ended += 1
        folder = test.partition("::")[0].rpartition("/")[0].removeprefix("tests/")
        self._folders[folder] = self._folders.get(folder, 0) + 1
        now = self._clock()
        if now - self._said_at < EVERY_SECONDS:
            return None
        self._said_at = now
        where = ", ".join(f"{name} ({count})" for name, count in self._folders.items())
        self._folders = {}
        minutes, seconds = divmod(round(now - self._began), 60)
        return f"{minutes}:{seconds:02d}  {self._ended} of {total or '?'} tests; now in {where}"


class ProgressLines:
    """The plugin: lines between the dots, written by the process that gathers the reports."""

    def __init__(self) -> None:
        self._progress = Progress()
        self._session: pytest.Session | None = None

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Remember who knows how many tests there are."""
        self._session = session

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The last phase of a test has come."""
        if report.when != "teardown" or self._session is None:
            return
        line = self._progress.ended(report.nodeid, self._session.testscollected)
        terminal = self._session.config.pluginmanager.get_plugin("terminalreporter")
        if line is not None and terminal is not None:
            terminal.write_line(f"\n{line}")  # ends the line of dots
