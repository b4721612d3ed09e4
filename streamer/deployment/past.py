"""What was known of a customer at a moment of the past: told anew from their own records in the log.

An id that leads to another by now is answered as who it was then. Of a time at which nothing was known of a customer, what was imported
since says who they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streamer.customers.state import State
from streamer.customers.tombstone import decode_tombstone, is_tombstone
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.committed import CommittedCustomer, CommittedCustomers, OldId
from streamer.flow.customer_folder import CustomerFolder, FoldedCustomer
from streamer.flow.folding import FoldError
from streamer.segments.change import Reasons
from streamer.segments.explain import Explanation, explain
from streamer.segments.plan.plan import Plan, warming_predicates
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.transports.kafka.answering import answering
from streamer.transports.kafka.journal import amendments_of
from streamer.transports.kafka.record_picker import RecordPicker
from streamer.values import time_text


class KnownThen(NamedTuple):
    """A customer as of ``at_ms`` (UTC), and under which definitions; ``body`` is that of a shard that was told of them alone.

    ``customer`` is the id by which they went then. ``is_of_history``: nothing was known of them then, and history that was imported since
    says it, under the definitions in force now.
    """

    customer: str
    at_ms: int
    state: State
    plan: Plan
    body: CheckpointBody
    reasons: Reasons
    is_of_history: bool = False

    def explain(self, segments: Sequence[str] | None = None) -> list[Explanation]:
        """Why they were in each segment or not; only ``segments``, if any are named."""
        warming = warming_predicates(self.plan, self.body.since_ms, self.at_ms)
        return explain(self.plan, self.state, self.at_ms, warming, self.reasons, only=None if segments is None else frozenset(segments))


class PastCustomers:
    """Folds committed customers as of a moment."""

    def __init__(self, folder: CustomerFolder, customers: CommittedCustomers, picker: RecordPicker | None = None) -> None:
        self._folder = folder
        self._customers = customers
        self._picker = picker  # to be stopped

    @classmethod
    def over(cls, settings: Settings, store: Store, plans: Plans) -> PastCustomers:
        """Those of a deployment. Connections to Kafka are opened when they are asked for first."""
        picker = RecordPicker(settings)
        folder = CustomerFolder(store, settings.rules, plans, settings.keyring, picker, lambda shard: amendments_of(settings, shard))
        return cls(folder, CommittedCustomers(store, settings.rules, plans), picker)

    async def at(self, found: CommittedCustomer, at_ms: int) -> KnownThen | None:
        """The customer at a moment; None where nothing was known of them. Raises FoldError where it cannot be told, UnansweredError where
        Kafka does not do its part, and what reading the store may."""
        view, state = found.view, found.state
        if view.body is None or state is None:
            return None
        if at_ms > view.log_time_ms:
            raise FoldError(f"the log of shard {view.shard} has come to {time_text(view.log_time_ms)}; expected no later moment")
        with answering("try again"):
            return await self._at(found, at_ms)

    async def _at(self, found: CommittedCustomer, at_ms: int) -> KnownThen | None:
        """Where an id led then, not where it leads now: pointers are shortened when others join."""
        passed = set[str]()
        while True:
            asked = _asked(found)
            if asked is None or asked.id in passed or asked.view.body is None:
                return None
            passed.add(asked.id)
            then = await self._folder.fold(asked.view.shard, asked.id, asked.view.position, asked.view.body, asked.offsets, at_ms)
            if then.state is None:
                return await self._from_history(asked, asked.view.body, at_ms)
            if not is_tombstone(then.state):
                return _known(asked.id, at_ms, then, then.state)
            found = await self._customers.look_up(decode_tombstone(then.state).to)

    async def _from_history(self, asked: OldId, body: CheckpointBody, at_ms: int) -> KnownThen | None:
        since = await self._folder.from_history(asked.view.shard, asked.id, body, asked.offsets, at_ms)
        return None if since is None or since.state is None else _known(asked.id, at_ms, since, since.state, is_of_history=True)

    async def stop(self) -> None:
        """Close the connections."""
        if self._picker is not None:
            await self._picker.stop()


def _asked(found: CommittedCustomer) -> OldId | None:
    """The id that was looked up, whether it leads on by now or not; None where nothing is known under it."""
    if found.old_ids:
        return found.old_ids[0]
    return None if found.state is None else OldId(found.customer, found.view, found.state.offsets)


def _known(id_: str, at_ms: int, then: FoldedCustomer, state: bytes, *, is_of_history: bool = False) -> KnownThen:
    twin = then.twin
    return KnownThen(id_, at_ms, twin.state(state), twin.plan, twin.body, twin.reasons, is_of_history)


__all__ = ["KnownThen", "PastCustomers"]
