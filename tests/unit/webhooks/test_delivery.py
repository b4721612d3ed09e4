"""One change on its way: tried again as the schedule says, given up at its end, held where the endpoint says so."""

from __future__ import annotations

import asyncio

import pytest

from streamer.telemetry.webhook_metrics import WebhookMetrics
from streamer.webhooks import delivery, schedule
from streamer.webhooks.circuit import FAILURES_MAX, PROBE_FIRST_MS
from streamer.webhooks.delivery import DeliveryClock, Endpoint, Notebook
from streamer.webhooks.lanes import DeliveryLane, PendingChange
from streamer.webhooks.records import DeliveryLine
from streamer.webhooks.schedule import ATTEMPTS_MAX, AttemptVerdict
from streamer.webhooks.sending import WebhookAttempt, WebhookRequest, WebhookSender
from streamer.webhooks.signatures import Signatory, new_secret
from streamer.webhooks.subscription import Start, Subscription


class ScriptedSender(WebhookSender):
    """Answers as it is told, and at last with 204."""

    def __init__(self, *answers: WebhookAttempt) -> None:
        self.answers = [*answers]
        self.requests: list[WebhookRequest] = []

    async def post(self, request: WebhookRequest, signatory: Signatory) -> WebhookAttempt:
        self.requests.append(request)
        return self.answers.pop(0) if self.answers else answer("delivered", 204)


def answer(verdict: AttemptVerdict, status: int | None, later_ms: int | None = None) -> WebhookAttempt:
    return WebhookAttempt(verdict, status, "" if status else "timeout", 3, later_ms)


class Desk:
    """An endpoint whose time passes only when it waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: WebhookAttempt) -> None:
        self.now_ms = 1_000_000
        self.waits_ms: list[int] = []
        self.lines: list[DeliveryLine] = []
        self.dead: list[DeliveryLine] = []
        self.disabled: list[str] = []
        self.is_disabled = asyncio.Event()
        self.sender = ScriptedSender(*answers)
        self.lane = DeliveryLane(3)
        subscription = Subscription(name="s", id="0a1b2c3d", url="https://s.example/", secrets=("env:S",), start=Start())
        notebook = Notebook(self.lines.append, self._bury, self._disable, WebhookMetrics())
        clock = DeliveryClock(lambda: self.now_ms, lambda: 0.0)
        self.endpoint = Endpoint(subscription, self.sender, Signatory([new_secret()]), clock, notebook)
        monkeypatch.setattr(delivery, "wait_until", self._wait)

    async def deliver(self, offset: int = 7) -> None:
        change = PendingChange(0, offset, (1, offset, 0), f"1-0-{offset}-0", self.now_ms, b"{}")
        self.lane.queue.append(change)
        await self.endpoint.deliver(self.lane, change)
        self.lane.done()

    def _disable(self, why: str) -> None:
        self.disabled.append(why)
        self.is_disabled.set()

    async def _bury(self, _change: PendingChange, line: DeliveryLine) -> None:
        self.dead.append(line)

    async def _wait(self, changed: asyncio.Event | None, milliseconds: int | None) -> None:
        """Stands for waiting: time jumps."""
        assert milliseconds is not None, "nobody else is at work here"
        self.waits_ms.append(milliseconds)
        self.now_ms += milliseconds
        await asyncio.sleep(0)


async def test_a_change_is_tried_by_the_schedule_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten attempts under one id, and its customer's next change goes out."""
    desk = Desk(monkeypatch, *[answer("failed", 500)] * ATTEMPTS_MAX)
    await desk.deliver()
    assert tuple(desk.waits_ms) == schedule.WAITS_MS
    assert [line.attempt for line in desk.lines] == list(range(1, ATTEMPTS_MAX + 1))
    assert len({request.webhook_id for request in desk.sender.requests}) == 1
    assert [(line.status, line.attempt) for line in desk.dead] == [(500, ATTEMPTS_MAX)]
    await desk.deliver(8)
    assert desk.lines[-1].verdict == "delivered"
    assert desk.lane.attempts == 0


async def test_an_answer_of_later_uses_up_no_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often: the endpoint lives, and says when."""
    desk = Desk(monkeypatch, *[answer("throttled", 429, 2_000)] * 30, answer("throttled", 429))
    await desk.deliver()
    assert desk.waits_ms == [2_000] * 30 + [schedule.THROTTLE_MS]
    assert desk.dead == []
    assert desk.lines[-1].attempt == 1


async def test_an_endpoint_that_says_later_for_ever_is_given_up_after_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its lanes would stand until somebody looks."""
    hour = answer("throttled", 429, schedule.THROTTLE_MAX_MS)
    desk = Desk(monkeypatch, *[hour] * 1_000)
    await desk.deliver()
    assert len(desk.dead) == 1
    assert sum(desk.waits_ms) == schedule.GIVE_UP_MS


async def test_retry_after_of_a_failure_is_waited_for_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with Retry-After: the longer wait of both counts."""
    desk = Desk(monkeypatch, answer("failed", 503, 60_000))
    await desk.deliver()
    assert sum(desk.waits_ms) == 60_000


async def test_probes_use_up_no_attempt_of_a_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """While an endpoint is away for days nothing is given up: it would be everything."""
    desk = Desk(monkeypatch, *[answer("failed", None)] * 20)
    for _ in range(FAILURES_MAX):
        desk.endpoint.circuit.failed(desk.now_ms, is_probe=False)
    assert desk.endpoint.circuit.is_open
    await desk.deliver()
    assert desk.dead == []
    assert {line.attempt for line in desk.lines[:-1]} == {0}
    assert desk.waits_ms[0] == PROBE_FIRST_MS
    assert not desk.endpoint.circuit.is_open


async def test_five_days_of_failures_disable_the_subscription(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has to look; and it is said why."""
    desk = Desk(monkeypatch, *[answer("failed", None)] * 1_000)
    for _ in range(FAILURES_MAX):
        desk.endpoint.circuit.failed(desk.now_ms, is_probe=False)
    task = asyncio.create_task(desk.deliver())
    await asyncio.wait_for(desk.is_disabled.wait(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert desk.disabled[0] == "nothing but failures for five days"


async def test_410_disables_at_once_and_delivers_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver's word is final, and its change stays where it is until somebody resumes."""
    desk = Desk(monkeypatch, answer("gone", 410))
    task = asyncio.create_task(desk.deliver())
    await asyncio.wait_for(desk.is_disabled.wait(), 10)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    assert len(desk.sender.requests) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert desk.lane.queue[0].offset == 7
