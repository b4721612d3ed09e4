"""Definitions that somebody is writing: what is wrong with them, and whom they would catch. Nothing of it is published."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import msgspec

from streamer.errors import DefinitionError, SettingsError, TooMuchError
from streamer.language.definitions import Definitions, parse_definitions, parse_over
from streamer.language.lint.linter import lint
from streamer.previews.aside import PreviewsAside
from streamer.previews.conclusion import Wishes
from streamer.previews.deployment import fitting_share
from streamer.previews.result import Preview
from streamer.settings import Settings
from streamer.zones import MissingZonesError

FILE: Final = "text"
TEXT_CHARS_MAX: Final = 20_000
EVENTS_MAX: Final = 200_000
SECONDS_MAX: Final = 30.0
DAYS: Final = 7
SAMPLES: Final = 3


class Remark(NamedTuple):
    """What is said of a line of the text; 0: of none. ``is_wrong``: it cannot be used as it is, else it is only suspicious."""

    line: int
    text: str
    hint: str
    is_wrong: bool


class Checked(NamedTuple):
    """``definitions`` is None where something is wrong. ``names`` are the segments that the text itself defines."""

    definitions: Definitions | None
    remarks: list[Remark]
    names: frozenset[str] = frozenset()


class Tried(NamedTuple):
    """A preview, or why there is none."""

    preview: Preview | None = None
    why_not: str = ""


async def check(text: str, base: bytes = b"") -> Checked:
    """Read and lint a text, beside the loop; put over other definitions where there is their canonical JSON."""
    if len(text) > TEXT_CHARS_MAX:
        return Checked(None, [Remark(0, f"expected at most {TEXT_CHARS_MAX:,} characters", "", True)])
    return await asyncio.to_thread(_check, text, base)


async def check_alone_or_over(text: str, base: bytes) -> Checked:
    """The text alone where it can be read so; else put over others, as it may refer to them."""
    alone = await check(text)
    return alone if alone.definitions is not None or not base else await check(text, base)


def _check(text: str, base: bytes) -> Checked:
    try:
        definitions = parse_over(base, text, file=FILE) if base else parse_definitions(text, file=FILE)
    except DefinitionError as error:
        is_ours = error.file == FILE
        return Checked(None, [Remark(error.line if is_ours else 0, error.message, error.hint, True)])
    except MissingZonesError as error:
        return Checked(None, [Remark(0, str(error), "", True)])
    found = [Remark(one.line, f"{one.about}: {one.message}", "", False) for one in lint(definitions) if one.file == FILE]
    return Checked(definitions, found, frozenset(one.name for one in definitions.segments if one.file == FILE))


class TrialRuns:
    """Previews for those who write, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._aside = PreviewsAside(settings)

    async def run(self, checked: Checked, *, replaces: bool = False) -> Tried:
        """Try definitions on as many customers as ``EVENTS_MAX`` records of the log are of: what the segments of the text would do, or,
        where they are to replace all that holds, what would change at once."""
        assert checked.definitions is not None, "nothing is wrong with them"
        if self._aside.is_busy:
            return Tried(why_not="somebody else's definitions are being tried at this moment; try again in half a minute")
        try:
            share = await fitting_share(self._settings, EVENTS_MAX)
            wishes = Wishes(share, 1, 0, replaces=True) if replaces else Wishes(share, DAYS, SAMPLES)
            found = await self._aside.preview(checked.definitions, wishes, events_max=2 * EVENTS_MAX, seconds_max=SECONDS_MAX)
            shown = found.segments if replaces else [one for one in found.segments if one.name in checked.names]
            return Tried(msgspec.structs.replace(found, segments=shown))
        except (SettingsError, TooMuchError) as error:
            return Tried(why_not=str(error))


__all__ = ["Checked", "Remark", "TrialRuns", "Tried", "check", "check_alone_or_over"]
