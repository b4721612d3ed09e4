"""Who will enter and leave within the hour if nothing happens: known already, from the timers that the step has set.

A customer whose timer comes later has no such change, so only those with a timer within the hour are looked at. However many they are,
a bound holds; behind it the figures are lower bounds, and say so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from streamer.errors import StreamerError
from streamer.flow.committed import CommittedCustomer, CommittedCustomers
from streamer.segments.evaluate import next_flips
from streamer.segments.plan import model_memories
from streamer.stores.base import Store
from streamer.units import HOUR_MS

from .made_anew import MadeAnew

AHEAD_MS: Final = HOUR_MS
CUSTOMERS_MAX: Final = 2_000  # looked at for one forecast; one takes about a third of a millisecond
FLIP_STEPS: Final = 8
SLICE: Final = 50
OLD_SECONDS: Final = 30.0


class Forecast(NamedTuple):
    """By segment, for the hour after ``at_ms``. ``is_bounded``: there are more customers with timers than were looked at."""

    at_ms: int
    enters: Mapping[str, int]
    leaves: Mapping[str, int]
    is_bounded: bool


class Forecasts(MadeAnew[Forecast]):
    """The newest forecast, made anew in the background for those who ask."""

    def __init__(self, store: Store, customers: CommittedCustomers, shards: int, now_ms: Callable[[], int]) -> None:
        super().__init__(self._make_one_of_now, old_seconds=OLD_SECONDS, again_seconds=OLD_SECONDS)
        self._store = store
        self._customers = customers
        self._shards = shards
        self._now_ms = now_ms

    async def _make_one_of_now(self) -> Forecast | None:
        try:
            return await self.look()
        except StreamerError:  # whoever asked is told so by what else they asked for
            return None

    async def look(self) -> Forecast:
        """A forecast of now. Raises what reading the store may."""
        now_ms, enters, leaves = self._now_ms(), Counter[str](), Counter[str]()
        each = CUSTOMERS_MAX // self._shards + 1
        is_bounded = False
        for shard in range(self._shards):
            due = (await self._store.fetch(shard, [], until_ms=now_ms + AHEAD_MS, limit=each)).due
            is_bounded |= len(due) == each
            customers = list(dict.fromkeys(customer for _, customer in due))
            for start in range(0, len(customers), SLICE):
                for found in await self._customers.in_shard(shard, customers[start : start + SLICE]):
                    await self._count(found, now_ms, enters, leaves)
        return Forecast(now_ms, enters, leaves, is_bounded)

    async def _count(self, found: CommittedCustomer, now_ms: int, enters: Counter[str], leaves: Counter[str]) -> None:
        if found.state is None or found.state.aside_ms:
            return
        plan, body = await self._customers.plan_of(found), found.view.body
        assert body is not None, "a shard that has states has a checkpoint"
        model_memories.drop_scores(found.state, model_memories.unscored_slots(plan.definitions.models, plan.slots, body.models))
        ahead = next_flips(plan, found.state, found.view.log_time_ms, steps_max=FLIP_STEPS)
        for segment, flip in ahead.flips.items():
            if flip.at_ms <= now_ms + AHEAD_MS:
                (enters if flip.enters else leaves)[segment] += 1
        await asyncio.sleep(0)  # others get their turn
