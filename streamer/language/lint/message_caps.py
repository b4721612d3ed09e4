"""Caps that can never be full because another that counts the same messages is full before."""

from __future__ import annotations

from collections.abc import Iterator

from streamer.language.definitions import Definitions
from streamer.language.message_specs import AGAIN_ONCE, Cap, Channel, MessageLimits, MessageSpec

ScopedCaps = tuple[tuple[str, Cap], ...]


def idle_caps(definitions: Definitions) -> Iterator[tuple[str, str]]:
    """Who has such a cap (``message NAME``, ``channel NAME``, ``message_limits``), and a sentence."""
    channels = {channel.name: channel for channel in definitions.channels}
    limits = definitions.message_limits
    shared = _scoped("all marketing", limits.caps)
    yield from (("message_limits", text) for text in _idle(limits.caps, shared))
    for channel in definitions.channels:
        yield from ((f"channel {channel.name}", text) for text in _idle(channel.caps, (*_of_channel(channel), *shared)))
    for message in definitions.messages:
        yield from ((f"message {message.name}", text) for text in _of_message(message, channels.get(message.channel), limits))


def _of_channel(channel: Channel) -> ScopedCaps:
    return _scoped(f"the channel {channel.name}", channel.caps)


def _of_message(message: MessageSpec, channel: Channel | None, limits: MessageLimits) -> Iterator[str]:
    if message.again_ms == AGAIN_ONCE and message.caps:
        yield f"its cap {message.caps[0].text} decides nothing: again: once sends it once"
        return
    others = _scoped("the message itself", message.caps)
    if message.kind == "marketing":
        others = (*others, *(_of_channel(channel) if channel is not None else ()), *_scoped("all marketing", limits.caps))
    yield from _idle(message.caps, others)


def _scoped(of: str, caps: tuple[Cap, ...]) -> ScopedCaps:
    return tuple((of, cap) for cap in caps)


def _idle(caps: tuple[Cap, ...], others: ScopedCaps) -> Iterator[str]:
    for cap in caps:
        for of, other in others:
            if cap is not other and other.most <= cap.most and other.window_ms >= cap.window_ms:
                yield f"its cap {cap.text} decides nothing: {of} is at {other.text}"
                break
