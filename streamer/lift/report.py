"""What messages bring about, arm against arm, in words that claim no more than is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from streamer.values import SCALE

from .interval import ArmCount, ShareInterval, share_interval
from .trial import Followed, Trial

LiftVerdict = Literal["not known yet", "more", "fewer"]


@dataclass(frozen=True, slots=True)
class ArmResult:
    """An arm: its customers whose window is over, those who reached the goal, and what that was worth to each customer on average."""

    name: str
    customers: int
    reached: int
    share: float
    worth: float


@dataclass(frozen=True, slots=True)
class Contrast:
    """One arm against the one that it is measured by. ``low`` and ``high`` bound the true difference of the shares however often one looks.

    ``relative`` is the difference as a part of the other arm's share, None where nobody of it reached the goal.
    """

    arm: ArmResult
    against: ArmResult
    difference: float
    low: float
    high: float
    relative: float | None
    verdict: LiftVerdict


@dataclass(frozen=True, slots=True)
class Lift:
    """What one message brings about. ``decisions`` are all with an arm, ``open`` the customers whose window is not over."""

    message: str
    goal: str
    within_ms: int
    decisions: int
    open: int
    contrasts: list[Contrast]


@dataclass(slots=True)
class _ArmTally:
    customers: int = 0
    reached: int = 0
    worth: int = 0

    def add(self, followed: Followed) -> None:
        self.customers += 1
        self.reached += followed.reached
        self.worth += followed.worth

    def result(self, name: str) -> ArmResult:
        count = ArmCount(self.customers, self.reached)
        worth = self.worth / SCALE / self.customers if self.customers else 0.0
        return ArmResult(name, self.customers, self.reached, count.share, worth)


@dataclass(slots=True)
class _MessageTally:
    goal: str = ""
    within_ms: int = 0
    open: int = 0
    treated: _ArmTally = field(default_factory=_ArmTally)
    held_out: _ArmTally = field(default_factory=_ArmTally)
    variants: dict[str, _ArmTally] = field(default_factory=dict[str, _ArmTally])

    def add(self, followed: Followed) -> None:
        assignment = followed.assignment
        self.goal, self.within_ms = assignment.goal, assignment.within_ms
        if not followed.is_over:
            self.open += 1
            return
        (self.treated if assignment.arm == "treated" else self.held_out).add(followed)
        if assignment.arm == "treated" and assignment.variant is not None:
            self.variants.setdefault(assignment.variant, _ArmTally()).add(followed)

    def contrasts(self) -> Iterator[Contrast]:
        yield contrast(self.treated.result("sent"), self.held_out.result("held out"))
        first, *others = sorted(self.variants) or [""]
        for name in others:
            yield contrast(self.variants[name].result(name), self.variants[first].result(first))


def lifts(trial: Trial) -> list[Lift]:
    """What each message of a trial brings about, by name: sent against held out, then each variant against the first by name.

    Every interval keeps its promise by itself; of twenty messages that do nothing one is expected to be called something.
    """
    tallies: dict[str, _MessageTally] = {}
    for followed in trial.followed():
        tallies.setdefault(followed.assignment.message, _MessageTally()).add(followed)
    return [
        Lift(name, tally.goal, tally.within_ms, len(trial.decisions[name]), tally.open, list(tally.contrasts()))
        for name, tally in sorted(tallies.items())
    ]


def contrast(arm: ArmResult, against: ArmResult) -> Contrast:
    """One arm measured by another."""
    interval = share_interval(ArmCount(arm.customers, arm.reached), ArmCount(against.customers, against.reached))
    difference = arm.share - against.share
    relative = difference / against.share if against.share else None
    return Contrast(arm, against, difference, interval.low, interval.high, relative, _verdict(interval))


def _verdict(interval: ShareInterval) -> LiftVerdict:
    if interval.has_zero:
        return "not known yet"
    return "more" if interval.low > 0 else "fewer"
