"""A message sent to oneself with a customer's facts, by its channel, at once: nothing says so, and it counts for no cap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from streamer.errors import SettingsError
from streamer.settings import Settings

from .channels import Attempt, Outgoing
from .channels.opening import open_channels

TEST_PREFIX: Final = "[test] "  # before the subject


async def send_to(settings: Settings, found: Outgoing, to: str, write: Callable[[str], None], now_ms: Callable[[], int]) -> Attempt:
    """What became of it. Its link to unsubscribe is left out: it would unsubscribe the customer. ``write`` is where the console channel
    prints. SettingsError where the channel is not set up here, or ``to`` is no address of it."""
    channels = open_channels(settings, write, now_ms)
    name = found.decision.data.channel
    channel = channels.get(name)
    try:
        if channel is None:
            raise SettingsError(f"there is no channel {name!r} here; set it up as for `streamer send`")
        address = channel.address(to)
        if address is None:
            raise SettingsError(f"{to!r} is no address of the channel {name!r}")
        content = replace(found.content, subject=TEST_PREFIX + found.content.subject)
        return await channel.send(replace(found, address=address, content=content, unsubscribe_url=""))
    finally:
        for one in channels.values():
            await one.close()


__all__ = ["TEST_PREFIX", "send_to"]
