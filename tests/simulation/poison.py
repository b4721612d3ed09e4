"""Faults of our own code: records, timers and changes of definitions, chosen by a seed, at which the step fails.

What fails is a function of what is in hand, as a real fault is, until the code is mended at some moment; from then on the same record would
do no harm. A few things fail once and never again, by chance. The state in hand is damaged each time before the error.
"""
# pyright: reportPrivateUsage=false
# Whoever breaks things must reach inside.

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from random import Random
from typing import Any, Final
from zlib import crc32

import pytest

from streamer.customers.state import State
from streamer.events.event import Event
from streamer.flow import evaluation
from streamer.flow.evaluation import Evaluator
from streamer.flow.lane.lane_step import LaneStep
from streamer.flow.migration import Migration
from streamer.flow.step import Step
from streamer.segments.plan.plan import SegmentRule
from streamer.segments.plan.plan_change import PlanChange
from streamer.segments.plan.turns import Turns

from .shop import START_MS

WITHIN_MS: Final = 6 * 3_600_000  # of the story's beginning: when the code is mended, where it is
BANDS: Final = 10_000
RATES: Final = {"record": 0.08, "timer": 0.04, "switch": 0.3}  # at most


class PoisonError(ArithmeticError):
    """What nobody foresaw."""


class ChanceError(PoisonError):
    """What happens once, and not again."""


class Poison:
    """Which faults this seed has. ``happened`` counts them, ``now_ms`` is the world's clock."""

    def __init__(self, seed: int, happened: Counter[str], now_ms: Callable[[], int]) -> None:
        random = Random(f"poison {seed}")
        self._seed = seed
        self._happened = happened
        self._now_ms = now_ms
        self._rates = {kind: rate * random.random() for kind, rate in RATES.items() if random.random() < 0.5}
        self._mended_ms = START_MS + random.randrange(WITHIN_MS) if random.random() < 0.6 else 1 << 60
        self._chance = random.random() * 0.02
        self._failed_once: set[str] = set()

    def mend(self) -> None:
        """From now on nothing fails but by chance."""
        self._mended_ms = min(self._mended_ms, self._now_ms())

    @contextmanager
    def at_work(self) -> Generator[None]:
        """While this lasts the step has these faults."""
        with pytest.MonkeyPatch.context() as patch:
            self._break_events(patch)
            self._break_timers(patch)
            self._break_switches(patch)
            yield

    def _break_events(self, patch: pytest.MonkeyPatch) -> None:
        sound = Evaluator._remember

        def remember(evaluator: Evaluator, state: State, event: Event, t: int, now: int) -> Turns:
            found = sound(evaluator, state, event, t, now)
            self._fail("record", event.message_id, state)
            return found

        patch.setattr(Evaluator, "_remember", remember)

    def _break_timers(self, patch: pytest.MonkeyPatch) -> None:
        in_hand, sound_fire, sound = [""], Step._fire_one, evaluation.evaluate_at_timer

        def fire_one(step: Step, customer: str, state: State, offset: int) -> None:
            in_hand[0] = customer if not isinstance(step, LaneStep) else ""  # its timers are its own: no shard would pass over them
            sound_fire(step, customer, state, offset)

        def wake(plan: Any, state: State, now: int, *more: Any) -> list[SegmentRule]:
            if in_hand[0]:
                self._fail("timer", f"{in_hand[0]} {now // 1_000}", state)
            return sound(plan, state, now, *more)

        patch.setattr(Step, "_fire_one", fire_one)
        patch.setattr(evaluation, "evaluate_at_timer", wake)

    def _break_switches(self, patch: pytest.MonkeyPatch) -> None:
        in_hand, sound_bring, sound = [""], Migration.bring, Evaluator.anew

        def bring(migration: Migration, customer: str, state: State) -> None:
            in_hand[0] = f"{customer} {migration._body.version}"
            self._happened["brought behind its record"] += migration.at != migration.offset
            sound_bring(migration, customer, state)

        def anew(evaluator: Evaluator, state: State, change: PlanChange, now: int) -> tuple[list[SegmentRule], Turns | None]:
            self._fail("switch", in_hand[0], state)
            return sound(evaluator, state, change, now)

        patch.setattr(Migration, "bring", bring)
        patch.setattr(Evaluator, "anew", anew)

    def _fail(self, kind: str, what: str, state: State) -> None:
        band = crc32(f"{self._seed} {kind} {what}".encode()) % BANDS
        poisoned = self._now_ms() < self._mended_ms and band < self._rates.get(kind, 0) * BANDS
        chance = band >= (1 - self._chance) * BANDS and what not in self._failed_once
        if poisoned or chance:
            self._failed_once.add(what)
            self._happened["failed by chance" if chance else f"poisoned {kind}"] += 1
            state.floor_ms, state.slots = 1 << 50, {}
            raise ChanceError(what) if chance else PoisonError(what)
