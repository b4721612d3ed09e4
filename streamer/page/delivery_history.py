"""What became of deliveries by HTTP lately: the newest attempts, and the changes that were given up, without the changes themselves."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

import msgspec

from streamer.errors import RefusedError
from streamer.settings import Settings
from streamer.transports.kafka.topic_tail import TailRecord, TopicTail
from streamer.webhooks.records import DeadDelivery, DeliveryLine, decode_dead, decode_line
from streamer.wire import WEBHOOK_DEAD, WEBHOOK_LOG

from .reading import ReadingState, reading_of

KEPT: Final = 2_000  # of each


class DeliveryHistory:
    """The newest of both topics of all subscriptions. What an endpoint answered is not kept: customers' data may stand in it."""

    def __init__(self, settings: Settings) -> None:
        self._tail = TopicTail(settings, {WEBHOOK_LOG: 1, WEBHOOK_DEAD: 1}, 2 * KEPT)
        self._lines = deque[DeliveryLine](maxlen=KEPT)
        self._dead = deque[DeadDelivery](maxlen=KEPT)

    @property
    def reading(self) -> ReadingState:
        """Whether it was read."""
        return reading_of(is_ready=self._tail.is_ready, is_failing=self._tail.is_failing)

    async def run(self) -> None:
        """Until cancelled."""
        await self._tail.run(self.take)

    def take(self, record: TailRecord) -> None:
        """One record of either topic; what cannot be read is passed over."""
        try:
            if record.topic == WEBHOOK_DEAD:
                dead = decode_dead(record.value)
                self._dead.append(msgspec.structs.replace(dead, raw="", last=msgspec.structs.replace(dead.last, answer="")))
            else:
                self._lines.append(msgspec.structs.replace(decode_line(record.value), answer=""))
        except RefusedError:
            return

    def attempts(self, subscription: str = "") -> list[DeliveryLine]:
        """Those of a subscription, or all, the newest first."""
        found = [one for one in self._lines if subscription in ("", one.subscription)]
        return sorted(found, key=lambda one: one.at_ms, reverse=True)

    def dead(self, subscription: str = "") -> list[DeadDelivery]:
        """What was given up of a subscription, or of all, the newest first."""
        found = [one for one in self._dead if subscription in ("", one.last.subscription)]
        return sorted(found, key=lambda one: one.last.at_ms, reverse=True)

    def dead_counts(self) -> Counter[str]:
        """How many were given up, by subscription."""
        return Counter(one.last.subscription for one in self._dead)

    def last_failures(self) -> dict[str, DeliveryLine]:
        """By subscription the newest attempt that was not answered with 2xx."""
        failed = [one for one in self._lines if one.verdict != "delivered"]
        return {one.subscription: one for one in sorted(failed, key=lambda one: one.at_ms)}
