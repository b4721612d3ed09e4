"""From what was counted on a share to what it says about all."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from streamer.segments.plan.model_memories import score_key
from streamer.segments.plan.plan import Plan, SegmentRule, warming_predicates
from streamer.units import HOUR_MS
from streamer.values import time_text

from .findings import Findings
from .flows import SENT, days_until
from .fold import HORIZONS_MS
from .result import Day, Difference, Horizon, MessageDay, MessagePreview, Overlap, Preview, SegmentPreview
from .share import Estimate, estimate

OVERLAPS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked: on which ``share`` of the customers (1.0: all), how many days back and how many samples of each segment.

    ``replaces``: the definitions are to replace all that holds, so a segment that they do not have is gone.
    """

    share: float = 1.0
    days: int = 14
    samples: int = 3
    replaces: bool = False


def conclude(found: Findings, plan: Plan, wishes: Wishes) -> Preview:
    """The answer by what was counted of definitions, whose ``plan`` it is."""
    writer = _Writer(found, plan, wishes)
    return Preview(
        at=time_text(found.at_ms),
        begins=None if found.begins_ms is None else time_text(found.begins_ms),
        is_cut=found.is_cut,
        share=wishes.share,
        customers=estimate(found.customers, wishes.share),
        events=found.events,
        refused=found.refused,
        segments=[writer.segment(rule) for rule in sorted(plan.rules[: len(plan.names)], key=lambda rule: rule.name)],
        gone=writer.gone(),
        messages=[writer.message(message.name) for message in plan.definitions.messages],
    )


class _Writer:
    """Writes down what was found, segment by segment."""

    def __init__(self, found: Findings, plan: Plan, wishes: Wishes) -> None:
        self._found = found
        self._plan = plan
        self._share = wishes.share
        self._replaces = wishes.replaces
        self._days = list(days_until(found.at_ms, wishes.days, plan.definitions.clock))
        self._warming = by_segment(plan, warming_predicates(plan, found.since_ms, found.at_ms))

    def _of_all(self, found: int) -> Estimate:
        return estimate(found, self._share)

    def message(self, name: str) -> MessagePreview:
        """One message, by what was decided up to the end of the log."""
        customers = {what: count for (message, what), count in self._found.decided.items() if message == name}
        others = {what: self._of_all(count) for what, count in sorted(customers.items()) if what != SENT}
        by_day = [MessageDay(day, self._of_all(self._found.sent_by_day.get(day, {}).get((name, SENT), 0))) for day in self._days]
        return MessagePreview(name, self._of_all(customers.get(SENT, 0)), others, by_day)

    def segment(self, rule: SegmentRule) -> SegmentPreview:
        """One segment."""
        name = rule.name
        return SegmentPreview(
            name=name,
            purpose=rule.segment.purpose,
            members=self._of_all(self._found.sizes.get(name, 0)),
            days=[self._day(name, day) for day in self._days],
            ahead=[self._horizon(name, horizon_ms) for horizon_ms in HORIZONS_MS],
            samples=self._found.samples[name],
            overlaps=self._overlaps(name),
            warming=sorted(self._warming.get(rule.number, ())),
            waits_for=self._waits_for(rule),
            difference=self._difference(name),
        )

    def _day(self, name: str, day: str) -> Day:
        found = self._found.by_day.get(day, {})
        return Day(day, self._of_all(found.get((name, True), 0)), self._of_all(found.get((name, False), 0)))

    def _horizon(self, name: str, horizon_ms: int) -> Horizon:
        enter, leave = (self._of_all(self._found.ahead.get((horizon_ms, name, enters), 0)) for enters in (True, False))
        return Horizon(horizon_ms // HOUR_MS, enter, leave)

    def _overlaps(self, name: str) -> list[Overlap]:
        """The largest first."""
        found = [(count, other, in_force) for (one, other, in_force), count in self._found.pairs.items() if one == name]
        found.sort(key=lambda entry: (-entry[0], entry[1:]))
        return [Overlap(other, in_force, self._of_all(count)) for count, other, in_force in found[:OVERLAPS_SHOWN]]

    def _waits_for(self, rule: SegmentRule) -> list[str]:
        asked = {self._plan.memories[slot].key for slot in rule.asks}
        models = [spec.name for spec in self._plan.definitions.models if score_key(spec.name) in asked]
        return sorted(set(models) - set(self._found.served))

    def _difference(self, name: str) -> Difference | None:
        if self._found.sizes_now is None:
            return None
        counts = (self._found.sizes_now, self._found.enter, self._found.leave)
        return Difference(*(self._of_all(count.get(name, 0)) for count in counts))

    def gone(self) -> dict[str, Estimate]:
        """Segments in force that the definitions do not have, and how many are in them."""
        sizes_now = self._found.sizes_now
        if sizes_now is None or not self._replaces:
            return {}
        return {name: self._of_all(sizes_now[name]) for name in sorted(sizes_now.keys() - set(self._plan.names))}


def by_segment(plan: Plan, texts: Container[str]) -> dict[int, set[str]]:
    """The predicates with these texts, by the numbers of the segments in whose conditions they stand."""
    found: dict[int, set[str]] = {}
    for predicate in plan.predicates:
        if predicate.text in texts:
            for number in predicate.segments:
                found.setdefault(number, set()).add(predicate.text)
    return found
