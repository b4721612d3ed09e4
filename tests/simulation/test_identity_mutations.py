"""Break the rules by which ids become one person, one at a time: the oracle, or the judge who knows no protocol, must notice.

Each mutant is played and judged by the same broken code, so that it is no difference to sound code that is noticed but a wrong answer.
"""

# pyright: reportPrivateUsage=false
# Whoever breaks things must reach inside.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from streamer.customers.state import State
from streamer.customers.tombstone import Tombstone
from streamer.flow import evaluation
from streamer.flow import identity as identity_module
from streamer.flow.admission import Admission
from streamer.flow.change_writer import ChangeWriter
from streamer.flow.evaluation import Evaluator
from streamer.flow.identity import Identity
from streamer.flow.identity_records import Adopt, Erasure, Link, Redirect
from streamer.flow.timers import Timers
from streamer.segments.change import Cause
from tests.unit.flow import test_circles, test_identity

from .catching import SEEDS, Mutant, first_caught
from .people import manner_of

Law = Callable[[], Awaitable[None]]
MUTANTS: dict[str, tuple[Mutant, int]] = {}


def mutant(first: int = 1) -> Callable[[Mutant], Mutant]:
    """Enlist a way to break the code, and the history with which to begin; that is where it was noticed last."""

    def enlist(function: Mutant) -> Mutant:
        MUTANTS[function.__name__] = function, first
        return function

    return enlist


# link and drain


@mutant()
def a_link_is_noted_and_told_to_nobody(patch: pytest.MonkeyPatch) -> None:
    """The visitor's cart is left by nobody who could buy it."""
    send = Identity._send

    def send_no_link(self: Identity, kind: Any, content: Any, offset: int) -> None:
        if kind != "link":
            send(self, kind, content, offset)

    patch.setattr(Identity, "_send", send_no_link)


@mutant()
def an_old_id_leaves_nothing(patch: pytest.MonkeyPatch) -> None:
    """Whoever keeps members has one person twice for ever."""
    write_left = ChangeWriter.write_left

    def write_left_of_the_erased(self: ChangeWriter, customer: str, state: State, now: int, cause: Cause, offset: int) -> None:
        if cause.kind != "merge":
            write_left(self, customer, state, now, cause, offset)

    patch.setattr(ChangeWriter, "write_left", write_left_of_the_erased)


@mutant()
def a_past_is_not_sent(patch: pytest.MonkeyPatch) -> None:
    """The commonest failure of all: the user begins without what the visitor did."""
    patch.setattr(Identity, "_parts", lambda self, link, state, now: ())


@mutant()
def the_timer_of_an_old_id_stays(patch: pytest.MonkeyPatch) -> None:
    """Something becomes due of a customer who is not there."""
    drain = Identity._drain

    def drain_untimed(self: Identity, link: Link, state: State, now: int, offset: int) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Timers, "set", lambda self, customer, due_ms: None)
            drain(self, link, state, now, offset)

    patch.setattr(Identity, "_drain", drain_untimed)


@mutant(first=7)
def the_ids_of_an_old_id_stay_behind(patch: pytest.MonkeyPatch) -> None:
    """Whoever erases the survivor does not reach them."""
    parts = Identity._parts

    def parts_without_links(self: Identity, link: Link, state: State, now: int) -> Any:
        return [msgspec.structs.replace(part, links={}) for part in parts(self, link, state, now)]

    patch.setattr(Identity, "_parts", parts_without_links)


@mutant()
def a_second_user_of_a_device_gets_the_past_of_the_first(patch: pytest.MonkeyPatch) -> None:
    """The shared iPad."""
    apply_link = Identity._apply_link

    def apply_any(self: Identity, link: Link, now: int, offset: int) -> None:
        apply_link(self, msgspec.structs.replace(link, alias=True), now, offset)

    patch.setattr(Identity, "_apply_link", apply_any)


@mutant(first=17)
def a_device_stays_with_its_first_user(patch: pytest.MonkeyPatch) -> None:
    """What is done there without a login is the newest user's."""
    patch.setattr(Tombstone, "repointed", lambda self, to, now, horizon_ms: self)


@mutant()
def an_alias_of_a_merged_id_joins_nobody(patch: pytest.MonkeyPatch) -> None:
    """It is that person who is joined."""
    apply_link = Identity._apply_link

    def apply_as_login(self: Identity, link: Link, now: int, offset: int) -> None:
        apply_link(self, msgspec.structs.replace(link, alias=False), now, offset)

    patch.setattr(Identity, "_apply_link", apply_as_login)


# stragglers


@mutant()
def a_straggler_is_dropped(patch: pytest.MonkeyPatch) -> None:
    """What a tab that was open before the login sends is no less true."""
    patch.setattr(Admission, "_forward", lambda self, customer, record, arrived_ms, hops: None)


