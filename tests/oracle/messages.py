"""What a definition of messages says, with all that it leaves out filled in (LANGUAGE.md, section 7, the table of keys)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.oracle.expressions import leaves, memory_of, parse
from tests.oracle.moments import Clockwork
from tests.oracle.story import ZONE, Definitions
from tests.oracle.values import duration_ms

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Trigger:
    """``kind`` is entered, left or turns; ``what`` the segment, or the text of the condition."""

    kind: str
    what: str

    @property
    def on(self) -> str:
        return self.what if self.kind == "turns" else f"{self.kind} {self.what}"


@dataclass(frozen=True)
class Cap:
    most: int
    window_ms: int

    @property
    def text(self) -> str:
        return f"{self.most} per {length_text(self.window_ms)}"


@dataclass(frozen=True)
class Quiet:
    """Minutes of the day."""

    begin: int
    end: int

    @property
    def text(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.begin, self.end))

    def has(self, minute: int) -> bool:
        return self.begin <= minute < self.end if self.begin < self.end else minute >= self.begin or minute < self.end


@dataclass(frozen=True)
class Message:
    name: str
    trigger: Trigger
    also: frozenset[str]
    delay_ms: int
    require: ast.expr | None
    stay: bool
    again: str
    expiry_ms: int
    channel: str
    kind: str
    topic: str | None
    address: ast.expr | None
    language: tuple[ast.expr, ...]
    facts: dict[str, Any]  # by name: an expression, or the mapping of what is left of a cart
    template: str
    caps: tuple[Cap, ...]
    quiet: Quiet | None
    holdout_bp: int
    variants: dict[str, int]
    priority: int
    goal: dict[str, Any] | None

    @property
    def is_marketing(self) -> bool:
        return self.kind == "marketing"

    @property
    def trees(self) -> Iterator[ast.expr]:
        """Every expression of it."""
        if self.trigger.kind == "turns":
            yield parse(self.trigger.what)
        yield from (tree for tree in (self.require, self.address, *self.language) if tree is not None)
        yield from (fact for fact in self.facts.values() if isinstance(fact, ast.expr))

    @property
    def more_memories(self) -> set[str]:
        """What it needs remembered besides what its expressions ask for."""
        carts = {cart_memory(fact) for fact in self.facts.values() if isinstance(fact, dict)}
        consent = {consent_memory(way, self.topic, self.channel) for way in CONSENT_WAYS if self.topic is not None}
        return {ZONE, *carts, *consent, *(suppression_memory(name, self.channel) for name in (*SUPPRESSES, "Unsuppressed"))}


CONSENT_WAYS = ("given", "withdrawn", "unsubscribed")
SUPPRESSES = ("Bounced", "Complained", "Suppressed")


def cart_memory(fact: dict[str, Any]) -> str:
    return f"cart {sorted(fact.items())}"


def consent_memory(way: str, topic: str | None, channel: str) -> str:
    """Who unsubscribes does so on every channel, so that is remembered for all of them together."""
    return f"consent {way} {topic}" if way == "unsubscribed" else f"consent {way} {topic} {channel}"


def suppression_memory(name: str, channel: str) -> str:
    return f"suppression {name} {channel}"


class MessageDefinitions(Definitions):
    """Segments, and the messages over them."""

    def __init__(self, source: dict[str, Any], version: int) -> None:
        super().__init__(source, version)
        self.topics: dict[str, str] = source.get("topics", {})
        self.channels: dict[str, dict[str, Any]] = source.get("channels", {})
        limits = source.get("message_limits", {})
        self.global_caps, self.global_holdout_bp = caps_of(limits), share_bp(limits.get("holdout", "0%"))
        self.messages = {name: self._message(name, given) for name, given in source.get("messages", {}).items()}
        conditions = [parse(each.trigger.what) for each in self.messages.values() if each.trigger.kind == "turns"]
        waits = [wait for each in self.segments.values() for wait in (each.stay_ms, each.cooldown_ms)]
        self.clockwork = Clockwork([*self.trees, *conditions], waits)

    def memories(self) -> set[str]:
        trees = [tree for each in self.messages.values() for tree in each.trees]
        more = {memory for each in self.messages.values() for memory in each.more_memories}
        return super().memories() | {memory_of(leaf) for tree in trees for leaf in leaves(tree)} | more

    def channel_caps(self, channel: str) -> tuple[Cap, ...]:
        return caps_of(self.channels.get(channel, {}))

    def _message(self, name: str, given: dict[str, Any]) -> Message:
        kind, channel = given.get("kind", "marketing"), given["channel"]
        quiet = given.get("quiet", self.channels.get(channel, {}).get("quiet", "none") if kind == "marketing" else "none")
        address = given.get("address", 'trait("email")' if channel == "email" else None)
        languages = (given["language"],) if "language" in given else ('trait("locale")', 'context("locale")')
        return Message(
            name,
            _trigger(given["on"]),
            frozenset(_items(given.get("also", []))),
            duration_ms(given.get("delay", "0ms")) or 0,
            parse(given["require"]) if "require" in given else None,
            given.get("stay", True),
            given.get("again", "always"),
            duration_ms(given.get("expiry", "24h")) or 0,
            channel,
            kind,
            given.get("topic"),
            None if address is None else parse(address),
            tuple(parse(text) for text in languages),
            {fact: parse(said) if isinstance(said, str) else said for fact, said in sorted(given.get("facts", {}).items())},
            given.get("template", name),
            caps_of(given),
            _quiet(quiet),
            share_bp(given.get("holdout", "0%")),
            dict(sorted(given.get("variants", {}).items())),
            given.get("priority", 0),
            given.get("goal"),
        )


def _trigger(text: str) -> Trigger:
    match parse(text):
        case ast.Call(func=ast.Name(id="entered" | "left" as kind), args=[ast.Constant(value=str() as segment)]):
            return Trigger(kind, segment)
        case _:
            return Trigger("turns", text)


def caps_of(given: dict[str, Any]) -> tuple[Cap, ...]:
    pairs = [text.split(" per ") for text in _items(given.get("cap", []))]
    return tuple(Cap(int(most), duration_ms(window) or 0) for most, window in pairs)


def share_bp(text: str) -> int:
    found = re.fullmatch(r"(\d+)(?:\.(\d{1,2}))?%", text)
    assert found is not None
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))


def _quiet(text: str) -> Quiet | None:
    if text == "none":
        return None
    begin, end = (int(side[:2]) * 60 + int(side[3:]) for side in text.split("-"))
    return Quiet(begin, end % 1440)


def _items(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def length_text(length_ms: int) -> str:
    """``25h`` as ``1d1h``."""
    parts: list[str] = []
    for unit, size in (("d", 24 * HOUR_MS), ("h", HOUR_MS), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        amount, length_ms = divmod(length_ms, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts)
