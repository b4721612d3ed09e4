"""Orders of a person to a shard whose log has markers of transactions in it: they mean the records there are, and every rebuild obeys."""

from __future__ import annotations

import pytest

from streamer.errors import FencedError, SettingsError, StoreUnavailableError
from streamer.events.codec import encode
from streamer.events.dead_letter import read_dead_letter
from streamer.events.event import Event
from streamer.flow.amendments import Amendment, MemoryJournal, decode_amendment, encode_amendment
from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.same_log import delivered
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.stores.base import Position
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import MemoryLog
from streamer.wire import DEAD_LETTERS, EVENTS, Output, definitions_control
from streamer.worker.commands.shard_orders import amend, going_on

NOW_MS = 1_767_225_600_000
DAY_MS = 86_400_000
RULES = Rules(shards=1)
WHOLE = Limits()
COMMAND = ""  # none: what was asked for by nobody may come again
SEEN = parse_definitions({"segments": {"seen": {"for": "x", "when": 'did("View", within="10m")'}}})


class Shop:
    """One shard: its log with a broker's clock that can be set, its store, its amendments."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.log, self.store = MemoryLog(1, lambda: self.now_ms), MemoryStore()
        self.kept: list[Amendment] = []
        self.log.send_control(definitions_control(SEEN.content(), SEEN.digest, 1))

    def view(self, number: int) -> int:
        """An event as its customer's clock has it, which is right; its offset."""
        event = Event(event="View", message_id=f"m-{number}", user_id=f"c-{number}", timestamp_ms=NOW_MS)
        return self.log.append(EVENTS, 0, encode(event))

    def marker(self) -> None:
        self.log.use_offset(EVENTS, 0)

    async def acquire(self, store: MemoryStore, limits: Limits = WHOLE) -> Shard:
        return await Shard.acquire(
            0, store, Plans(store, RULES), RULES, limits=limits, journal=MemoryJournal(list(self.kept)), pause=_never
        )

    async def tell(self, store: MemoryStore | None = None, limits: Limits = WHOLE) -> tuple[Shard, list[Output]]:
        """Read the log from where the shard stands to its end."""
        shard = await self.acquire(store or self.store, limits)
        entries = await shard.process(self.log.fetch(0, shard.position.offset, 1_000))
        return shard, [output for _, entry in entries for output in entry]

    async def order(self, *, at: int | None = None, arrival_ms: int | None = None, command: str = COMMAND) -> Amendment:
        async def journal(_shard: int) -> MemoryJournal:
            return MemoryJournal(self.kept)

        decide = going_on(0, 1, "ops@shop", "a test", self.log.unread, at=at, arrival_ms=arrival_ms)
        return await amend(self.store, journal, 0, decide, command)


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("a store in memory does not come and go")


async def test_the_record_that_is_passed_over_is_the_next_one_although_a_marker_lies_at_the_position() -> None:
    """An amendment at the marker's offset would match no record, and the poisoned one would come again."""
    shop = Shop()
    shop.view(1)
    await shop.tell()
    shop.marker()
    shop.marker()
    poisoned = shop.view(2)
    shop.view(3)

    amendment = await shop.order()
    assert (amendment.what, amendment.offset) == ("skip", poisoned)
    shard, outputs = await shop.tell()
    [letter] = [read_dead_letter(output.value) for output in outputs if output.topic == DEAD_LETTERS]
    assert letter.origin is not None
    assert (letter.reason, letter.origin.offset) == ("passed_over", poisoned)
    assert shard.body.counts == {"accepted": 2, "passed_over": 1}


async def test_nothing_is_passed_over_where_nothing_lies() -> None:
    """Else the first record that comes would be lost, whatever it is."""
    shop = Shop()
    await shop.tell()
    shop.marker()
    with pytest.raises(SettingsError, match="no record at or behind its position 1 "):
        await shop.order()
    assert not shop.kept


@pytest.mark.parametrize("limits", [Limits(), Limits(records=1), Limits(records=2)])
async def test_a_jump_of_the_brokers_clock_over_many_records_is_bounded_by_one_order(limits: Limits) -> None:
    """With the jump as it is the log's time would stand three days ahead, and everybody's events would be late until then."""
    shop = Shop()
    first = shop.view(1)
    await shop.tell()
    shop.now_ms = NOW_MS + 3 * DAY_MS
    shop.marker()
    jumped = [shop.view(number) for number in range(2, 6)]
    shop.marker()
    shop.now_ms = NOW_MS + 5
    jumped.append(shop.view(6))  # within the range, and earlier than the bound: it arrived when it did

    amendment = await shop.order(arrival_ms=NOW_MS + 10)
    assert (amendment.offset, amendment.to, amendment.arrival_ms) == (first + 1, jumped[-1] + 1, NOW_MS + 10)
    shop.now_ms = NOW_MS + 60_000
    behind = shop.view(7)
    shard, told = await shop.tell(limits=limits)

    assert shard.body.log_time_ms == NOW_MS + 60_000, "what came behind the range arrived when it did"
    assert shard.body.counts == {"accepted": 7}, "nobody's event was late"
    assert shard.body.last == delivered(shop.log.fetch(0, behind, 1)[0])
    assert shard.arrival_ms(shop.log.fetch(0, jumped[0], 1)[0]) == NOW_MS + 10
    assert shard.arrival_ms(shop.log.fetch(0, jumped[-1], 1)[0]) == NOW_MS + 5

    shop.kept = [decode_amendment(encode_amendment(one)) for one in shop.kept]
    again, anew = await shop.tell(MemoryStore(), limits)
    assert anew[-len(told) :] == told, "a rebuild tells the same"
    assert again.checkpoint.output_digest == shard.checkpoint.output_digest


