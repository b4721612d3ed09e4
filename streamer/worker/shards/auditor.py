"""Customers of this worker's shards are told anew all the time, at random and at a bounded cost, and compared with what the store has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from random import Random
from time import perf_counter, time
from typing import Final

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from streamer.errors import StoreError, UnreadableStateError, place_of
from streamer.flow.amendments import Amendments
from streamer.flow.audit import Audited, Unaudited, audit
from streamer.flow.catalog import Plans
from streamer.flow.customer_folder import CustomerFolder
from streamer.flow.mismatch import Mismatch, encode_mismatch, mismatch_of
from streamer.stores.buckets import BUCKETS
from streamer.worker.status.audit_status import AuditStatus
from streamer.worker.status.shard_state import ShardState

from .edges import Edges
from .owned_shard import OwnedShard

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.audit")

SAMPLE: Final = 20  # customers of one bucket, whose ids are read for it
IDLE_SECONDS: Final = 5.0  # where there is nobody to audit, or what is asked is away
LEAST_SECONDS: Final = 0.2


class Auditor:
    """Audits one customer a turn. Of the worker's time it takes ``audit_share``, waiting for Kafka included."""

    def __init__(self, edges: Edges, shards: Mapping[TopicPartition, OwnedShard], plans: Plans) -> None:
        self._share = edges.settings.audit_share if edges.settings.record_offsets else 0.0
        self._folder_of_reports = edges.settings.audit_folder
        self._store = edges.store
        self._metrics = edges.metrics
        self._alerts = edges.alerts
        self._shards = shards
        self._folder = CustomerFolder(edges.store, edges.settings.rules, plans, edges.keyring, edges.picker, self._amendments)
        self._rules = edges.settings.rules
        self._found: dict[int, AuditStatus] = {}
        self._random = Random()  # noqa: S311 - whom it takes is no secret
        self._todo: list[tuple[int, str]] = []

    @property
    def is_on(self) -> bool:
        """Whether anything is audited."""
        return self._share > 0

    def status(self, shard: int) -> AuditStatus | None:
        """What was found in a shard since this worker began; None where nothing is audited."""
        return self._found.get(shard, AuditStatus()) if self.is_on else None

    async def turn(self) -> float:
        """Audit one customer; return after how many seconds the next one is due."""
        began = perf_counter()
        try:
            chosen = await self._choose()
            if chosen is None:
                return IDLE_SECONDS
            await self._audit(*chosen)
        except (StoreError, KafkaError, TimeoutError, OSError) as error:
            log.debug("nobody was audited", action="audit", why=type(error).__name__)
            return IDLE_SECONDS
        except Exception as error:  # a fault of ours ends no worker for the sake of an audit; its text may quote a customer's data
            log.warning("an audit failed", action="audit", error=type(error).__name__, place=place_of(error))
            return IDLE_SECONDS
        took = perf_counter() - began
        return max(LEAST_SECONDS, took / self._share - took)

    async def _amendments(self, shard: int) -> Amendments:
        found = next((owned.shard for owned in self._shards.values() if owned.number == shard), None)
        return found.amendments if found is not None else Amendments()

    async def _choose(self) -> tuple[int, str] | None:
        owned = [one for one in self._shards.values() if one.state is ShardState.OWNED]
        if not self._todo and owned:
            shard = self._random.choice(owned).number
            names = (await self._store.customers(shard, self._random.randrange(BUCKETS), limit=1)).customers
            self._todo = [(shard, name) for name in self._random.sample(names, min(SAMPLE, len(names)))]
        return self._todo.pop() if self._todo else None

    async def _audit(self, shard: int, customer: str) -> None:
        if not any(one.number == shard and one.state is ShardState.OWNED for one in self._shards.values()):
            return
        try:
            found = await audit(self._store, self._folder, shard, customer)
            if isinstance(found, Audited) and not found.is_equal:  # once more: amendments may have come in between
                found = await audit(self._store, self._folder, shard, customer)
        except UnreadableStateError:
            return  # their shard says so when it comes to them
        before = self._found.get(shard, AuditStatus())
        if isinstance(found, Unaudited):
            self._metrics.unaudited.labels(found.value).inc()
            self._found[shard] = replace(before, unnoted=before.unnoted + (found is Unaudited.NOT_NOTED))
            return
        self._metrics.audited.inc()
        compared = replace(before, compared=before.compared + 1)
        if not found.is_equal:
            await self._differs(found)
            compared = replace(compared, differing=before.differing + 1, differed_at=found.position.offset)
        self._found[shard] = compared

    async def _differs(self, found: Audited) -> None:
        self._metrics.mismatches.inc()
        where = "set STREAMER_AUDIT_FOLDER to have what shows it written there"
        if self._folder_of_reports is not None:
            shown = mismatch_of(found, self._rules, await self._amendments(found.shard))
            try:
                where = f"`streamer shards retell FILE` shows it, of the file {write_mismatch(self._folder_of_reports, shown).name} there"
            except OSError as error:
                where = f"what shows it could not be written ({type(error).__name__})"
        text = f"what the store has of a customer is not what the log says, at offset {found.position.offset}; {where}; report it"
        self._alerts.say("mismatch", text, shard=found.shard)


def write_mismatch(folder: Path, shown: Mismatch) -> Path:
    """A new file that only its owner may read: it has a customer's events. Raises OSError."""
    path = folder / f"mismatch-{shown.shard}-{shown.offset}-{int(time() * 1_000)}.json"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(encode_mismatch(shown))
    return path


__all__ = ["Auditor", "write_mismatch"]
