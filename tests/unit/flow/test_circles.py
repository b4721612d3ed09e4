"""Links that lead in a circle: one of its ids survives, and has the past of all, whatever is on its way meanwhile."""

from __future__ import annotations

from streamer.customers.state import State, decode_state
from streamer.customers.tombstone import Tombstone, decode_tombstone, is_tombstone
from streamer.language.definitions import Definitions
from streamer.wire import shard_of
from tests.property.test_folding import Picked, folded, until
from tests.unit.flow.persons import HOUR_MS, MINUTE_MS, Persons, named, segments

COUNTS = segments(**{f"n{times}": f'count("A") >= {times}' for times in range(1, 6)})


async def test_two_survivors_of_one_person_meet() -> None:
    """A circle of three is shortened to two while a past goes round it: each of the two circles has an id of its own that survives it. The
    links were all written before any was applied."""
    shop = Persons(COUNTS)
    u, w, x, b = named("u", 0, 2), named("w", 1, 2), named("x", 0, 2), named("b", 1, 2)
    shop.write("A", userId=u)
    for before, after in ((b, w), (u, x), (w, u)):
        shop.alias(before, after)
    shop.write("A", userId=b)
    shop.alias(u, w)
    await shop.advance(1, 0)
    await shop.settle()
    assert await shop.inside(u) == {"n1", "n2"}
    assert [await shop.entry(id_) for id_ in (w, x, b)] == [Tombstone(u)] * 3
    assert await shop.sizes() == {"n1": 1, "n2": 1}
    assert sum([(await shop.catch_up(shard)).body.tombstones for shard in (0, 1)]) == 3
    assert (await shop.counts())["drained"] == 5, "one of them twice: when it was linked, and when it met the other"


async def test_whoever_survives_a_circle_goes_on_counting_changes() -> None:
    """Ids of messages are made of these numbers: one that is said a second time is a message that is never sent."""
    shop, ids = await _crossing()
    await shop.settle()
    said = [(change.subject, change.data.segment, change.data.sequence) for change in shop.changes()]
    assert len(set(said)) == len(said)
    of_survivor = [number for customer, segment, number in said if (customer, segment) == (ids[0], "n1")]
    assert len(of_survivor) > 2, "the survivor was in it, left it as an old id, and is in it again"
    assert of_survivor == sorted(of_survivor)
    assert [number % 2 for number in of_survivor] == [1, 0, 1]


async def test_who_was_lifted_takes_a_past_that_they_had_noted_before() -> None:
    """What they had noted went on with their past, and that is not back yet when the other one comes."""
    shop, (r, s, x, b) = await _crossing()
    await shop.catch_up(0)
    assert isinstance(await shop.entry(r), State), "lifted by the past of x"
    assert (await shop.counts())["adopted"] == 2, "and that of b came next"
    await shop.settle()
    assert await shop.inside(r) == {"n1", "n2", "n3", "n4"}
    assert [await shop.entry(id_) for id_ in (s, x, b)] == [Tombstone(r)] * 3


async def test_who_was_lifted_takes_no_past_from_before_their_erasure() -> None:
    """They were erased while it was on its way, began anew, and were an old id after that."""
    shop, (r, s, x, b) = await _crossing(erased=True)
    await shop.settle()
    assert (await shop.counts())["adopt_of_erased"] == 1
    assert await shop.inside(r) == {"n1", "n2", "n3"}
    assert [await shop.entry(id_) for id_ in (s, x, b)] == [Tombstone(r), Tombstone(r), None]


async def test_a_circle_that_only_an_erased_past_closes_has_somebody_in_it() -> None:
    """Nobody else would come by: everything under its ids would go round until it is put aside, for ever."""
    shop, (r, w) = await _closed_by_an_erased_past(COUNTS)
    assert (await shop.counts())["adopt_of_erased"] == 1
    entry = await shop.entry(r)
    assert isinstance(entry, State)
    assert set(entry.links) == {w}, "whoever erases r reaches w"
    assert await shop.sizes() == {}
    shop.now_ms += MINUTE_MS
    shop.write("A", userId=w)
    await shop.settle()
    assert (await shop.inside(r), shop.reasons()) == ({"n1"}, [])


