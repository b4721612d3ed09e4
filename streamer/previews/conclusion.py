"""From what was counted on a share to what it says about all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from streamer.segments.plan.model_memories import score_key
from streamer.segments.plan.plan import Plan, SegmentRule, warming_predicates
from streamer.units import HOUR_MS
from streamer.values import time_text

from .flows import SENT, Decisions, Flows, MovesAhead, day_of, days_until
from .fold import HORIZONS_MS, Fold
from .result import Day, Difference, Horizon, MessageDay, MessagePreview, Overlap, Preview, SegmentPreview
from .share import Estimate, estimate
from .survey import MembersInForce, Survey, Surveyor

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


async def conclude(fold: Fold, wishes: Wishes, in_force: MembersInForce | None, *, is_cut: bool = False) -> Preview:
    """The answer of a fold that has been told its log. Its states are those of a week later then."""
    at_ms, survey = fold.now_ms, await Surveyor(fold, in_force, wishes.samples).walk()
    ahead = await fold.ahead()
    writer = _Writer(fold, wishes, survey, in_force, ahead, at_ms)
    clock = fold.plan.definitions.clock
    days = list(days_until(at_ms, wishes.days, clock))
    return Preview(
        at=time_text(at_ms),
        begins=None if fold.begins_ms is None else time_text(fold.begins_ms),
        is_cut=is_cut,
        share=wishes.share,
        customers=estimate(survey.customers, wishes.share),
        events=fold.events,
        refused=fold.refused,
        segments=[writer.segment(rule) for rule in sorted(fold.plan.rules[: len(fold.plan.names)], key=lambda rule: rule.name)],
        gone=writer.gone(),
        messages=[_message(message.name, fold.decisions, days, wishes.share, clock) for message in fold.plan.definitions.messages],
    )


def _message(name: str, decided: Decisions, days: list[str], share: float, clock: ZoneInfo) -> MessagePreview:
    """One message, by what was decided up to the end of the log."""
    customers = {what: len(_of_days(newest, days[0], clock)) for (message, what), newest in decided.newest.items() if message == name}
    others = {what: estimate(count, share) for what, count in sorted(customers.items()) if what != SENT and count}
    by_day = [MessageDay(day, estimate(decided.by_day.get(day, Counter())[name, SENT], share)) for day in days]
    return MessagePreview(name, estimate(customers.get(SENT, 0), share), others, by_day)


def _of_days(newest: Mapping[str, int], first: str, clock: ZoneInfo) -> list[str]:
    return [customer for customer, at_ms in newest.items() if day_of(at_ms, clock).isoformat() >= first]


class _Writer:
    """Writes down what was found, segment by segment."""

    def __init__(self, fold: Fold, wishes: Wishes, survey: Survey, in_force: MembersInForce | None, ahead: MovesAhead, at_ms: int) -> None:
        self._plan: Plan = fold.plan
        self._flows: Flows = fold.flows
        self._share = wishes.share
        self._survey = survey
        self._ahead = ahead
        self._sizes_now = None if in_force is None else in_force.sizes()
        self._names_now = frozenset[str]() if in_force is None else frozenset(in_force.names)
        self._replaces = wishes.replaces
        self._days = list(days_until(at_ms, wishes.days, self._plan.definitions.clock))
        self._warming = by_segment(self._plan, warming_predicates(self._plan, fold.since_ms, at_ms))
        self._served = fold.served

    def _of_all(self, found: int) -> Estimate:
        return estimate(found, self._share)

    def segment(self, rule: SegmentRule) -> SegmentPreview:
        """One segment."""
        name = rule.name
        return SegmentPreview(
            name=name,
            purpose=rule.segment.purpose,
            members=self._of_all(self._survey.sizes[name]),
            days=[self._day(name, day) for day in self._days],
            ahead=[self._horizon(name, horizon_ms) for horizon_ms in HORIZONS_MS],
            samples=self._survey.samples[name],
            overlaps=self._overlaps(name),
            warming=sorted(self._warming.get(rule.number, ())),
            waits_for=self._waits_for(rule),
            difference=self._difference(name),
        )

    def _day(self, name: str, day: str) -> Day:
        found = self._flows.by_day.get(day, Counter())
        return Day(day, self._of_all(found.get((name, True), 0)), self._of_all(found.get((name, False), 0)))

    def _horizon(self, name: str, horizon_ms: int) -> Horizon:
        enter, leave = (self._of_all(self._ahead.counts[horizon_ms, name, enters]) for enters in (True, False))
        return Horizon(horizon_ms // HOUR_MS, enter, leave)

    def _overlaps(self, name: str) -> list[Overlap]:
        """The largest first."""
        found = [(count, other, in_force) for (one, other, in_force), count in self._survey.pairs.items() if one == name]
        found.sort(key=lambda entry: (-entry[0], entry[1:]))
        return [Overlap(other, in_force, self._of_all(count)) for count, other, in_force in found[:OVERLAPS_SHOWN]]

    def _waits_for(self, rule: SegmentRule) -> list[str]:
        asked = {self._plan.memories[slot].key for slot in rule.asks}
        models = [spec.name for spec in self._plan.definitions.models if score_key(spec.name) in asked]
        return sorted(set(models) - self._served)

    def _difference(self, name: str) -> Difference | None:
        if self._sizes_now is None:
            return None
        survey = self._survey
        return Difference(self._of_all(self._sizes_now[name]), self._of_all(survey.enter[name]), self._of_all(survey.leave[name]))

    def gone(self) -> dict[str, Estimate]:
        """Segments in force that the definitions do not have, and how many are in them."""
        if self._sizes_now is None or not self._replaces:
            return {}
        return {name: self._of_all(self._sizes_now[name]) for name in sorted(self._names_now - set(self._plan.names))}


def by_segment(plan: Plan, texts: Container[str]) -> dict[int, set[str]]:
    """The predicates with these texts, by the numbers of the segments in whose conditions they stand."""
    found: dict[int, set[str]] = {}
    for predicate in plan.predicates:
        if predicate.text in texts:
            for number in predicate.segments:
                found.setdefault(number, set()).add(predicate.text)
    return found
