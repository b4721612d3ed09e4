"""What stands over one memory: which leaves hold, when time alone may first turn one, and which segments are to be judged when one turns.

An event feeds a handful of memories, and leaves of many segments stand over each. Asking them one by one was half of an event's cost; most
need no call of their own. Leaves over a single time differ only in the age at which they turn, so one binary search answers them all.
Leaves over a known value change only with it, so their answers are remembered by value.

What holds is kept in the state, a bit for each leaf (``State.truths``, by the number of the memory). It is right at every moment at which
the customer is judged: an event asks anew about the memories it feeds, and before anything is judged time is let pass over the others.

Not every leaf that time turns is worth a wake-up. A segment is closed to a customer while a part of its ``and`` is false that only an event
can make true: whoever has nothing in the cart need not be woken half an hour after each event. And who is inside a segment with an exit of
its own waits for the exit alone. Wake-ups are for leaves that stand in a segment that is open.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from streamer.customers import memories
from streamer.customers.memories import Data, Update
from streamer.customers.specs import Spec
from streamer.customers.state import NEVER, State
from streamer.values import Json

from .predicates import Leaf
from .single_pass import Due, LookOne, Truth, never_due

# (data, now, state, best) -> (bits of what holds, the first moment after now at which time turns a leaf that matters, or best if sooner)
Look = Callable[[Data, int, State, int], tuple[int, int]]
Matters = Callable[[int, State], bool]  # whether time turning the leaves with these bits can matter to this customer
Placed = Sequence[tuple[int, Leaf]]  # leaves with their bits
Feed = Callable[[State, Json, int, int, set[int]], None]  # (state, value, event time, now, segments to judge)

REMEMBERED_MAX: Final = 4_096  # answers remembered by value, and sets of segments by what turned: values are producers' texts


class Gate(NamedTuple):
    """A part of a segment's ``and`` that only an event can make as ``wanted``; the segment is closed while it is not."""

    key: int
    bit: int
    blank: int
    wanted: bool