@mutant(first=11)
def a_straggler_is_late_by_when_it_was_sent_on(patch: pytest.MonkeyPatch) -> None:
    """The way round makes it older than it is."""
    forward = Admission._forward

    def forward_later(self: Admission, customer: str, record: Any, arrived_ms: int, hops: int) -> None:
        forward(self, customer, record, arrived_ms + 86_000_000, hops)

    patch.setattr(Admission, "_forward", forward_later)


# adopt


@mutant(first=3)
def a_past_counts_twice(patch: pytest.MonkeyPatch) -> None:
    """Sums and counts of a memory that is joined a second time."""
    join = evaluation.join_memories

    def join_twice(*what: Any) -> None:
        join(*what)
        join(*what)

    patch.setattr(evaluation, "join_memories", join_twice)


@mutant(first=17)
def message_ids_stay_behind(patch: pytest.MonkeyPatch) -> None:
    """A second delivery of what came before the login counts again."""
    patch.setattr(identity_module, "join_ids", lambda state, seen, floor_ms: 0)


@mutant()
def a_merge_is_judged_at_the_next_event(patch: pytest.MonkeyPatch) -> None:
    """Peers do so: nobody enters by a merge alone."""
    at_adopt = Evaluator.at_adopt

    def at_adopt_unsaid(self: Evaluator, state: State, adopt: Adopt, now: int) -> Any:
        return at_adopt(self, state, msgspec.structs.replace(adopt, part=0), now)

    patch.setattr(Evaluator, "at_adopt", at_adopt_unsaid)


@mutant()
def what_a_survivor_is_in_is_entered_again(patch: pytest.MonkeyPatch) -> None:
    """Peers do so: two messages to one person."""
    at_adopt = Evaluator.at_adopt

    def at_adopt_anew(self: Evaluator, state: State, adopt: Adopt, now: int) -> Any:
        state.members = {number: entry for number, entry in state.members.items() if not entry.inside}
        return at_adopt(self, state, adopt, now)

    patch.setattr(Evaluator, "at_adopt", at_adopt_anew)


@mutant(first=9)
def traits_are_dropped_at_a_merge(patch: pytest.MonkeyPatch) -> None:
    """Peers do so, until the next event brings them again."""
    at_adopt = Evaluator.at_adopt

    def at_adopt_without(self: Evaluator, state: State, adopt: Adopt, now: int) -> Any:
        memories = {key: data for key, data in adopt.memories.items() if "trait" not in key and "plan" not in key}
        return at_adopt(self, state, msgspec.structs.replace(adopt, memories=memories), now)

    patch.setattr(Evaluator, "at_adopt", at_adopt_without)


@mutant(first=17)
def memories_are_known_by_their_numbers(patch: pytest.MonkeyPatch) -> None:
    """Definitions may be other ones where a past arrives, and a number is another memory there."""
    parts, at_adopt = Identity._parts, Evaluator.at_adopt

    def parts_by_number(self: Identity, link: Link, state: State, now: int) -> Any:
        slots = self._plan.slots
        found = parts(self, link, state, now)
        return [msgspec.structs.replace(part, memories={str(slots[key]): data for key, data in part.memories.items()}) for part in found]

    def at_adopt_by_number(self: Evaluator, state: State, adopt: Adopt, now: int) -> Any:
        memories = self._plan.memories
        found = {memories[int(slot)].key: data for slot, data in adopt.memories.items() if int(slot) < len(memories)}
        try:
            return at_adopt(self, state, msgspec.structs.replace(adopt, memories=found), now)
        except (TypeError, ValueError):  # another kind of memory: it would be a fault, and those are noticed otherwise
            return [], False

    patch.setattr(Identity, "_parts", parts_by_number)
    patch.setattr(Evaluator, "at_adopt", at_adopt_by_number)


# circles


@mutant(first=7)
def a_circle_of_links_has_nobody_in_it(patch: pytest.MonkeyPatch) -> None:
    """Crossing links: each leads to the other, and the past that goes round is dropped."""
    apply_adopt = Identity._apply_adopt

    def apply_or_drop(self: Identity, adopt: Adopt, now: int, offset: int) -> None:
        tombstone = self._states.tombstone(adopt.to)
        if tombstone is None or tombstone.first not in [*adopt.walk, adopt.to]:
            apply_adopt(self, adopt, now, offset)

    patch.setattr(Identity, "_apply_adopt", apply_or_drop)


@mutant(first=7)
def of_a_circle_the_largest_id_survives(patch: pytest.MonkeyPatch) -> None:
    """A rule that the oracle does not have: all shards must come to one answer, and it is written down."""
    patch.setattr(identity_module, "min", max, raising=False)


