"""What became of records, on the page: counted a second time from what was written and from the dead letters."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

import pytest

from streamer.cli.shard_counts import count_lines
from streamer.events.dead_letter import read_dead_letter
from streamer.printable import printable
from streamer.transports.kafka.topic_tail import TailRecord
from streamer.values import time_text
from streamer.wire import DEAD_LETTERS, EVENTS, DeadLetter, Origin, encode_dead_letter
from streamer.worker.status.record_counts import record_counts
from tests.unit.flow.persons import segments

from .desk import SHARDS, PageDesk, looking
from .test_hostile_texts import HOSTILE, check_harmless

RULES = segments(seen='did("A")')


class Rows(HTMLParser):
    """The rows of all tables, by their cells' texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.found.append([])
        if tag in ("td", "th"):
            self.found[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.found[-1][-1] += data


async def shop_of(desk: PageDesk) -> None:
    """Ten customers, three second deliveries, two kinds of bad records."""
    for number in range(10):
        message = desk.shop.write("A", userId=f"c{number}")
        if number < 3:
            desk.shop.write("A", userId=f"c{number}", messageId=message)
    for number in range(4):
        desk.shop.write("A", userId=f"c{number}", timestamp="never")
    desk.shop.log.append(EVENTS, 0, b"no json", key=b"c")
    await desk.settle()


async def test_counts_are_those_of_the_log() -> None:
    """What was written is known here, and each refusal lies in the topic of dead letters."""
    async with looking(RULES) as desk:
        await shop_of(desk)
        found = await desk.look("/sources")
        assert "Accepted 10 Duplicates 3 Refused 5 Sent on to another shard 0 Sent on twice 0 Of erased customers 0" in found.text
        letters = [read_dead_letter(one.value) for shard in range(SHARDS) for one in desk.shop.log.records(DEAD_LETTERS, shard)]
        reasons = Counter(letter.reason for letter in letters)
        assert reasons == {"bad_timestamp": 4, "not_json": 1}
        rows = Rows(found.html).found
        for reason, times in reasons.items():
            assert [reason, str(times), str(times)] in rows
            assert ["does not name itself", reason, str(times)] in rows


async def test_the_command_says_the_same() -> None:
    """One count for both."""
    async with looking(RULES) as desk:
        await shop_of(desk)
        counts = record_counts(await desk.page.sources.shards())
        assert list(count_lines(counts)) == [
            f"accepted 10, duplicates 3, refused 5, sent on 0, sent on twice 0, of erased customers 0; as of {time_text(desk.shop.now_ms)}",
            "  refused, bad_timestamp: 4",
            "  refused, not_json: 1",
        ]


async def test_a_record_of_another_shard_is_not_counted_as_refused() -> None:
    """It is sent on, and counts where its customer is."""
    async with looking(RULES) as desk:
        for shard in range(SHARDS):
            desk.shop.write("A", userId="c1", shard=shard)
        await desk.settle()
        counts = record_counts(await desk.page.sources.shards())
        assert (counts.accepted, counts.sent_on, counts.all_refused) == (SHARDS, SHARDS - 1, 0)


@pytest.mark.parametrize("language", ["en", "uk", "ar", "fa"])
async def test_no_name_of_a_producer_is_obeyed(language: str) -> None:
    """Whoever sends a record says what it was made by; and what was refused before the log is counted beside what lay in it."""
    async with looking(RULES) as desk:
        await desk.settle()
        for offset, text in enumerate(HOSTILE):
            letter = DeadLetter("late", "$", text, Origin("http", 0, offset), "", time_text(0), text)
            desk.page.sources.letters.take(TailRecord(DEAD_LETTERS, 0, offset, encode_dead_letter(letter), b""))
        found = await desk.look(f"/sources?lang={language}")
        check_harmless(found.html)
        assert ["late", "0", str(len(HOSTILE))] in Rows(found.html).found
        for text in HOSTILE:
            assert printable(text)[:60] in found.text
