"""One change on its way to one endpoint, tried until it is delivered, given up, or the endpoint is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple, assert_never

from streamer.telemetry.webhook_metrics import WebhookMetrics

from .circuit import Circuit
from .lanes import DeliveryLane, PendingChange
from .records import DeliveryLine
from .schedule import GIVE_UP_MS, THROTTLE_MS, wait_ms
from .sending import WebhookAttempt, WebhookRequest, WebhookSender
from .signatures import Signatory
from .subscription import Subscription


class DeliveryClock(NamedTuple):
    """What delivering knows of time and chance: UTC milliseconds, and a number from 0 to 1 for each wait."""

    now_ms: Callable[[], int]
    jitter: Callable[[], float]


class Notebook(NamedTuple):
    """Where results go. ``attempted`` waits for nothing; ``buried`` returns when the dead change is safe in its topic."""

    attempted: Callable[[DeliveryLine], None]
    buried: Callable[[PendingChange, DeliveryLine], Awaitable[None]]
    disable: Callable[[str], None]
    metrics: WebhookMetrics


async def wait_until(changed: asyncio.Event | None, milliseconds: int | None) -> None:
    """Return after so long, or when ``changed`` is set; None: as long as that takes."""
    if changed is None:
        assert milliseconds is not None, "a wait has an end"
        await asyncio.sleep(milliseconds / 1_000)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(None if milliseconds is None else milliseconds / 1_000):
            await changed.wait()


class Endpoint:
    """One endpoint, for all lanes of a subscription in this process: so many requests at a time, and none while its circuit says wait."""

    def __init__(
        self, subscription: Subscription, sender: WebhookSender, signatory: Signatory, clock: DeliveryClock, notebook: Notebook
    ) -> None:
        self.circuit = Circuit()
        self.signatory = signatory
        self._subscription = subscription
        self._sender = sender
        self._clock = clock
        self._notebook = notebook
        self._room = asyncio.Semaphore(subscription.in_flight)
        self._changed = asyncio.Event()  # replaced each time that the circuit may say something else

    @property
    def failing_seconds(self) -> float:
        """How long nothing but failures came; 0 while it works."""
        since_ms = self.circuit.failing_since_ms
        return max(0, self._clock.now_ms() - since_ms) / 1_000 if since_ms else 0.0

    async def deliver(self, lane: DeliveryLane, change: PendingChange) -> None:
        """Return when the change, the first of its lane, is delivered or given up. Where the endpoint is gone this never returns."""
        while True:
            attempt = await self._attempt(lane, change)
            match attempt.verdict:
                case "delivered":
                    return
                case "gone":
                    self._notebook.disable("the endpoint answered 410 Gone")
                    await asyncio.Event().wait()  # until whoever was told ends this
                case "throttled" | "failed":
                    again_ms = self._again_ms(lane, attempt)
                    if again_ms is None:
                        await self._notebook.buried(change, self._line(lane, change, attempt))
                        return
                    if again_ms:
                        await self._blocked(lane, again_ms)
                case _:
                    assert_never(attempt.verdict)

    async def _attempt(self, lane: DeliveryLane, change: PendingChange) -> WebhookAttempt:
        async with self._room:
            is_probe = await self._admitted()
            try:
                request = WebhookRequest(self._subscription.url, self._subscription.webhook_id(change.change_id), change.body)
                attempt = await self._sender.post(request, self.signatory)
            except BaseException:
                self.circuit.abandoned(is_probe=is_probe)
                self._tell()
                raise
        self._judge(lane, attempt, is_probe=is_probe)
        self._notebook.attempted(self._line(lane, change, attempt))
        self._count(change, attempt)
        return attempt

    async def _admitted(self) -> bool:
        """Wait until an attempt may be made; whether it is a probe."""
        while (wait := self.circuit.wait_ms(self._clock.now_ms())) != 0:
            await wait_until(self._changed, wait)
        return self.circuit.begin()

    def _judge(self, lane: DeliveryLane, attempt: WebhookAttempt, *, is_probe: bool) -> None:
        """What an attempt says of the endpoint, and of its change: a probe, or an answer of "later", uses up none of the schedule."""
        now_ms, circuit = self._clock.now_ms(), self.circuit
        match attempt.verdict:
            case "delivered":
                circuit.succeeded()
            case "throttled":
                circuit.hold(now_ms + (THROTTLE_MS if attempt.later_ms is None else attempt.later_ms))
            case "failed" | "gone":
                circuit.failed(now_ms, is_probe=is_probe, is_first=lane.attempts == 0)
                if attempt.later_ms is not None:
                    circuit.hold(now_ms + attempt.later_ms)
                lane.attempts += not is_probe
            case _:
                assert_never(attempt.verdict)
        if attempt.verdict != "delivered":
            lane.failing_since_ms = lane.failing_since_ms or now_ms
        if circuit.is_hopeless(now_ms):
            self._notebook.disable("nothing but failures for five days")
        self._tell()

    def _again_ms(self, lane: DeliveryLane, attempt: WebhookAttempt) -> int | None:
        """How long this change waits; None when it is given up. While nothing at all is delivered, none is: the endpoint is away."""
        if lane.attempts == 0 or attempt.verdict == "throttled" or self.circuit.is_open:
            is_late = self._clock.now_ms() - lane.failing_since_ms >= GIVE_UP_MS and not self.circuit.is_open
            return None if is_late else 0
        return wait_ms(lane.attempts, self._clock.jitter())

    async def _blocked(self, lane: DeliveryLane, again_ms: int) -> None:
        lane.is_blocked = True
        try:
            await wait_until(None, again_ms)
        finally:
            lane.is_blocked = False

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _line(self, lane: DeliveryLane, change: PendingChange, attempt: WebhookAttempt) -> DeliveryLine:
        return DeliveryLine(
            subscription=self._subscription.name,
            webhook_id=self._subscription.webhook_id(change.change_id),
            at_ms=self._clock.now_ms(),
            attempt=lane.attempts + (attempt.verdict == "delivered"),
            verdict=attempt.verdict,
            status=attempt.status,
            problem=attempt.problem,
            milliseconds=attempt.milliseconds,
            answer=attempt.excerpt.decode(errors="replace"),
        )

    def _count(self, change: PendingChange, attempt: WebhookAttempt) -> None:
        name, metrics = self._subscription.name, self._notebook.metrics
        metrics.attempts.labels(name, attempt.problem or attempt.verdict).inc()
        metrics.attempt_seconds.labels(name).observe(attempt.milliseconds / 1_000)
        if attempt.verdict == "delivered":
            metrics.delay_seconds.labels(name).observe(max(0, self._clock.now_ms() - change.written_ms) / 1_000)
        metrics.circuit_open.labels(name).set(self.circuit.is_open)
