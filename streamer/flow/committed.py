"""What the committed state says of customers, asked by somebody who owns no shard: the command line, and servers for readers.

Shards go on meanwhile, so an answer names the checkpoint under which it holds; state and checkpoint are of one moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from streamer.customers.offsets import RecordOffsets
from streamer.customers.state import State
from streamer.customers.tombstone import decode_tombstone, is_tombstone
from streamer.errors import HaltError, UnreadableStateError
from streamer.segments.change import Reasons
from streamer.segments.evaluate import Ahead, LookAhead
from streamer.segments.explain import Explanation, explain
from streamer.segments.plan import model_memories
from streamer.segments.plan.plan import Plan, warming_predicates
from streamer.stores.base import Checkpoint, Position, Store
from streamer.wire import shard_of

from .catalog import Plans
from .checkpoint import CheckpointBody, decode_body
from .rules import Rules
from .scoring import Scoring
from .states import read_state

STEPS_AT_ONCE: Final = 10  # moments looked at ahead before others get their turn: about a millisecond


class ShardView(NamedTuple):
    """A shard as of one commit. ``body`` is None where no worker has ever had it."""

    shard: int
    position: Position
    body: CheckpointBody | None

    @property
    def log_time_ms(self) -> int:
        """Log time of the last record that was applied; 0 before the first."""
        return 0 if self.body is None else self.body.log_time_ms


class OldId(NamedTuple):
    """An id that leads to another, as of one commit of its shard, and where the records lie of who it was."""

    id: str
    view: ShardView
    offsets: RecordOffsets


class CommittedCustomer(NamedTuple):
    """What is known of a customer.

    ``customer`` is the id by which they go, ``passed`` the ids that led there, in order, of which ``look_up`` gives the ``old_ids`` too.
    ``state`` is None where nothing is known, also while ids point at each other in a circle, until what is under way between shards has
    closed it: then ``customer`` is in ``passed``. ``encoded`` is the state as the store has it.
    """

    customer: str
    passed: tuple[str, ...]
    view: ShardView
    state: State | None = None
    encoded: bytes = b""
    old_ids: tuple[OldId, ...] = ()

    @property
    def is_being_joined(self) -> bool:
        """Whether nothing can be said before its ids have been joined."""
        return self.state is None and self.customer in self.passed


def newest_of(views: Iterable[ShardView]) -> ShardView | None:
    """The shard with the newest definitions in force; None where none has any."""
    newest = max(views, key=lambda view: 0 if view.body is None else view.body.version)
    return newest if newest.body is not None and newest.body.digest else None


def history_in_force(views: Iterable[ShardView]) -> dict[int, int]:
    """By shard, the offset in its log of history below which everything is part of what it remembers; only shards that have some."""
    return {view.shard: view.body.history for view in views if view.body is not None and view.body.history}


class CommittedCustomers:
    """Looks customers up in a store, under ``plans``. Raises what reading it may: StoreUnavailableError, HaltError for what cannot be
    read."""

    def __init__(self, store: Store, rules: Rules, plans: Plans) -> None:
        self._store = store
        self._rules = rules
        self.plans = plans
        self._bodies: dict[int, tuple[bytes, CheckpointBody]] = {}

    async def view(self, shard: int) -> ShardView:
        """How far a shard is."""
        return self._view(shard, await self._store.checkpoint(shard))

    async def views(self) -> list[ShardView]:
        """How far every shard is."""
        return [await self.view(shard) for shard in range(self._rules.shards)]

    async def look_up(self, asked: str) -> CommittedCustomer:
        """Follow what is left under old ids to the customer who has events of them now."""
        passed, customer = list[OldId](), asked
        while True:
            shard = shard_of(customer, self._rules.shards)
            checkpoint, [blob] = await self._store.committed(shard, [customer])
            view = self._view(shard, checkpoint)
            ids = tuple(old.id for old in passed)
            if blob is None or customer in ids:
                return CommittedCustomer(customer, ids, view, old_ids=tuple(passed))
            if not is_tombstone(blob):
                return CommittedCustomer(customer, ids, view, self._state(view, customer, blob), blob, tuple(passed))
            try:
                left = decode_tombstone(blob)
                passed.append(OldId(customer, view, left.offsets))
                customer = left.to
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise UnreadableStateError(shard, customer, type(error).__name__) from None

    async def in_shard(self, shard: int, customers: list[str]) -> list[CommittedCustomer]:
        """Customers of one shard as of one commit; old ids are not followed, and nothing is known under them."""
        checkpoint, blobs = await self._store.committed(shard, customers)
        view = self._view(shard, checkpoint)
        found: list[CommittedCustomer] = []
        for customer, blob in zip(customers, blobs, strict=True):
            if blob is None or is_tombstone(blob):
                found.append(CommittedCustomer(customer, () if blob is None else (customer,), view))
            else:
                found.append(CommittedCustomer(customer, (), view, self._state(view, customer, blob), blob))
        return found

    async def plan_of(self, found: CommittedCustomer) -> Plan:
        """The definitions under which a customer's state is: those of the generation before, while the shard is on its way to others."""
        body = _body(found.view)
        is_before = found.state is not None and found.state.generation != body.generation
        return await self.plans.get(body.previous if is_before else body.digest, found.view.shard)

    async def newest_plan(self, view: ShardView) -> Plan:
        """The definitions in force in a shard."""
        return await self.plans.get(_body(view).digest, view.shard)

    async def explain(self, found: CommittedCustomer, now_ms: int, segments: Iterable[str] | None = None) -> list[Explanation]:
        """Why a customer is in each segment or not, at ``now_ms``, which is not before the log time of the view; only ``segments`` of
        them, if any are named. Others get their turn meanwhile."""
        body, state = _body(found.view), found.state
        assert state is not None, "there is nothing to explain"
        plan = await self.plan_of(found)
        model_memories.drop_scores(state, model_memories.unscored_slots(plan.definitions.models, plan.slots, body.models))
        warming = warming_predicates(plan, body.since_ms, now_ms)
        wanted = None if segments is None else frozenset(segments)
        ahead = None if state.aside_ms else await _look_ahead(plan, state, now_ms)
        return explain(plan, state, now_ms, warming, await self._reasons(plan, found.view), only=wanted, ahead=ahead)

    async def score_reasons(self, found: CommittedCustomer) -> dict[str, list[str]]:
        """What moved the answer of each model most, in words, for a customer as of the log time of the view; nothing where nothing is
        known of them."""
        if found.state is None:
            return {}
        plan = await self.plan_of(found)
        in_words = await self._reasons(plan, found.view)
        if in_words is None:
            return {}
        return {spec.name: in_words(found.state, spec.name, found.view.log_time_ms) for spec in plan.definitions.models}

    async def _reasons(self, plan: Plan, view: ShardView) -> Reasons | None:
        if not plan.definitions.models:
            return None
        return Scoring(plan, await self.plans.scorers.in_force(_body(view), view.shard)).in_words

    def _view(self, shard: int, checkpoint: Checkpoint) -> ShardView:
        if not checkpoint.body:
            return ShardView(shard, checkpoint.position, None)
        kept = self._bodies.get(shard)
        if kept is None or kept[0] != checkpoint.body:  # decoding costs more than comparing, and quiet shards stay as they are
            kept = self._bodies[shard] = checkpoint.body, decode_body(checkpoint.body)
        return ShardView(shard, checkpoint.position, kept[1])

    def _state(self, view: ShardView, customer: str, blob: bytes) -> State:
        state = read_state(view.shard, customer, blob)
        body = _body(view)
        if state.generation not in (body.generation, body.generation - 1):
            why = f"it is of generation {state.generation} in generation {body.generation}"
            raise UnreadableStateError(view.shard, customer, why)
        return state


async def _look_ahead(plan: Plan, state: State, after_ms: int) -> Ahead:
    """As ``next_flips``, a few moments at a time."""
    look = LookAhead(plan, state, after_ms)
    while not look.is_done:
        look.go(STEPS_AT_ONCE)
        await asyncio.sleep(0)
    return look.ahead


def _body(view: ShardView) -> CheckpointBody:
    """What the shard remembers; HaltError where it has customers and no checkpoint, which no worker leaves."""
    if view.body is None:
        raise HaltError(f"shard {view.shard} has no checkpoint")
    return view.body
