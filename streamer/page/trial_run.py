"""Definitions that somebody is writing: what is wrong with them, and whom they would catch. Nothing of it is published."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from streamer.errors import DefinitionError, SettingsError, TooMuchError
from streamer.language.definitions import Definitions, parse_definitions
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
    """``definitions`` is None where something is wrong."""

    definitions: Definitions | None
    remarks: list[Remark]


class Tried(NamedTuple):
    """A preview, or why there is none."""

    preview: Preview | None = None
    why_not: str = ""


async def check(text: str) -> Checked:
    """Read and lint a text, beside the loop."""
    if len(text) > TEXT_CHARS_MAX:
        return Checked(None, [Remark(0, f"expected at most {TEXT_CHARS_MAX:,} characters", "", True)])
    return await asyncio.to_thread(_check, text)


def _check(text: str) -> Checked:
    try:
        definitions = parse_definitions(text, file=FILE)
    except DefinitionError as error:
        return Checked(None, [Remark(error.line, error.message, error.hint, True)])
    except MissingZonesError as error:
        return Checked(None, [Remark(0, str(error), "", True)])
    found = [Remark(one.line, f"{one.about}: {one.message}", "", False) for one in lint(definitions)]
    return Checked(definitions, found)


class TrialRuns:
    """Previews for those who write, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._aside = PreviewsAside(settings)

    async def run(self, definitions: Definitions) -> Tried:
        """Try definitions on as many customers as ``EVENTS_MAX`` records of the log are of."""
        if self._aside.is_busy:
            return Tried(why_not="somebody else's definitions are being tried at this moment; try again in half a minute")
        try:
            share = await fitting_share(self._settings, EVENTS_MAX)
            wishes = Wishes(share, DAYS, SAMPLES)
            return Tried(await self._aside.preview(definitions, wishes, events_max=2 * EVENTS_MAX, seconds_max=SECONDS_MAX))
        except (SettingsError, TooMuchError) as error:
            return Tried(why_not=str(error))


__all__ = ["Checked", "Remark", "TrialRuns", "Tried", "check"]
