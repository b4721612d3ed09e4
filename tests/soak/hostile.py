"""Hostile logs: any JSON that admission lets through (and much that it does not), at any place, at any time from 1970 to 9999.

Everything is drawn from one seeded ``Random``, so a failure is a seed. Names and paths are those that the definitions ask for: a value that
nobody reads proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

from streamer.flow.replay import Arrival
from streamer.language import tree
from streamer.language.definitions import Definitions, load_definitions
from streamer.language.references import nodes
from streamer.segments.library import library_path

EVERY_FUNCTION = Path(__file__).with_name("every_function.yaml")
DAY_MS = 86_400_000
LAST_MS = 253_402_300_799_999

# Where a log may begin: the ends of the calendar, of 31 and 32 bits of seconds, days on which clocks jump, and now.
STARTS_MS = (
    0,
    (2**31 - 86_400) * 1_000,
    (2**32 - 86_400) * 1_000,
    1_774_738_800_000,  # 2026-03-29, summer time begins in Europe
    1_792_800_000_000,  # 2026-10-25, it ends
    1_709_164_800_000,  # 2024-02-29
    1_325_203_200_000,  # 2011-12-30, which Samoa left out
    LAST_MS - 40 * DAY_MS,
    LAST_MS - 36 * 3_600_000,
    LAST_MS - 1_000,
)
STEPS_MS = (*(0, 0, 1, 999) * 6, *(60_000, 1_800_001, 3_600_000) * 4, 6 * 3_600_000, DAY_MS, 8 * DAY_MS)
SPAN_MS_MAX = 60 * DAY_MS  # of one log: each day has its timers, and they are most of the work

ZONES = (
    *("Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Apia", "Etc/GMT+12", "Asia/Kathmandu", "Australia/Lord_Howe"),
    *("America/Vancouver", "Africa/Casablanca", "UTC", "Factory", "localtime", "../../etc/passwd", "europe/berlin", "tzdata.zi", "", "\0"),
)
TEXTS = (
    *("", " ", "0", "-0", "1", "1.5", "+7", "1e5", "1,299.00", "51,00", "99999999999999999999", "0x10", "NaN", "Infinity", "١٢٣"),
    *("true", "null", "[]", "{}", "\0", "a\0b", "\u202e\u2066", "\u2028", "\x1b[2J", "é", "e\u0301", "İ", "ß", "🛒" * 40, "*", "a*", "%2F"),
    *("de-AT", "de_AT", "-", "_", "en", "x" * 600, "ｘ"),
    *("0001-01-01", "0000-00-00", "9999-12-31", "2024-02-29", "2023-02-29", "1900-02-29", "2026-13-01", "2026-1-1", "20260101"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-12:00", "2016-12-31T23:59:60Z"),
    *(
        "2026-03-04T24:00:00Z",
        "2026-03-04T12:00:00",
        "2026-03-04T12:00:00Z",
        "2026-03-04 12:00:00+05:45",
        '2026-03-04T12:00:00Z"',
        "2026-03-04\\",
    ),
    "２０２６-０３-０４",
)
DATES = TEXTS.index("0001-01-01")  # from here on they are dates, or nearly
NUMBERS = (
    *(0, -0.0, 1, -1, 0.1, 2.5, 1e-300, 5e-324, 1e12, 1e12 + 1, -1e12, 1e15, 1e300, -1e308, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63),
    *(1_772_625_600, 1_772_625_600_000, 99_999_999_999, 100_000_000_000, LAST_MS, LAST_MS + 1, -62_135_596_800_000, -62_135_596_800_001),
    *(-LAST_MS, 253_402_300_799_998.5, 1e11 + 0.5, -1_000),
)


@dataclass(frozen=True)
class Words:
    """What definitions ask for."""

    names: Sequence[str]
    paths: Sequence[tuple[str, ...]]
    constants: Sequence[Any]


def everything() -> Definitions:
    """The shipped library, and every function of the language over the same words."""
    return load_definitions(library_path(), EVERY_FUNCTION)


def words_of(definitions: Definitions) -> Words:
    """Event names, paths and constants that stand in the definitions, in their order."""
    names, paths, constants = dict[str, None](), dict[tuple[str, ...], None](), dict[str, Any]()
    for segment in definitions.segments:
        for condition in segment.conditions:
            for node in nodes(condition):
                if isinstance(node, tree.Events):
                    names.update(dict.fromkeys(name.rstrip("*") or "Anything" for name in node.names))
                path = getattr(node, "path", None)
                if isinstance(path, tuple):
                    paths[cast("tuple[str, ...]", path)] = None
                for constant in (getattr(node, "right", None), *getattr(node, "items", ())):
                    if isinstance(constant, (str, int, float)):
                        constants[repr(constant)] = constant
    return Words(tuple(names), tuple(paths), tuple(constants.values()))


class Hostile:
    """One log. ``arrivals`` are its records; the same seed gives the same ones."""

    def __init__(self, words: Words, seed: int) -> None:
        self._words = words
        self._dice = Random(seed)
        self._start = STARTS_MS[seed % len(STARTS_MS)]
        self._numbers = 0

    def arrivals(self, count: int) -> Iterator[Arrival]:
        """So many records, in the order of their arrival."""
        start = now = self._start
        for line in range(1, count + 1):
            now = min(now + self._dice.choice(STEPS_MS), LAST_MS, start + SPAN_MS_MAX)
            yield Arrival(line, now, self.event(now))

    def event(self, now: int) -> bytes:
        """One record; mostly an event that is accepted."""
        dice = self._dice
        self._numbers += 1
        fields: dict[str, Any] = {
            "type": dice.choice(("track",) * 12 + ("identify", "page", "screen", "group", "alias")),
            "event": dice.choice(self._words.names),
            "messageId": f"m{self._numbers - (dice.random() < 0.05)}",
            "userId": f"c{dice.randrange(4)}",
            "timestamp": max(0, now - dice.choice((0, 0, 0, 1, 1_000, 3_600_000, DAY_MS - 1, DAY_MS, -1, -299_999, -300_001))),
        }
        for part in ("properties", "traits", "context"):
            if dice.random() < 0.6:
                fields[part] = self._part()
        if dice.random() < 0.3:
            fields["traits"] = {**self._part(), "birthday": dice.choice(TEXTS[DATES:] + NUMBERS)}
        if dice.random() < 0.5:
            fields[dice.choice(("traits", "context"))] = {**self._part(), "timezone": dice.choice(ZONES)}
        if dice.random() < 0.02:
            fields[dice.choice(tuple(fields))] = self.value(3)
        return json.dumps(fields, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")

    def _part(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(self._dice.randint(0, 5)):
            self._put(found, self._dice.choice(self._words.paths), self.value(3))
        return found

    def _put(self, inner: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
        """A value at a path, now and then behind lists, or with something else in the middle of the path."""
        for key in path[:-1]:
            if self._dice.random() < 0.2:
                inner[key] = [{rest: value} for rest in path[-1:] for _ in range(self._dice.randint(0, 3))]
                return
            following = inner.setdefault(key, {})
            if not isinstance(following, dict):
                return
            inner = cast("dict[str, Any]", following)
        inner[path[-1]] = value

    def value(self, depth: int) -> Any:
        """Any JSON."""
        dice = self._dice
        kind = dice.randrange(12 if depth else 9)
        if kind < 3:
            return dice.choice(TEXTS)
        if kind < 5:
            return dice.choice(NUMBERS)
        if kind < 7:
            return dice.choice(self._words.constants)
        if kind == 7:
            return dice.choice((None, True, False))
        if kind == 8:
            return dice.choice(
                (dice.randint(-(2**63), 2**63 - 1), dice.uniform(-1e13, 1e13), dice.randint(0, 2_000), chr(dice.randrange(0xD800)) * 3)
            )
        if kind == 9:
            return {dice.choice(("sku", "price", "", "a.b", "timezone")): self.value(depth - 1) for _ in range(dice.randint(0, 3))}
        return [self.value(depth - 1) for _ in range(dice.choice((0, 1, 2, 3, 70, 300) if depth == 3 else (0, 1, 2)))]
