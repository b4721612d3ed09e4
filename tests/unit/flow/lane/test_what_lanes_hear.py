"""What lanes of other shards send is held within a bound, heard again where it had no room, and forgotten once it was taken."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, cast

import pytest

from streamer.flow.forwards import Forward
from streamer.flow.identity_records import Side, encode_identity
from streamer.flow.lane.hearing import Hearing
from streamer.flow.lane.mailbox import Heard, Mailbox, SentFrom
from streamer.flow.rules import Rules
from streamer.signing import NO_KEYS, Trust
from streamer.wire import LogRecord
from tests.property.driving import ListLog

pytestmark = pytest.mark.fast

SHARDS: Final = 4
OF_EACH: Final = 60
ROOM: Final = 8  # parts that fit


def sent(offset: int, place: SentFrom, *, version: int = 2, before: str = "b", is_of_history: bool = False) -> LogRecord:
    """A record at this offset of the log of shard 0, by which a lane has sent something from a place."""
    number = place[1]
    side = Side(
        version=version,
        before=before,
        to="to",
        from_="from",
        cause="m",
        linked_ms=1,
        origin_ms=1,
        drained_ms=1,
        memories={"k": number},
        is_of_history=is_of_history,
    )
    return LogRecord(offset, 1, encode_identity(side), key=b"to", headers=Forward(1, *place, 0, 1, "side").headers)


def a_log() -> tuple[list[LogRecord], list[SentFrom]]:
    """Three lanes that were ahead of this one, one after another; and the order in which it wants what they sent, by turns."""
    places = [(shard, 10 * number) for shard in range(1, SHARDS) for number in range(OF_EACH)]
    records = [sent(offset, place) for offset, place in enumerate(places, 3)]
    return records, sorted(places, key=lambda place: place[1])


def mailbox(room: int = ROOM) -> Mailbox:
    return Mailbox(0, Rules(shards=SHARDS), NO_KEYS, 2, "b", room * len(sent(9, (1, 100)).value))


class Lane:
    """As much of a lane as whoever hears for it asks for."""

    def __init__(self, of: Mailbox) -> None:
        self.shard, self.mailbox, self.heard, self.held_max = 0, of, 0, 0
        self.listen_for, self.give_up, self.has_come = of.listen_for, of.give_up, of.has

    @property
    def heard_upto(self) -> int:
        return self.mailbox.heard_upto

    def hear(self, records: Sequence[LogRecord]) -> None:
        self.heard += len(records)
        self.mailbox.hear(records)
        self.held_max = max(self.held_max, self.mailbox.held_bytes)

    def takes(self, place: SentFrom) -> Any:
        found = self.mailbox.take(place)
        self.mailbox.forget()
        return None if found is None else found.memories["k"]


class SmallLog(ListLog):
    """A log that is read a few records at a time."""

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        async for records in super().read(shard, offset, min(limit, 5)):
            yield records


async def test_what_is_held_has_a_bound_and_all_of_it_comes_all_the_same() -> None:
    """Lanes of large shops send a past for each login there ever was, and one that is behind would hold them all."""
    records, wanted = a_log()
    lane = Lane(mailbox())
    hearing = Hearing(cast("Any", lane), SmallLog(records))
    size_bytes = len(sent(9, (1, 100)).value)
    for place in wanted:
        assert await hearing.has_come(place)
        assert lane.takes(place) == place[1]
    assert lane.held_max <= (ROOM + 1) * size_bytes
    assert lane.mailbox.held_bytes == 0
    assert len(records) < lane.heard, "some had no room"
    assert lane.heard < len(records) * len(records) / 2
    plenty = Lane(mailbox(len(records)))
    hearing = Hearing(cast("Any", plenty), SmallLog(records))
    assert [plenty.takes(place) for place in wanted if await hearing.has_come(place)] == [place[1] for place in wanted]
    assert plenty.heard == len(records), "each record is heard once where all have room"


@pytest.mark.parametrize("room", [ROOM, 1_000])
async def test_whoever_goes_on_hears_from_where_the_oldest_lies_that_is_not_taken(room: int) -> None:
    """Not from the beginning of the log: that may be years before."""
    records, wanted = a_log()
    lane = Lane(mailbox(room))
    hearing = Hearing(cast("Any", lane), SmallLog(records))
    for place in wanted[: len(wanted) // 2]:
        assert await hearing.has_come(place)
        lane.takes(place)
    heard, last = lane.mailbox.needed_from, wanted[len(wanted) // 2 - 1]
    assert heard.offset > records[OF_EACH // 2 - 2].offset
    after = mailbox(room)
    after.begin(heard, dict.fromkeys(range(1, SHARDS), (1, last[1], 0)))
    lane = Lane(after)
    hearing = Hearing(cast("Any", lane), SmallLog([record for record in records if record.offset >= heard.offset]))
    for place in wanted[len(wanted) // 2 :]:
        assert await hearing.has_come(place)
        assert lane.takes(place) == place[1]
    assert lane.mailbox.needed_from.offset == records[-1].offset + 1


async def test_nothing_is_given_up_that_only_had_no_room() -> None:
    """A lane sends in the order of its log: what is missing before something that has come will never come, unless it was left out here."""
    records = [sent(offset, (1, offset)) for offset in (*range(20), *range(21, 40))]
    lane = Lane(mailbox(3))
    hearing = Hearing(cast("Any", lane), SmallLog(records))
    assert await hearing.has_come((1, 39))
    assert not lane.mailbox.has((1, 15))
    assert await hearing.has_come((1, 15))
    assert lane.takes((1, 15)) == 15
    assert await hearing.has_come((1, 20))
    assert lane.takes((1, 20)) is None, "it was never sent"
    assert not await hearing.has_come((1, 40)), "it may be sent yet"


def test_what_is_held_has_its_room_when_it_is_heard_again() -> None:
    """A relay that crashed sends again. A mailbox that is full would call that left out, and have all of the log behind it read again."""
    box = mailbox(1)
    box.hear([sent(0, (1, 5)), sent(1, (1, 5))])
    assert box.held_bytes == len(sent(0, (1, 5)).value), "it is full, and holds it once"
    assert box.has((1, 3)), "nothing was left out: what is missing was never sent"
    box.take((1, 5))
    box.forget()
    assert (box.held_bytes, box.needed_from.offset) == (0, 2)


async def test_what_only_history_knows_is_sent_before_its_turn_and_kept_for_it() -> None:
    """It is sent where the id was linked, and asked for where the history of it was brought in."""
    records = [sent(0, (1, 5), is_of_history=True), sent(1, (1, 8)), sent(2, (1, 9)), sent(3, (1, 5), is_of_history=True)]
    box = mailbox()
    box.begin(Heard(0, Trust()), {1: (1, 9, 0)})
    lane = Lane(box)
    hearing = Hearing(cast("Any", lane), ListLog(records))
    assert await hearing.has_come((1, 9))
    assert (lane.takes((1, 9)), lane.takes((1, 5))) == (9, 5)
    box.hear([sent(4, (1, 5), is_of_history=True), sent(5, (1, 9))])
    assert box.held_bytes == 0, "a relay that crashed has sent them again"


def test_what_leads_to_other_definitions_or_from_others_is_not_heard() -> None:
    """What is new between those is something else: its memories would be taken for this lane's."""
    box = mailbox()
    box.hear([sent(0, (1, 5), version=3), sent(1, (1, 6), before="c"), sent(2, (2, 5), before="")])
    assert box.held_bytes == 0
    assert [box.has(place) for place in ((1, 5), (1, 6), (2, 5))] == [False] * 3
    box.hear([sent(3, (1, 6))])
    assert box.has((1, 6))
