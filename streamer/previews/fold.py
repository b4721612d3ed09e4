"""A log told in memory under definitions that hold nowhere yet.

All shards' records are told as those of one shard, by the time of their arrival, which comes to the same memberships: what shards send each
other about one person is told anew, and takes no time here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final

from streamer.customers.state import State
from streamer.events.dead_letter import read_dead_letter
from streamer.flow.replay import Arrival, Replay
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions
from streamer.segments.plan.plan import Plan
from streamer.stores.memory import MemoryStore
from streamer.units import DAY_MS, HOUR_MS
from streamer.wire import CHANGES, DEAD_LETTERS, MESSAGES, Output, decode_control

from .bounds import Bounds
from .flows import Decisions, Flows, Moves, MovesAhead

BATCH: Final = 500  # records a commit; changes no answer
HORIZONS_MS: Final = (HOUR_MS, DAY_MS, 7 * DAY_MS)
NO_REFUSAL: Final = frozenset({"accepted", "sent_on"})


class Fold:
    """One run. Records come in the order of their arrival."""

    def __init__(self, run: Replay, placeholder_ids: tuple[str, ...], bounds: Bounds) -> None:
        self.placeholder_ids = placeholder_ids
        self.events = 0  # with erasures; other control records are none
        self.flows = Flows(run.plan.definitions.clock)
        self.decisions = Decisions(run.plan.definitions.clock)
        self.begins_ms: int | None = None  # when the first record of the log arrived, as whoever reads it says
        self._run = run
        self._bounds = bounds
        self._moves = Moves()
        self.refused_of_all: Counter[str] = Counter()  # of what was refused the records that concern all customers, by reason

    @classmethod
    async def begin(cls, definitions: Definitions, rules: Rules, bounds: Bounds, *, learns: bool = False) -> Fold:
        """Before the first record. ``learns``: whether models learn on the way; if not, the log has their scorers."""
        rules = replace(rules, shards=1)
        run = await Replay.begin(definitions, MemoryStore(), rules, batch=BATCH, learns=learns)
        return cls(run, rules.placeholder_ids, bounds)

    def lack_before(self, moment_ms: int) -> None:
        """Say, before the first record, that the log has lost what lay before a moment (UTC)."""
        self._run.lack_before(moment_ms)

    async def take(self, arrivals: Sequence[Arrival]) -> None:
        """Tell some more. Raises TooMuchError."""
        if not arrivals:
            return
        for_all = {one.place for one in arrivals if one.control and not customer_told(one)}
        self.events += len(arrivals) - len(for_all)
        self._bounds.spend(len(arrivals))
        async for said in self._run.feed(arrivals, batch=BATCH):
            self._count(said.output)
            if said.output.topic == DEAD_LETTERS and (said.line, said.file) in for_all:
                self.refused_of_all[read_dead_letter(said.output.value).reason] += 1

    async def until(self, at_ms: int) -> None:
        """Let time pass up to a moment, if it is not there yet."""
        if at_ms > self.now_ms:
            async for said in self._run.until(at_ms):
                self._count(said.output)

    def _count(self, output: Output) -> None:
        if output.topic == CHANGES and (move := self._moves.read(output.value)) is not None:
            self.flows.take(move)
        elif output.topic == MESSAGES:
            self.decisions.take(output.value)

    async def ahead(self) -> MovesAhead:
        """Let a week pass without events, and count who comes and goes. The states are those of a week later then."""
        after_ms = self.now_ms
        found = MovesAhead(after_ms, HORIZONS_MS)
        async for said in self._run.until(after_ms + HORIZONS_MS[-1]):
            if said.output.topic == CHANGES and (move := self._moves.read(said.output.value)) is not None:
                found.take(move)
        return found

    @property
    def now_ms(self) -> int:
        """Log time, in UTC milliseconds."""
        return self._run.body.log_time_ms

    @property
    def plan(self) -> Plan:
        """The definitions, made ready."""
        return self._run.plan

    @property
    def since_ms(self) -> dict[str, int]:
        """Since when memories remember that do not from the beginning on, by their keys."""
        return self._run.body.since_ms

    @property
    def served(self) -> frozenset[str]:
        """The models that have something to say."""
        return frozenset(self._run.body.models)

    @property
    def refused(self) -> dict[str, int]:
        """What did not count, by reason."""
        return {reason: count for reason, count in sorted(self._run.body.counts.items()) if reason not in NO_REFUSAL}

    def in_words(self, state: State, model: str, now: int) -> list[str]:
        """What moved a model's answer most for a customer."""
        return self._run.in_words(state, model, now)

    def states(self) -> AsyncIterator[tuple[str, State]]:
        """All customers, each under the id by which they go."""
        return self._run.states()


def customer_told(record: Arrival) -> str:
    """The customer whom a control record concerns alone, as an erasure does; empty where it concerns all."""
    return decode_control(record.value).customer