async def test_a_log_is_known_again_by_its_records_as_they_are() -> None:
    """The record that was delivered last is compared with what lies in the log, which nobody amends; not only the last of a batch."""
    shop = Shop()
    await shop.tell()
    shop.now_ms = NOW_MS + 3 * DAY_MS
    offsets = [shop.view(number) for number in range(3)]
    await shop.order(arrival_ms=NOW_MS)
    shard = await shop.acquire(shop.store, Limits(records=1))
    lasts = list[tuple[int, int, bytes]]()

    async def see(_entry: object) -> None:
        lasts.append(shard.body.last)

    await shard.process(shop.log.fetch(0, shard.position.offset, 10), see)
    assert lasts == [delivered(shop.log.fetch(0, offset, 1)[0]) for offset in offsets]


async def test_of_two_bounds_of_one_record_the_later_order_holds() -> None:
    """A person who was wrong the first time says it again."""
    shop = Shop()
    await shop.tell()
    shop.now_ms = NOW_MS + 3 * DAY_MS
    shop.view(1)
    await shop.order(arrival_ms=NOW_MS + DAY_MS)
    await shop.order(arrival_ms=NOW_MS + 7)
    shard, _ = await shop.tell()
    assert shard.body.log_time_ms == NOW_MS + 7


async def test_an_arrival_is_not_bounded_of_a_record_that_is_done_in_part() -> None:
    """Timers ran up to the arrival that it has, and a rebuild would not run them."""
    shop = Shop()
    shop.view(1)
    shop.view(2)
    await shop.tell()
    shop.now_ms = NOW_MS + 3 * DAY_MS
    late = shop.view(3)
    shard = await shop.acquire(shop.store, Limits(wakes=1))

    async def stop(_entry: object) -> None:
        raise StoreUnavailableError("the worker dies here")

    with pytest.raises(StoreUnavailableError):
        await shard.process(shop.log.fetch(0, shard.position.offset, 10), stop)
    assert shard.position == Position(late, 1), "the fault happened"
    with pytest.raises(SettingsError, match=f"offset {late} of shard 0 is done in part"):
        await shop.order(arrival_ms=NOW_MS + 1)
    assert not shop.kept


@pytest.mark.parametrize("limits", [Limits(), Limits(records=1)])
async def test_a_place_to_go_on_at_lies_in_the_log_and_every_rebuild_goes_on_there_too(limits: Limits) -> None:
    """One digit too many would halt the shard for good; and readers were told nothing of what a person passed over."""
    shop = Shop()
    shop.view(1)
    shard, said = await shop.tell()
    poisoned, end = shop.view(2), shop.view(3) + 1
    for wrong, why in ((end + 1, f"the log of shard 0 ends at {end}"), (poisoned, "positions never go back")):
        with pytest.raises(SettingsError, match=why):
            await shop.order(at=wrong)
    assert not shop.kept

    await shop.order(at=poisoned + 1)
    shard = await shop.acquire(shop.store)
    assert await shard.resume_where_chosen() is not None
    shard, more = await shop.tell()
    rebuilt, again = await shop.tell(MemoryStore(), limits)
    assert again == said + more
    assert rebuilt.checkpoint.output_digest == shard.checkpoint.output_digest
    assert rebuilt.body.counts == {"accepted": 2}


async def test_an_order_that_the_worker_came_before_is_given_again() -> None:
    """A worker looks at a halted shard now and then, and each look fences the order: a person would have to type it again, at night."""
    shop = Shop()
    shop.view(1)
    busy = 3

    class Quicker(MemoryJournal):
        async def write(self, amendment: Amendment) -> None:
            nonlocal busy
            if busy:
                busy -= 1
                raise FencedError("another owner")
            await super().write(amendment)

    async def journal(_shard: int) -> Quicker:
        return Quicker(shop.kept)

    decide = going_on(0, 1, "ops@shop", "a test", shop.log.unread, at=2, arrival_ms=None)
    written = await amend(shop.store, journal, 0, decide, COMMAND)
    assert (busy, shop.kept) == (0, [written])

    busy = 100
    with pytest.raises(FencedError):
        await amend(shop.store, journal, 0, decide, COMMAND)
    assert shop.kept == [written]


async def test_an_order_of_one_command_is_given_once() -> None:
    """A worker that dies before its answer leaves the command to another: a second record would be passed over."""
    shop = Shop()
    for number in (1, 2, 3):
        shop.view(number)
    first = await shop.order(command="c0ffee")
    assert (first.what, first.command) == ("skip", "c0ffee")
    await shop.tell()
    assert await shop.order(command="c0ffee") == first
    assert shop.kept == [first]
