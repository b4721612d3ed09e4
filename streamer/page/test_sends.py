"""A message sent from the page to an address that the operator has allowed, as ``streamer messages test`` does: one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from streamer.errors import SettingsError
from streamer.sender.channels import Accepted, Outgoing
from streamer.sender.test_send import send_to
from streamer.settings import Settings

SECONDS_MAX: Final = 30.0
CONSOLE: Final = "console"


class TestSends:
    """Sends them. ``addresses`` are those that may be written to."""

    __test__ = False  # a name that pytest would take for its own

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        self.addresses = settings.serve_test_addresses
        self._settings = settings
        self._now_ms = now_ms
        self._turn = asyncio.Lock()

    async def send(self, found: Outgoing, to: str) -> str:
        """What became of it, in words. SettingsError where it was not sent, or nobody can tell."""
        if to not in self.addresses:
            raise SettingsError("this address is none of STREAMER_SERVE_TEST_ADDRESSES")
        if found.decision.data.channel == CONSOLE:
            raise SettingsError("a message of the channel console is printed by a sender, and goes to nobody")
        try:
            async with self._turn, asyncio.timeout(SECONDS_MAX):
                attempt = await send_to(self._settings, found, to, _nowhere, self._now_ms)
        except TimeoutError:
            raise SettingsError(f"nobody can tell whether it was sent: no answer within {SECONDS_MAX:g} s") from None
        if not isinstance(attempt, Accepted):
            raise SettingsError(f"not sent, or nobody can tell: {attempt.detail}")
        return f"the server has it: {attempt.detail}" if attempt.detail else "sent"


def _nowhere(_line: str) -> None:
    """What would be printed has a customer's data in it, and a server's output is a log."""


__all__ = ["TestSends"]
