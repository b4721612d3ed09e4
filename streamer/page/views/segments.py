"""*Segments*: how large each is, who came and went in a day, and who will within the hour by time alone."""

from __future__ import annotations

from functools import partial
from typing import Final

from streamer.page.segment_rows import SegmentRow, segment_rows
from streamer.page.sources import PageSources
from streamer.page.view import PageView, ViewFacts, ViewQuestion
from streamer.printable import printable

SHOWN: Final = 100  # at a time: to lay out a thousand lines takes a browser longer than somebody likes to wait
SORTS: Final = ("name", "size", "entered", "left", "leaves")


def view(sources: PageSources) -> PageView:
    """The list."""
    return PageView("segments", "/segments", partial(_show, sources), live_seconds=2.0, is_in_menu=True)


async def _show(sources: PageSources, asked: ViewQuestion) -> ViewFacts:
    forecast = await sources.forecasts.get()
    version, rows = await segment_rows(sources, forecast)
    wanted = asked.query.get("q", "").strip().lower()
    found = [row for row in rows if wanted in row.name or wanted in row.purpose.lower()]
    sort = asked.query.get("sort", "name")
    first = first_of(asked.query.get("from", ""), len(found))
    return {
        "rows": sorted(found, key=lambda row: _key(row, sort))[first : first + SHOWN],
        "found": len(found),
        "first": first,
        "most": SHOWN,
        "all": len(rows),
        "wanted": printable(wanted),
        "sort": sort if sort in SORTS else "name",
        "sorts": SORTS,
        "version": version,
        "reading": sources.history.reading,
        "whole_since_ms": sources.history.whole_since_ms,
        "is_bounded": forecast is not None and forecast.is_bounded,
    }


def first_of(text: str, number: int) -> int:
    """At which of so many lines a list begins: what is asked for, where that is one of them.

    >>> [first_of(text, 450) for text in ("", "200", "450", "-1", "x", "²")]
    [0, 200, 0, 0, 0, 0]
    """
    asked = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0
    return asked if asked < number else 0


def _key(row: SegmentRow, sort: str) -> tuple[int, str]:
    match sort:
        case "size":
            return -row.size, row.name
        case "entered":
            return -row.flow.entered, row.name
        case "left":
            return -row.flow.left, row.name
        case "leaves":
            return -(row.leaves or 0), row.name
        case _:
            return 0, row.name
