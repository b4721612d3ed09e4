"""Says the changes of one plan's segments: who entered or left, why, and how many are inside."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from streamer.customers.state import State, is_entry
from streamer.segments.change import Cause, ChangeMoment, Lens, Reasons, because_encoded, change_moment
from streamer.segments.plan.plan import Plan, SegmentRule, next_warm_ms, warming_predicates
from streamer.units import MINUTE_MS

from .checkpoint import CheckpointBody
from .outputs import OutputLog

NO_CLAUSES: Final = b"[]"
WARMING_MS: Final = MINUTE_MS  # how often it is looked up which predicates are still warming


class ChangeWriter:
    """Writes changes into the output log. Of the checkpoint's body it keeps ``sizes``, the members by segment."""

    def __init__(self, plan: Plan, body: CheckpointBody, outputs: OutputLog, reasons: Reasons | None) -> None:
        self._plan = plan
        self._body = body
        self._outputs = outputs
        self._reasons = reasons
        self._turns_unseen = len(plan.rules) > len(plan.names)
        self._warming: frozenset[str] = frozenset()
        self._warming_at_ms = self._warm_ms = -1  # from when until when that is so
        body.sizes = body.sizes + [0] * (len(plan.names) - len(body.sizes))

    def write(self, customer: str, state: State, changed: list[SegmentRule], now: int, cause: Cause, offset: int) -> None:
        """Every segment that the customer has just entered or left, by name. Turns of messages' conditions are none of them."""
        if self._turns_unseen:
            changed = [rule for rule in changed if rule.number < len(self._plan.names)]
        if len(changed) > 1:
            changed.sort(key=attrgetter("name"))
        moment = change_moment(customer, now, cause)
        for rule in changed:
            self._write(moment, customer, state, rule, now, offset)

    def write_one(self, customer: str, state: State, rule: SegmentRule, now: int, cause: Cause, offset: int) -> None:
        """One segment that the customer has just entered or left."""
        self._write(change_moment(customer, now, cause), customer, state, rule, now, offset)

    def _write(self, moment: ChangeMoment, customer: str, state: State, rule: SegmentRule, now: int, offset: int) -> None:
        sequence = state.members[rule.number].changes
        enters = is_entry(sequence)
        self._body.sizes[rule.number] += 1 if enters else -1
        decided = rule.segment.exit if rule.segment.exit is not None and not enters else rule.segment.when
        lens = Lens(self._warming_at(now), self._reasons)
        why = because_encoded(self._plan, decided, state, now - state.origin_ms, lens)
        self._outputs.add_change(customer, rule.name, sequence, moment, why, self._body.version, offset)

    def write_left(self, customer: str, state: State, now: int, cause: Cause, offset: int) -> None:
        """A customer who is erased, or goes by another id from now on, leaves every segment."""
        moment = change_moment(customer, now, cause)
        names = self._plan.names
        inside = {names[number]: number for number, entry in state.members.items() if entry.inside and number < len(names)}
        for name, number in sorted(inside.items()):
            self._body.sizes[number] -= 1
            self._outputs.add_change(customer, name, state.members[number].changes + 1, moment, NO_CLAUSES, self._body.version, offset)

    def write_merge(self, to: str, from_: str, also: Iterable[str], now: int, cause: str, offset: int) -> None:
        """A customer has the past of another id. It comes before the changes that this brings about."""
        self._outputs.add_merge(to, from_, also, now, cause, offset)

    def write_unmerge(self, to: str, from_: str, also: Iterable[str], now: int, offset: int) -> None:
        """An id is a customer again. It comes before the changes that this brings about."""
        self._outputs.add_unmerge(to, from_, also, now, offset)

    def write_retired(self, customer: str, segment: str, sequence: int, now: int, cause: Cause, offset: int) -> None:
        """A customer leaves a segment that is no longer defined."""
        moment = change_moment(customer, now, cause)
        self._outputs.add_change(customer, segment, sequence, moment, NO_CLAUSES, self._body.version, offset)

    def _warming_at(self, now: int) -> frozenset[str]:
        """Predicates that look further back than their memories do, as of the last full minute: the next owner says the same."""
        if not self._body.since_ms:
            return self._warming
        at_ms = now - now % WARMING_MS
        if not self._warming_at_ms <= at_ms < self._warm_ms:
            since_ms = self._body.since_ms
            self._warming = frozenset(warming_predicates(self._plan, since_ms, at_ms))
            self._warming_at_ms, self._warm_ms = at_ms, next_warm_ms(self._plan, since_ms, at_ms)
        return self._warming
