"""A stretch of the changes sent once more, from this process and beside those that deliver: of one customer, or up to an end.

It moves no position. Within it the changes of a customer go out in their order and under the ids that they had; what its subscription
delivers meanwhile is newer, and may come between. Who fails is tried a few times and not for days: somebody waits for the outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

from aiokafka import TopicPartition

from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.telemetry.webhook_metrics import WebhookMetrics
from streamer.transports.kafka.clients import reader
from streamer.transports.kafka.membership import first_offset
from streamer.transports.kafka.partition import read_partition
from streamer.wire import CHANGES, shard_of

from .feed import read_change
from .lanes import PendingChange
from .records import DeliveryLine
from .sending import WebhookAttempt, WebhookRequest, WebhookSender
from .signatures import Signatory
from .subscription import ChangeHead, Subscription, is_wanted

BATCH_RECORDS: Final = 500
PAUSES_SECONDS: Final = (1.0, 5.0)  # before the second attempt and the third, the last
LATER_SECONDS_MAX: Final = 60.0  # that an endpoint is waited for which says "later"


class ResendBound(NamedTuple):
    """One end of a stretch: a moment by Kafka's clock (UTC milliseconds), or an offset in one shard."""

    at_ms: int = 0
    place: tuple[int, int] | None = None


class ResendStretch(NamedTuple):
    """By shard, from which offset to below which; of all customers, or of this one."""

    offsets: Mapping[int, tuple[int, int]]
    customer: str | None = None


class ResendCount(NamedTuple):
    """How many changes were answered with 2xx, how many were refused, and how many were not sent as an earlier one of their customer was
    refused, or the endpoint is gone."""

    delivered: int
    refused: int
    held: int


async def stretch_of(settings: Settings, begin: ResendBound, end: ResendBound | None, customer: str | None) -> ResendStretch:
    """What lies between two bounds; without an end all that is there now. SettingsError where they do not fit. Raises KafkaError."""
    shards = [*range(settings.shards)] if customer is None else [shard_of(customer, settings.shards)]
    for name, bound in (("--from", begin), ("--to", end)):
        if bound is not None and bound.place is not None:
            if bound.place[0] not in shards:
                expected = f"one of the {settings.shards}" if customer is None else f"{shards[0]}, where changes of this customer lie"
                raise SettingsError(f"{name}: shard {bound.place[0]}: expected {expected}")
            shards = [bound.place[0]]
    consumer = reader(settings, enable_auto_commit=False)
    try:
        await consumer.start()
        places = [TopicPartition(settings.topic(CHANGES), shard) for shard in shards]
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        found: dict[int, tuple[int, int]] = {}
        for at in places:
            first = begin.place[1] if begin.place is not None else await first_offset(consumer, at, begin.at_ms)
            last = ends[at]
            if end is not None:
                last = min(last, end.place[1] if end.place is not None else await first_offset(consumer, at, end.at_ms))
            found[at.partition] = max(first, begins[at]), last
    finally:
        await consumer.stop()
    return ResendStretch(found, customer)


class ResendTools(NamedTuple):
    """What sending needs of a process. ``noted`` takes a line for each attempt; ``pause`` waits so many seconds."""

    sender: WebhookSender
    signatory: Signatory
    noted: Callable[[DeliveryLine], None]
    now_ms: Callable[[], int]
    metrics: WebhookMetrics
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


class Resender:
    """Sends what a subscription wants of a stretch: so many requests at a time as it allows, of one customer one after the other."""

    def __init__(self, settings: Settings, subscription: Subscription, tools: ResendTools) -> None:
        self._settings = settings
        self._subscription = subscription
        self._tools = tools
        self._room = asyncio.Semaphore(subscription.in_flight)
        self._highest: dict[int, tuple[int, int, int]] = {}  # by shard: what lies there twice goes out once
        self._refused = set[str]()  # customers
        self._is_gone = False
        self._delivered = self._refusals = self._held = 0

    async def resend(self, stretch: ResendStretch) -> ResendCount:
        """Send all of it. Raises KafkaError, TimeoutError."""
        for shard, (first, last) in stretch.offsets.items():
            if first < last:
                await self._resend_shard(shard, first, last, stretch.customer)
        return ResendCount(self._delivered, self._refusals, self._held)

    async def _resend_shard(self, shard: int, first: int, last: int, customer: str | None) -> None:
        async with aclosing(read_partition(self._settings, CHANGES, shard, begin=first, max_records=BATCH_RECORDS)) as batches:
            async for records in batches:
                by_customer: dict[str, list[PendingChange]] = {}
                for record in records:
                    found = read_change(record, self._tools.metrics) if record.offset < last else None
                    if found is not None and self._is_due(*found, customer):
                        by_customer.setdefault(found[0].subject, []).append(found[1])
                await asyncio.gather(*(self._send_in_order(one, changes) for one, changes in by_customer.items()))
                if records[-1].offset >= last - 1:
                    return

    def _is_due(self, head: ChangeHead, change: PendingChange, customer: str | None) -> bool:
        if change.place <= self._highest.get(change.shard, (0, -1, -1)):
            return False
        self._highest[change.shard] = change.place
        return customer in (None, head.subject) and is_wanted(self._subscription.wants, head)

    async def _send_in_order(self, customer: str, changes: Sequence[PendingChange]) -> None:
        for change in changes:
            if self._is_gone or customer in self._refused:
                self._held += 1
            elif await self._send(change):
                self._delivered += 1
            else:
                self._refused.add(customer)
                self._refusals += 1

    async def _send(self, change: PendingChange) -> bool:
        """Whether a change was answered with 2xx, at one of a few attempts."""
        request = WebhookRequest(self._subscription.url, self._subscription.webhook_id(change.change_id), change.body)
        for number, pause in enumerate((*PAUSES_SECONDS, None), 1):
            async with self._room:
                attempt = await self._tools.sender.post(request, self._tools.signatory)
            self._tools.noted(self._line(request.webhook_id, number, attempt))
            self._is_gone = self._is_gone or attempt.verdict == "gone"
            if attempt.verdict == "delivered":
                return True
            if pause is None or self._is_gone:
                break
            await self._tools.pause(pause if attempt.later_ms is None else min(attempt.later_ms / 1_000, LATER_SECONDS_MAX))
        return False

    def _line(self, webhook_id: str, number: int, attempt: WebhookAttempt) -> DeliveryLine:
        return DeliveryLine(
            subscription=self._subscription.name,
            webhook_id=webhook_id,
            at_ms=self._tools.now_ms(),
            attempt=number,
            verdict=attempt.verdict,
            status=attempt.status,
            problem=attempt.problem,
            milliseconds=attempt.milliseconds,
            answer=attempt.excerpt.decode(errors="replace"),
        )