@mutant(first=23)
def whoever_was_lifted_knows_no_link(patch: pytest.MonkeyPatch) -> None:
    """What they had noted went on with their past, and pasts that come by it are refused."""
    lift = Identity._lift

    def lift_unnoted(self: Identity, *what: Any) -> State:
        state = lift(self, *what)
        state.lifted = None
        return state

    patch.setattr(Identity, "_lift", lift_unnoted)


@mutant(first=23)
def whoever_was_lifted_counts_from_one_again(patch: pytest.MonkeyPatch) -> None:
    """An entry under a number that readers have seen."""
    lift = Identity._lift

    def lift_uncounted(self: Identity, *what: Any) -> State:
        state = lift(self, *what)
        state.lifted = 0
        return state

    patch.setattr(Identity, "_lift", lift_uncounted)


# erasure


@mutant()
def an_erased_id_has_no_mark(patch: pytest.MonkeyPatch) -> None:
    """Stragglers from before the erasure begin a customer."""
    patch.setattr(Admission, "mark_erased", lambda self, customer: None)


@mutant(first=5)
def erasing_an_old_id_erases_nobody(patch: pytest.MonkeyPatch) -> None:
    """Somebody asks to be forgotten by the id in their browser."""
    erase = Identity.erase

    def erase_state_alone(self: Identity, customer: str, now: int, offset: int) -> None:
        if self._states.tombstone(customer) is None:
            erase(self, customer, now, offset)

    patch.setattr(Identity, "erase", erase_state_alone)


@mutant(first=5)
def erasing_a_survivor_leaves_their_other_ids(patch: pytest.MonkeyPatch) -> None:
    """What comes in under them is sent on to nobody."""
    apply_erasure = Identity._apply_erasure

    def apply_upwards(self: Identity, erasure: Erasure, now: int, offset: int) -> None:
        if not erasure.person:
            apply_erasure(self, erasure, now, offset)

    patch.setattr(Identity, "_apply_erasure", apply_upwards)


# too rare for a world of ordinary people: a law notices


def a_past_of_somebody_erased_is_adopted(patch: pytest.MonkeyPatch) -> None:
    """It was on its way when they were erased, and they have begun anew."""
    patch.setattr(Identity, "_is_expected", lambda self, adopt, state: True)


def two_survivors_do_not_meet(patch: pytest.MonkeyPatch) -> None:
    """Two circles of one person that others shortened while a past went round."""
    patch.setattr(Identity, "_meet", lambda self, point, state, now, offset: None)


def an_erased_circle_is_not_closed(patch: pytest.MonkeyPatch) -> None:
    """Its past was linked before the erasure: nobody is lifted, and what comes in under its ids goes round for ever."""
    apply_adopt = Identity._apply_adopt

    def apply_if_wanted(self: Identity, adopt: Adopt, now: int, offset: int) -> None:
        if self._states.tombstone(adopt.to) is None or not self._admission.was_erased(adopt.to, adopt.linked_ms):
            apply_adopt(self, adopt, now, offset)

    patch.setattr(Identity, "_apply_adopt", apply_if_wanted)


def fifty_ids_are_no_bound(patch: pytest.MonkeyPatch) -> None:
    """A kiosk becomes the customer of a whole town."""
    patch.setattr(identity_module.links, "may_link", lambda links, now: True)


def a_chain_stays_a_chain(patch: pytest.MonkeyPatch) -> None:
    """Events pass one tombstone after the other, until there are more than they may pass."""

    def apply_nothing(self: Identity, point: Redirect, now: int, offset: int) -> None:
        return None

    patch.setattr(Identity, "_apply_point", apply_nothing)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_world_notices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge who lets a broken rule pass proves nothing about the sound one."""
    broken, first = MUTANTS[name]
    seeds = [first, *(seed for seed in range(2 * SEEDS) if manner_of(seed) != "plain")]
    assert first_caught(broken, monkeypatch, seeds, "broken") is not None, f"{name}: not noticed in {len(seeds)} seeds"


LAWS: dict[str, tuple[Mutant, Law]] = {
    "a past of the erased": (
        a_past_of_somebody_erased_is_adopted,
        test_identity.test_a_past_of_somebody_erased_does_not_come_to_who_began_anew,
    ),
    "two survivors": (two_survivors_do_not_meet, test_circles.test_two_survivors_of_one_person_meet),
    "a circle": (an_erased_circle_is_not_closed, test_circles.test_a_circle_that_only_an_erased_past_closes_has_somebody_in_it),
    "fifty ids": (fifty_ids_are_no_bound, test_identity.test_a_person_gets_fifty_new_ids_a_month_and_no_more),
    "a chain": (a_chain_stays_a_chain, test_identity.test_a_chain_ends_one_hop_away),
}


@pytest.mark.parametrize("name", LAWS)
async def test_a_law_notices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What chance brings about too rarely is written down as a history of its own."""
    broken, law = LAWS[name]
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        await law()