async def test_whoever_comes_back_with_nothing_is_in_what_holds_of_nobody_in_particular() -> None:
    """By time alone, and from their first event on as anybody who is new."""
    shop, (r, w) = await _closed_by_an_erased_past(segments(never='never("B")', not_yet='not did("C", within="1h")', late="hour() >= 2"))
    assert await shop.inside(r) == set()
    shop.wait(3 * HOUR_MS)
    await shop.settle()
    assert await shop.inside(r) == {"late"}
    shop.write("A", userId=w)
    await shop.settle()
    assert await shop.inside(r) == {"never", "not_yet", "late"}


async def _closed_by_an_erased_past(definitions: Definitions) -> tuple[Persons, tuple[str, str]]:
    """``r`` was lifted by a past of ``w`` that was linked before their erasure."""
    shop = Persons(definitions, shards=3)
    r, w, b = named("r", 0, 3), named("w", 1, 3), named("b", 2, 3)
    shop.write("A", userId=w)
    shop.alias(b, w)
    await shop.settle()
    shop.alias(b, r)
    await shop.catch_up(0)
    shop.now_ms += MINUTE_MS
    shop.erase(r)
    await shop.catch_up(0)
    shop.alias(r, w)
    await shop.catch_up(1)
    await shop.catch_up(0)
    assert await shop.entry(r) == Tombstone(w), "and w is to be drained into r: that was linked before the erasure"
    await shop.settle()
    return shop, (r, w)


async def test_whoever_survived_a_circle_is_folded_by_where_their_records_lie() -> None:
    """Those of before they were an old id, of what they were led by meanwhile, and of what closed the circle."""
    shop, (r, s, x, b) = await _crossing()
    await shop.settle()
    assert await folded_again(shop, r)
    assert [await is_noted(shop, id_) for id_ in (s, x, b)] == [True] * 3


async def test_whoever_survived_a_circle_after_an_erasure_is_not_folded_so() -> None:
    """What was erased is a reason to refuse a past, and lies before all that is noted."""
    shop, (r, s, x, _) = await _crossing(erased=True)
    await shop.settle()
    assert [await is_noted(shop, id_) for id_ in (r, s, x)] == [False, True, True]


async def is_noted(shop: Persons, id_: str) -> bool:
    """Whether it is kept where the records of an id lie."""
    blob = await (await shop.catch_up(shard_of(id_, shop.rules.shards))).stored(id_)
    assert blob is not None
    return (decode_tombstone(blob) if is_tombstone(blob) else decode_state(blob)).offsets.is_kept


async def folded_again(shop: Persons, customer: str) -> bool:
    """Whether a customer's records come to their state."""
    number = shard_of(customer, shop.rules.shards)
    shard = await shop.catch_up(number)
    blob = await shard.stored(customer)
    assert blob is not None
    return await folded(shard, customer, blob, until(shard), Picked(shop.log.fetch(number, 0, 1_000_000))) == blob


async def _crossing(*, erased: bool = False) -> tuple[Persons, tuple[str, str, str, str]]:
    """``r`` and ``s`` are linked crosswise. In the shard of ``r`` lie the link that drains them, the past of ``x``, which came by way of
    ``s`` and so closes the circle, and the past of ``b``."""
    shop = Persons(COUNTS, shards=4, keeps_offsets=True)
    r, s, x, b = ids = named("r", 0, 4), named("s", 1, 4), named("x", 2, 4), named("b", 3, 4)
    for id_ in ids:
        shop.write("A", userId=id_)
    await shop.settle()
    shop.alias(b, r)
    if erased:
        await shop.catch_up(0)
        shop.now_ms += MINUTE_MS
        shop.erase(r)
        shop.now_ms += MINUTE_MS
        shop.write("A", userId=r)
    for before, after in ((s, r), (x, s), (r, s)):
        shop.alias(before, after)
    for shard in (0, 1, 2, 1, 3):
        await shop.catch_up(shard)
    return shop, ids
