"""What was known of a customer at a moment of the past: told anew from their own records in the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streamer.customers.state import State
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.committed import CommittedCustomer
from streamer.flow.customer_folder import CustomerFolder
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
    """A customer as of ``at_ms`` (UTC), and under which definitions; ``body`` is that of a shard that was told of them alone."""

    customer: str
    at_ms: int
    state: State
    plan: Plan
    body: CheckpointBody
    reasons: Reasons

    def explain(self, segments: Sequence[str] | None = None) -> list[Explanation]:
        """Why they were in each segment or not; only ``segments``, if any are named."""
        warming = warming_predicates(self.plan, self.body.since_ms, self.at_ms)
        return explain(self.plan, self.state, self.at_ms, warming, self.reasons, only=None if segments is None else frozenset(segments))


class PastCustomers:
    """Folds committed customers as of a moment."""

    def __init__(self, folder: CustomerFolder, picker: RecordPicker | None = None) -> None:
        self._folder = folder
        self._picker = picker  # to be stopped

    @classmethod
    def over(cls, settings: Settings, store: Store, plans: Plans) -> PastCustomers:
        """Those of a deployment. Connections to Kafka are opened when they are asked for first."""
        picker = RecordPicker(settings)
        folder = CustomerFolder(store, settings.rules, plans, settings.keyring, picker, lambda shard: amendments_of(settings, shard))
        return cls(folder, picker)

    async def at(self, found: CommittedCustomer, at_ms: int) -> KnownThen | None:
        """The customer at a moment; None where nothing was known of them. Raises FoldError where it cannot be told, UnansweredError where
        Kafka does not do its part, and what reading the store may."""
        view, state = found.view, found.state
        if view.body is None or state is None:
            return None
        if at_ms > view.log_time_ms:
            raise FoldError(f"the log of shard {view.shard} has come to {time_text(view.log_time_ms)}; expected no later moment")
        with answering("try again"):
            then = await self._folder.fold(view.shard, found.customer, view.position, view.body, state.offsets, at_ms)
        if then.state is None:
            return None
        twin = then.twin
        return KnownThen(found.customer, at_ms, twin.state(then.state), twin.plan, twin.body, twin.reasons)

    async def stop(self) -> None:
        """Close the connections."""
        if self._picker is not None:
            await self._picker.stop()


__all__ = ["KnownThen", "PastCustomers"]
