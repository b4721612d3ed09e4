"""What was counted of a fold. Counts of parts of the customers add up to those of all, since each person is in one part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec

from .flows import Decisions, day_of, days_until
from .fold import Fold
from .result import SampleMember
from .share import rank
from .survey import MembersInForce, Surveyor

Counted = TypeVar("Counted")


class Findings(msgspec.Struct, frozen=True):
    """Customers, each person once, at ``at_ms`` (UTC).

    ``by_day`` are those who came and went by (segment, whether they entered), ``ahead`` those who will, with the horizon in milliseconds
    before it. ``pairs`` are those in a segment and another one, with whether the latter is in force. ``sent_by_day`` and ``decided`` are
    by (message, what became of it); ``decided`` counts customers of the days that were asked for. ``sizes_now`` are the members in force,
    by segment; None where nothing in force was looked at. ``since_ms`` and ``served`` are those of the fold. ``refused_of_all`` is the
    part of ``refused`` that each part has, since it is of records that concern all.
    """

    at_ms: int
    begins_ms: int | None
    is_cut: bool
    events: int
    refused: dict[str, int]
    refused_of_all: dict[str, int]
    customers: int
    sizes: dict[str, int]
    enter: dict[str, int]
    leave: dict[str, int]
    pairs: dict[tuple[str, str, bool], int]
    samples: dict[str, list[SampleMember]]
    by_day: dict[str, dict[tuple[str, bool], int]]
    ahead: dict[tuple[int, str, bool], int]
    sent_by_day: dict[str, dict[tuple[str, str], int]]
    decided: dict[tuple[str, str], int]
    sizes_now: dict[str, int] | None
    since_ms: dict[str, int]
    served: list[str]


async def findings_of(fold: Fold, in_force: MembersInForce | None, *, days: int, samples: int, is_cut: bool = False) -> Findings:
    """What a fold that has been told its log comes to: of messages in the last ``days`` days, with ``samples`` members of each segment.
    The states of the fold are those of a week later then."""
    at_ms, survey = fold.now_ms, await Surveyor(fold, in_force, samples).walk()
    clock = fold.plan.definitions.clock
    first = next(iter(days_until(at_ms, days, clock)))
    ahead = await fold.ahead()
    return Findings(
        at_ms=at_ms,
        begins_ms=fold.begins_ms,
        is_cut=is_cut,
        events=fold.events,
        refused=fold.refused,
        refused_of_all=dict(fold.refused_of_all),
        customers=survey.customers,
        sizes=dict(survey.sizes),
        enter=dict(survey.enter),
        leave=dict(survey.leave),
        pairs=dict(survey.pairs),
        samples=survey.samples,
        by_day={day: dict(counts) for day, counts in fold.flows.by_day.items()},
        ahead=dict(ahead.counts),
        sent_by_day={day: dict(counts) for day, counts in fold.decisions.by_day.items()},
        decided=_decided_since(fold.decisions, first, clock),
        sizes_now=None if in_force is None else {**dict.fromkeys(in_force.names, 0), **in_force.sizes()},
        since_ms=dict(fold.since_ms),
        served=sorted(fold.served),
    )


def _decided_since(decided: Decisions, first: str, clock: ZoneInfo) -> dict[tuple[str, str], int]:
    """Customers by (message, what became of it) of whom that was decided on the day ``first`` or later."""
    found = {what: sum(day_of(at_ms, clock).isoformat() >= first for at_ms in newest.values()) for what, newest in decided.newest.items()}
    return {what: count for what, count in found.items() if count}


def united(parts: Sequence[Findings], samples: int) -> Findings:
    """The findings of all customers from those of each part, as one fold of all of them would have had them. There is at least one."""
    first = parts[0]
    repeated = _sum([first.refused_of_all] * (len(parts) - 1))
    return msgspec.structs.replace(
        first,
        events=sum(part.events for part in parts),
        refused=dict(sorted((_sum(part.refused for part in parts) - repeated).items())),
        customers=sum(part.customers for part in parts),
        sizes=_sum(part.sizes for part in parts),
        enter=_sum(part.enter for part in parts),
        leave=_sum(part.leave for part in parts),
        pairs=_sum(part.pairs for part in parts),
        samples={name: _smallest([one for part in parts for one in part.samples[name]], samples) for name in first.samples},
        by_day=_sum_by_day(part.by_day for part in parts),
        ahead=_sum(part.ahead for part in parts),
        sent_by_day=_sum_by_day(part.sent_by_day for part in parts),
        decided=_sum(part.decided for part in parts),
        sizes_now=None if first.sizes_now is None else _sum(part.sizes_now or {} for part in parts),
    )


def _sum(parts: Iterable[Mapping[Counted, int]]) -> Counter[Counted]:
    found: Counter[Counted] = Counter()
    for part in parts:
        found.update(part)
    return found


def _sum_by_day(parts: Iterable[Mapping[str, Mapping[Counted, int]]]) -> dict[str, dict[Counted, int]]:
    found: dict[str, Counter[Counted]] = {}
    for part in parts:
        for day, counts in part.items():
            found.setdefault(day, Counter()).update(counts)
    return {**found}


def _smallest(members: list[SampleMember], count: int) -> list[SampleMember]:
    """Those of the smallest ranks, ascending, as each part has chosen its own."""
    return sorted(members, key=lambda member: (rank(member.customer), member.customer))[:count]


__all__ = ["Findings", "findings_of", "united"]
