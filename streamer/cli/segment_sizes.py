"""How large each segment is, who came and went, and who will by time alone: the figures of the page, for ``streamer segments sizes``."""

from __future__ import annotations

import msgspec

from streamer.errors import SettingsError, UnansweredError
from streamer.page.assembly import page_over
from streamer.page.segment_rows import SegmentRow, segment_rows
from streamer.page.standing import SegmentReadiness
from streamer.server.customer_answers import NoEnds
from streamer.server.errors import AnswerError
from streamer.server.feed import Feed
from streamer.server.page_door import PageParts
from streamer.server.process import answers_over, now_ms
from streamer.settings import Settings
from streamer.telemetry.server_metrics import ServerMetrics


class SizeLine(msgspec.Struct):
    """A segment: its exact size; who entered and left in the last 24 hours; who will within the hour if nothing happens, where
    ``is_bounded`` at least so many."""

    segment: str
    size: int
    entered: int
    left: int
    will_enter: int
    will_leave: int
    is_bounded: bool
    readiness: SegmentReadiness


async def read_sizes(settings: Settings) -> list[SizeLine]:
    """All segments in force, by name. SettingsError where nothing is published or Kafka does not answer; raises what the store raises."""
    store, ends = settings.open_store(), NoEnds()
    try:
        answers = answers_over(settings, store, ends)
        sources = page_over(PageParts(settings, store, answers, ends, Feed(settings, ServerMetrics()), now_ms)).sources
        await sources.history.read_once()
        forecast = await sources.forecasts.look()
        _, rows = await segment_rows(sources, forecast)
        return [_line(row, is_bounded=forecast.is_bounded) for row in rows]
    except UnansweredError as error:
        raise SettingsError(f"STREAMER_KAFKA: the topic of changes was not read: {error}") from None
    except AnswerError as error:
        raise SettingsError(error.body.message) from None
    finally:
        await store.close()


def _line(row: SegmentRow, *, is_bounded: bool) -> SizeLine:
    enters, leaves = row.enters or 0, row.leaves or 0
    return SizeLine(row.name, row.size, row.flow.entered, row.flow.left, enters, leaves, is_bounded, row.readiness)


def size_text(line: SizeLine) -> str:
    """A line for a person.

    >>> print(size_text(SizeLine("buyer", 1_200, 31, 4, 0, 7, True, "warming")))
    buyer: 1,200 members, warming; 31 entered and 4 left in 24 h; 0+ will enter and 7+ will leave within the hour
    """
    more = "+" if line.is_bounded else ""
    word = {"ready": "", "warming": ", warming", "not_ready": ", not ready"}[line.readiness]
    flow = f"{line.entered:,} entered and {line.left:,} left in 24 h"
    ahead = f"{line.will_enter:,}{more} will enter and {line.will_leave:,}{more} will leave within the hour"
    return f"{line.segment}: {line.size:,} members{word}; {flow}; {ahead}"
