"""The last look before a message leaves: is it still right by everything that is in the log?

First it is asked where the log of the shard ends; then the look waits until the shard has committed all of that, and only then is the
customer's state read. So no message leaves that an event contradicts which was in the log when the question was asked. How long ago that
was when the message leaves is the lag of this promise: it is measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final, Protocol

import structlog
from structlog.typing import FilteringBoundLogger

from streamer.customers.state import State, decode_state
from streamer.customers.tombstone import is_tombstone
from streamer.errors import HaltError, StoreError
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import CheckpointBody, decode_body
from streamer.segments.plan.plan import Plan
from streamer.stores.base import Committed, Store

from .decision import SendDecision

WAIT_SECONDS: Final = 3.0  # for a shard that has not committed all of its log; then the messages wait, and others are looked at
POLL_SECONDS: Final = 0.005  # until it is asked again whether it has; each time one and a half times as long
POLL_SECONDS_MAX: Final = 0.05

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.sender")


class LastLook(Protocol):
    """Whoever looks last."""

    async def look(self, shard: int, decisions: Sequence[SendDecision]) -> list[str | None]:
        """For each decision: empty, it may leave; a reason, it must not; None, nobody can tell at the moment."""
        ...


class LogTail(Protocol):
    """Where the log of a shard ends: ``log_tail.KafkaLogTail``."""

    async def end(self, shard: int) -> int:
        """The offset behind the last record that is acknowledged. KafkaError or TimeoutError where that cannot be known."""
        ...

    async def behind_last(self, shard: int, begin: int, end: int) -> int:
        """The offset behind the last record from ``begin`` on before ``end``; ``begin`` where there are none but marks of transactions.

        TimeoutError where that cannot be known.
        """
        ...


Judge = Callable[[Plan, CheckpointBody, State, SendDecision], str | None]
"""Of definitions, what a shard has besides, a customer's state and a decision: why it must not leave; empty: it may; None: not now."""


class OpenGate:
    """Lets everything through: for a test send, which is nobody's decision."""

    async def look(self, shard: int, decisions: Sequence[SendDecision]) -> list[str | None]:
        """See ``LastLook``."""
        del shard
        return [""] * len(decisions)


class StoreGate:
    """Looks at the committed state."""

    def __init__(self, store: Store, plans: Plans, tail: LogTail, judge: Judge) -> None:
        self.problem = ""  # why nobody can look at the moment
        self._store = store
        self._plans = plans
        self._tail = tail
        self._judge = judge

    async def look(self, shard: int, decisions: Sequence[SendDecision]) -> list[str | None]:
        """See ``LastLook``."""
        try:
            committed = await self._committed(shard, [decision.customer for decision in decisions])
            if committed is None:
                self._say(f"shard {shard} has not committed all of its log")
                return [None] * len(decisions)
            body = decode_body(committed.checkpoint.body)
            plan = await self._plans.get(body.digest, shard)
            verdicts = [self._verdict(plan, body, *one) for one in zip(committed.states, decisions, strict=True)]
        except (StoreError, HaltError, OSError, TimeoutError) as error:
            self._say(type(error).__name__)
            return [None] * len(decisions)
        self.problem = ""
        return verdicts

    async def _committed(self, shard: int, customers: Sequence[str]) -> Committed | None:
        """The customers as of a checkpoint that has everything that is in the log now; None where there is none in time."""
        end = await self._tail.end(shard)
        deadline, pause, behind = monotonic() + WAIT_SECONDS, POLL_SECONDS, end
        while True:
            committed = await self._store.committed(shard, customers)
            position = committed.checkpoint.position
            if behind == end > position.offset:
                behind = await self._tail.behind_last(shard, position.offset, end)
            if position.step == 0 and position.offset >= behind:
                return committed
            if monotonic() >= deadline:
                return None
            await asyncio.sleep(pause)
            pause = min(POLL_SECONDS_MAX, pause * 1.5)

    def _verdict(self, plan: Plan, body: CheckpointBody, state: bytes | None, decision: SendDecision) -> str | None:
        if state is None:
            return "erased"
        if is_tombstone(state):
            return "merged"
        found = decode_state(state)
        if found.generation != body.generation:
            return None  # their turn to come under the definitions in force has not come: by those it is to be judged
        return self._judge(plan, body, found, decision)

    def _say(self, why: str) -> None:
        if self.problem != why:
            log.warning("nobody can look whether messages are still right; they wait", action="send", why=why)
        self.problem = why


__all__ = ["Judge", "LastLook", "LogTail", "OpenGate", "StoreGate"]
