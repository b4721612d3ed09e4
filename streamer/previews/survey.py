"""One walk over the customers of a fold: how many are in each segment, some of them with their reasons, and who else has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappush, heapreplace
from typing import Final

from streamer.customers.state import State
from streamer.segments.explain import explain
from streamer.segments.plan.plan import warming_predicates

from .fold import Fold
from .result import SampleMember
from .share import Share, rank

OVERLAPS_SEGMENTS_MAX: Final = 100  # of a preview: with more of them, pairs are not counted


@dataclass(frozen=True, slots=True)
class MembersInForce:
    """Who is in which segments of the deployment now. ``members``: by customer a number with bit n set for the n-th of ``names``."""

    names: list[str]
    members: dict[str, int]

    def sizes(self) -> Counter[str]:
        """Members by segment."""
        found = Counter[str]()
        for bits in self.members.values():
            found.update(self.names[number] for number in numbers_in(bits))
        return found


def numbers_in(bits: int) -> list[int]:
    """Which bits are set, ascending.

    >>> numbers_in(0b10010)
    [1, 4]
    """
    found: list[int] = []
    while bits:
        low = bits & -bits
        found.append(low.bit_length() - 1)
        bits ^= low
    return found


@dataclass(slots=True)
class Survey:
    """What the walk has counted. Segments of the preview by name, pairs with another segment by (name, other, whether it is in force)."""

    customers: int = 0
    sizes: Counter[str] = field(default_factory=Counter[str])
    enter: Counter[str] = field(default_factory=Counter[str])
    leave: Counter[str] = field(default_factory=Counter[str])
    pairs: Counter[tuple[str, str, bool]] = field(default_factory=Counter[tuple[str, str, bool]])
    samples: dict[str, list[SampleMember]] = field(default_factory=dict[str, list[SampleMember]])


class Surveyor:
    """Walks. ``samples_max`` members of each segment are kept, chosen by hash."""

    def __init__(self, fold: Fold, in_force: MembersInForce | None, samples_max: int) -> None:
        self.found = Survey()
        self._fold = fold
        self._names = fold.plan.names
        self._in_force = in_force
        self._samples_max = samples_max
        self._kept: dict[str, list[tuple[int, str, State]]] = {name: [] for name in self._names}
        self._counts_pairs = len(self._names) <= OVERLAPS_SEGMENTS_MAX

    async def walk(self) -> Survey:
        """Look at every customer of the fold, and at those in force whom it does not know."""
        left = dict(self._in_force.members) if self._in_force is not None else {}
        async for customer, state in self._fold.states():
            self.found.customers += 1
            inside = [self._names[number] for number in numbers_in(bits_of(state, len(self._names)))]
            self._count(inside, left.pop(customer, 0))
            for name in inside:
                self._keep(name, customer, state)
        for bits in left.values():
            self._count([], bits)
        self.found.samples = {name: self._explained(name) for name in self._names}
        return self.found

    def _count(self, inside: list[str], bits: int) -> None:
        """One customer: where they are under the new definitions, and where now."""
        found, now = self.found, self._names_of(bits)
        found.sizes.update(inside)
        if self._in_force is not None:
            found.enter.update(name for name in inside if name not in now)
            found.leave.update(name for name in now if name not in inside)
        if self._counts_pairs:
            found.pairs.update((name, other, False) for name in inside for other in inside if other != name)
            found.pairs.update((name, other, True) for name in inside for other in now if other != name)

    def _names_of(self, bits: int) -> list[str]:
        return [self._in_force.names[number] for number in numbers_in(bits)] if self._in_force is not None else []

    def _keep(self, name: str, customer: str, state: State) -> None:
        """The members with the smallest ranks: the first of the heap is the largest of those kept."""
        kept, entry = self._kept[name], (-rank(customer), customer, state)
        if len(kept) < self._samples_max:
            heappush(kept, entry)
        elif kept and entry[0] > kept[0][0]:
            heapreplace(kept, entry)

    def _explained(self, name: str) -> list[SampleMember]:
        fold = self._fold
        warming = warming_predicates(fold.plan, fold.since_ms, fold.now_ms)
        return [
            SampleMember(customer, explain(fold.plan, state, fold.now_ms, warming, fold.in_words, only={name})[0])
            for _, customer, state in sorted(self._kept[name], key=lambda entry: entry[:2], reverse=True)
        ]


async def members_of(fold: Fold, share: Share) -> MembersInForce:
    """The members of a fold, as what another one is compared with."""
    members: dict[str, int] = {}
    async for customer, state in fold.states():
        if share.takes(customer) and (bits := bits_of(state, len(fold.plan.names))):
            members[customer] = bits
    return MembersInForce(fold.plan.names, members)


def bits_of(state: State, count: int, numbers: Mapping[int, int] | None = None) -> int:
    """The segments that a customer is in, as bits; only those below ``count``, which readers know. ``numbers``: the bit of each."""
    bits = 0
    for number, entry in state.members.items():
        if entry.inside and number < count:
            bits |= 1 << (number if numbers is None else numbers[number])
    return bits


__all__ = ["MembersInForce", "Survey", "Surveyor", "bits_of", "members_of", "numbers_in"]