class Gates:
    """Which segments are closed to a customer."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[tuple[Gate, ...], bool]] = {}

    def __bool__(self) -> bool:
        return bool(self._of)

    def __contains__(self, number: int) -> bool:
        return number in self._of

    def add(self, number: int, gates: tuple[Gate, ...], *, has_exit: bool) -> None:
        """The gates of a segment. With an ``exit`` of its own they are for those outside."""
        self._of[number] = (gates, has_exit)

    def is_open(self, number: int, in_exit: bool, state: State) -> bool:
        """Whether a leaf that time turns could let the customer into the segment or out of it; ``in_exit``: it stands in the exit."""
        gates, has_exit = self._of[number]
        if has_exit:
            entry = state.members.get(number)
            if entry is not None and entry.inside:
                return in_exit
        truths = state.truths
        for key, bit, blank, wanted in gates:  # noqa: SIM110 - asked several times an event, and a loop takes half of the time of all()
            if (truths.get(key, blank) & bit != 0) != wanted:
                return False
        return True


class Watch:
    """The leaves over the memory numbered ``slot``.

    ``plain`` ones are decided by it alone and have bits here; ``joint`` ones are decided by several memories and have a key of their own;
    all ``others`` (of calendar, zone and segments) are asked before and after.
    """

    def __init__(self, slot: int, spec: Spec, leaves: Sequence[Leaf], gates: Gates) -> None:
        self.slot = slot
        self._gates = gates
        self._gated: dict[int, tuple[tuple[int, bool], ...]] = {}
        self.leaves = tuple(leaves)
        self.plain = [leaf for leaf in leaves if leaf.plain]
        self.joint = [leaf for leaf in leaves if leaf.joint]
        self.others = tuple(leaf for leaf in leaves if not leaf.plain and not leaf.joint)
        placed = [(1 << bit, leaf) for bit, leaf in enumerate(self.plain)]
        timed = [(bit, leaf) for bit, leaf in placed if leaf.due is not never_due]
        self.blank = blank_bits(placed)
        self.look = look_over(spec, placed, self.matters)
        self.timed = look_over(spec, timed, self.matters) if timed else None
        self.timed_bits = sum(bit for bit, _ in timed)
        rolls = {leaf.rolls_ms for _, leaf in timed}
        self.rolls_ms = min(rolls) if rolls and 0 not in rolls else 0
        self._spec, self._placed = spec, placed
        self._turned: dict[int, frozenset[int]] = {}
        for bit, leaf in placed:
            leaf.place = (slot, bit, self.blank)

    def turned(self, bits: int) -> frozenset[int]:
        """The segments in which any of the leaves with these bits stands."""
        found = self._turned.get(bits)
        if found is None:
            found = frozenset(number for bit, leaf in self._placed if bit & bits for number in leaf.segments)
            if len(self._turned) < REMEMBERED_MAX:
                self._turned[bits] = found
        return found

    def matters(self, bits: int, state: State) -> bool:
        """Whether time turning the leaves with these bits can matter to this customer."""
        gated = self._gated.get(bits)
        if gated is None:
            numbers = self.turned(bits)
            exits = {number for bit, leaf in self._placed if bit & bits for number in leaf.exits}
            gated = (
                tuple((number, number in exits) for number in sorted(numbers)) if all(number in self._gates for number in numbers) else ()
            )
            if len(self._gated) < REMEMBERED_MAX:
                self._gated[bits] = gated
        if not gated:
            return True
        for number, in_exit in gated:  # noqa: SIM110 - as above
            if self._gates.is_open(number, in_exit, state):
                return True
        return False

    def pass_time(self, data: Data, now: int, state: State, best: int, dirty: set[int]) -> int:
        """Note what time has turned up to ``now``; return ``best``, or the next moment here if that is sooner."""
        assert self.timed is not None
        mask, best = self.timed(data, now, state, best)
        was = state.truths.get(self.slot, self.blank)
        turned = (was ^ mask) & self.timed_bits
        if turned:
            keep(state.truths, self.slot, was ^ turned, self.blank)
            dirty |= self.turned(turned)
        return best

    def feed(self, update: Update) -> Feed:
        """Feed the memory, bring the wake-up forward where needed, and note the segments over leaves that turned."""
        spec, aged = self._spec, all(leaf.age is not None for leaf in self.plain)
        if self.plain and aged and _holds_one_time(spec):
            feed = self._feed_time()
        elif isinstance(spec, memories.Known) and spec.newest and self.timed is None:
            feed = self._feed_value()
        else:
            feed = self._feed_any(update)
        if self.joint:
            feed = _then_joint(feed, self.joint)
        return _around_others(feed, self.others) if self.others else feed

    def _feed_any(self, update: Update) -> Feed:
        slot, look, blank, turned = self.slot, self.look, self.blank, self.turned

        def feed(state: State, value: Json, t: int, now: int, dirty: set[int]) -> None:
            slots, truths = state.slots, state.truths
            new = slots[slot] = update(slots.get(slot), value, t, now)
            mask, state.armed_ms = look(new, now, state, state.armed_ms)
            was = truths.get(slot, blank)
            if mask != was:
                keep(truths, slot, mask, blank)
                dirty |= turned(mask ^ was)

        return feed

    def _feed_time(self) -> Feed:
        """The most frequent of all: one time, and leaves that turn at an age. An event that does not move the time changes nothing."""
        slot, blank, turned, matters = self.slot, self.blank, self.turned, self.matters
        flips, masks = _age_table(self._placed)
        is_newest = isinstance(self._spec, memories.Newest)

        def feed(state: State, _value: Json, t: int, now: int, dirty: set[int]) -> None:
            slots, truths = state.slots, state.truths
            old = slots.get(slot)
            if old is not None and (old >= t if is_newest else old <= t):
                return
            slots[slot] = t
            at = bisect_right(flips, now - t)
            mask = masks[at]
            if t + flips[at] < state.armed_ms:
                state.armed_ms = _first_that_matters(t, flips, masks, at, state, state.armed_ms, matters)
            was = truths.get(slot, blank)
            if mask != was:
                keep(truths, slot, mask, blank)
                dirty |= turned(mask ^ was)

        return feed

    def _feed_value(self) -> Feed:
        """The newest value, nearly always the same as before, and then nothing else changes."""
        slot, look, blank, turned = self.slot, self.look, self.blank, self.turned

        def feed(state: State, value: Json, t: int, now: int, dirty: set[int]) -> None:
            slots = state.slots
            old = slots.get(slot)
            if old is not None:
                if t < old[0]:
                    return
                if type(value) is str and value == old[1]:
                    old[0] = t
                    return
            new = slots[slot] = [t, value]
            mask, _ = look(new, now, state, NEVER)
            was = state.truths.get(slot, blank)
            if mask != was:
                keep(state.truths, slot, mask, blank)
                dirty |= turned(mask ^ was)

        return feed


def keep(truths: dict[int, int], key: int, mask: int, blank: int) -> None:
    """Note what holds; what holds of nobody in particular takes no room."""
    if mask == blank:
        truths.pop(key, None)
    else:
        truths[key] = mask


def _then_joint(feed: Feed, joint: Sequence[Leaf]) -> Feed:
    parts = [(leaf.place[0], leaf.truth, frozenset(leaf.segments)) for leaf in joint if leaf.place is not None]

    def feed_joint(state: State, value: Json, t: int, now: int, dirty: set[int]) -> None:
        feed(state, value, t, now, dirty)
        truths = state.truths
        for key, truth, segments in parts:
            holds = truth(None, now, state)
            if holds != (key in truths):
                keep(truths, key, int(holds), 0)
                dirty |= segments

    return feed_joint


def _around_others(feed: Feed, others: Sequence[Leaf]) -> Feed:
    parts = [(leaf, frozenset(leaf.segments)) for leaf in others]

    def feed_others(state: State, value: Json, t: int, now: int, dirty: set[int]) -> None:
        before = [leaf.holds(state, now) for leaf, _ in parts]  # now: the update may change the old data in place
        feed(state, value, t, now, dirty)
        for (leaf, segments), was_so in zip(parts, before, strict=True):
            data = leaf.data(state)
            if leaf.truth(data, now, state) != was_so:
                dirty |= segments
            due_ms = leaf.due(data, now, state)
            if due_ms < state.armed_ms:
                state.armed_ms = due_ms

    return feed_others


# one question for many leaves -------------------------------------------------------------------------------------------


def blank_bits(placed: Placed) -> int:
    """What holds of a customer of whom nothing is remembered."""
    return sum(bit for bit, leaf in placed if leaf.truth(None, 0, State(generation=0)))


def look_over(spec: Spec, placed: Placed, matters: Matters) -> Look:
    """The one question that stands for all of these leaves over a memory."""
    aged = [(bit, leaf) for bit, leaf in placed if leaf.age is not None]
    others = [(bit, leaf) for bit, leaf in placed if leaf.age is None]
    looks: list[Look] = []
    if aged:
        looks.append(_by_age_of_one(aged, matters) if _holds_one_time(spec) else _by_age(aged, matters))
    if others and isinstance(spec, memories.Known) and all(leaf.due is never_due for _, leaf in others):
        looks.append(_by_value(others))
    elif others:
        looks.append(_each(others, matters))
    return looks[0] if len(looks) == 1 else _all_of(looks)


def _holds_one_time(spec: Spec) -> bool:
    return isinstance(spec, memories.Oldest) or (isinstance(spec, memories.Newest) and spec.keep == 1)


def _all_of(looks: Sequence[Look]) -> Look:
    def look(data: Data, now: int, state: State, best: int) -> tuple[int, int]:
        mask = 0
        for ask in looks:
            bits, best = ask(data, now, state, best)
            mask |= bits
        return mask, best

    return look


def _age_table(placed: Placed) -> tuple[list[int], list[int]]:
    """Ages at which a leaf over one time turns, ascending, ``NEVER`` last; and what holds up to each of them."""
    ages = [(bit, leaf.age) for bit, leaf in placed if leaf.age is not None]
    flips = sorted({age.flip_ms for _, age in ages} | {NEVER})
    return flips, [sum(bit for bit, age in ages if (flip <= age.flip_ms) == age.young) for flip in flips]


def _first_that_matters(t: int, flips: list[int], masks: list[int], at: int, state: State, best: int, matters: Matters) -> int:
    """The first moment from the flip numbered ``at`` on at which a leaf turns that matters, or ``best`` if it is sooner."""
    while t + flips[at] < best:  # the last flip is never
        if matters(masks[at] ^ masks[at + 1], state):
            return t + flips[at]
        at += 1
    return best


def _by_age_of_one(placed: Placed, matters: Matters) -> Look:
    blank = blank_bits(placed)
    flips, masks = _age_table(placed)

    def look(data: Data, now: int, state: State, best: int) -> tuple[int, int]:
        if data is None:
            return blank, best
        at = bisect_right(flips, now - data)
        return masks[at], _first_that_matters(data, flips, masks, at, state, best, matters) if data + flips[at] < best else best

    return look


def _by_age(placed: Placed, matters: Matters) -> Look:
    """Over times ascending: each leaf has its rank among the newest."""
    blank = blank_bits(placed)
    ages = [(bit, leaf.age) for bit, leaf in placed if leaf.age is not None]
    parts = [(age.rank, age.flip_ms, bit) for bit, age in ages]
    past = sum(bit for bit, age in ages if not age.young)

    def look(data: Data, now: int, state: State, best: int) -> tuple[int, int]:
        if data is None:
            return blank, best
        mask, size = past, len(data)
        for rank, flip_ms, bit in parts:
            if rank <= size:
                end_ms = data[-rank] + flip_ms
                if end_ms > now:
                    mask ^= bit
                    if end_ms < best and matters(bit, state):
                        best = end_ms
        return mask, best

    return look


def _by_value(placed: Placed) -> Look:
    """Over the newest or oldest value, where time turns none of the leaves."""
    known: dict[str, int] = {}

    def ask(data: Data, now: int, state: State) -> int:
        return sum(bit for bit, leaf in placed if leaf.truth(data, now, state))

    def look(data: Data, now: int, state: State, best: int) -> tuple[int, int]:
        value: Json = data[1] if data is not None else None
        if type(value) is not str:
            return ask(data, now, state), best
        mask = known.get(value)
        if mask is None:
            mask = ask(data, now, state)
            if len(known) < REMEMBERED_MAX:
                known[value] = mask
        return mask, best

    return look


def _each(placed: Placed, matters: Matters) -> Look:
    parts = [(bit, leaf.look or _look_of(leaf.truth, leaf.due)) for bit, leaf in placed]

    def look(data: Data, now: int, state: State, best: int) -> tuple[int, int]:
        mask = 0
        for bit, ask in parts:
            holds, end_ms = ask(data, now, state)
            if holds:
                mask |= bit
            if end_ms < best and matters(bit, state):
                best = end_ms
        return mask, best

    return look


def _look_of(truth: Truth, due: Due) -> LookOne:
    if due is never_due:
        return lambda data, now, state: (truth(data, now, state), NEVER)
    return lambda data, now, state: (truth(data, now, state), due(data, now, state))
