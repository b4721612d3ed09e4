"""What workers, learners and others have said to people lately: the newest alerts."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from streamer.learning.reports.alerts import AlertEvent, decode_alert
from streamer.settings import Settings
from streamer.transports.kafka.topic_tail import TailRecord, TopicTail
from streamer.wire import ALERTS

KEPT: Final = 100


class AlertHistory:
    """The newest alerts."""

    def __init__(self, settings: Settings) -> None:
        self._tail = TopicTail(settings, {ALERTS: 1}, KEPT)
        self._alerts = deque[AlertEvent](maxlen=KEPT)
        self._ids = deque[str](maxlen=KEPT)

    async def run(self) -> None:
        """Until cancelled."""
        await self._tail.run(self.take)

    def take(self, record: TailRecord) -> None:
        """One record of the topic; what is no alert, or was said before, is passed over."""
        try:
            alert = decode_alert(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if alert.id not in self._ids:
            self._ids.append(alert.id)
            self._alerts.append(alert)

    def since(self, at: str) -> list[AlertEvent]:
        """Those of that moment (RFC 3339) and later, the newest first."""
        return sorted((one for one in self._alerts if one.time >= at), key=lambda one: one.time, reverse=True)
