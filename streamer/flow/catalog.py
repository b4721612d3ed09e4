"""The plans of a worker's shards, read from the log or the store and made ready once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from streamer.customers.offsets import RecordOffsets, unpacked
from streamer.errors import DefinitionError, HaltError, RefusedError, place_of
from streamer.language.definitions import Definitions, content_digest, parse_definitions
from streamer.segments.plan.plan import Plan
from streamer.stores.base import Store
from streamer.stores.documents import CONTROLS_DOCUMENT, definitions_document
from streamer.wire import Control, unpack
from streamer.zones import MissingZonesError

from .checkpoint import CheckpointBody
from .rules import Rules
from .scorers import Scorers

PLANS_MAX: Final = 8  # kept ready for all shards of a worker


async def at_once(work: Callable[[], Plan]) -> Plan:
    """Compile where it is asked for."""
    return work()


def read_definitions(content: bytes) -> Definitions:
    """Definitions as the log has them. HaltError where this machine lacks the zone data by which they are to be read: whoever tells the
    log by others tells another story."""
    try:
        return parse_definitions(content)
    except MissingZonesError as error:
        raise HaltError(f"the log {error}") from None


class Plans:
    """Plans by the digest of their definitions, compiled once for all shards of a worker. ``scorers`` are those of their models.

    ``compile_by`` runs a compilation, which takes 15 s for 20,000 segments: ``asyncio.to_thread`` where heartbeats share the loop.
    """

    def __init__(self, store: Store, rules: Rules, *, compile_by: Callable[[Callable[[], Plan]], Awaitable[Plan]] = at_once) -> None:
        self.scorers = Scorers(store)
        self._store = store
        self._rules = rules
        self._compile_by = compile_by
        self._compiling = asyncio.Lock()  # two shards that come to the same record compile it once
        self._plans: dict[str, Plan] = {"": compile_plan(Definitions(()), rules)}

    def over(self, store: Store) -> Plans:
        """The same, of shards of another store; what is compiled is compiled for both."""
        others = Plans(store, self._rules, compile_by=self._compile_by)
        others.scorers, others._compiling, others._plans = self.scorers.over(store), self._compiling, self._plans
        return others

    async def get(self, digest: str, shard: int) -> Plan:
        """The plan of definitions that a shard is under; HaltError when the store does not have them."""
        if digest not in self._plans:
            return await self._compiled(digest, await self._content(digest, shard))
        return self._plans[digest]

    async def definitions(self, digest: str, shard: int) -> Definitions:
        """The definitions that a shard is under, for which nothing is compiled; HaltError when the store does not have them."""
        plan = self._plans.get(digest)
        return plan.definitions if plan is not None else read_definitions(await self._content(digest, shard))

    async def _content(self, digest: str, shard: int) -> bytes:
        content = await self._store.get_document(definitions_document(digest), shard=shard)
        if content is None:
            raise HaltError(f"definitions {digest} are not in the store of shard {shard}; run `streamer shards rebuild {shard}`")
        return content

    async def read(self, control: Control) -> tuple[Plan, bytes]:
        """What a ``definitions`` record carries, compiled and as it is. Raises RefusedError when it is damaged or wrong."""
        content = unpack(control)
        if content_digest(content) != control.digest:
            raise RefusedError("bad_control", path="$.digest", detail="the digest does not fit the content")
        try:
            return await self._compiled(control.digest, content), content
        except DefinitionError as error:
            raise RefusedError("bad_control", path="$.packed", detail=str(error)[:500]) from None
        except (MemoryError, RecursionError, HaltError):  # these depend on the machine, and not on the record alone
            raise
        except Exception as error:  # a fault of ours, but the same at every try: the definitions that hold go on
            raise RefusedError(
                "bad_control", path="$.packed", detail=f"it cannot be compiled: {type(error).__name__} in {place_of(error)}"
            ) from None

    async def _compiled(self, digest: str, content: bytes) -> Plan:
        async with self._compiling:
            plan = self._plans.get(digest)
            if plan is None:
                plan = await self._compile_by(lambda: compile_plan(read_definitions(content), self._rules))
                self._keep(digest, plan)
            return plan

    def _keep(self, digest: str, plan: Plan) -> None:
        """The newest few: shards differ only while some are told anew."""
        self._plans[digest] = plan
        for old in [name for name in self._plans if name][:-PLANS_MAX]:
            del self._plans[old]

    async def control_offsets(self, body: CheckpointBody, shard: int) -> RecordOffsets:
        """Where the records of a shard lie that concern all its customers, as far as that is kept whole."""
        kept = await self._store.get_document(CONTROLS_DOCUMENT, shard=shard) if body.has_controls else None
        return unpacked(kept) if kept else RecordOffsets()


def compile_plan(definitions: Definitions, rules: Rules) -> Plan:
    """What a shard works by; an error here is one of ours, since definitions are checked when they are parsed."""
    return Plan(definitions, lateness_ms=rules.lateness_ms)
