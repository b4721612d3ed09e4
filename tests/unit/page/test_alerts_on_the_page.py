"""What was said to people stands on the first page, for a day, each once."""

from __future__ import annotations

from streamer.learning.reports.alerts import encode_alert
from streamer.transports.kafka.topic_tail import TailRecord
from streamer.units import DAY_MS
from streamer.wire import ALERTS
from streamer.worker.status.alerts import worker_alert
from tests.unit.flow.persons import segments

from .desk import PageDesk, looking


def say(desk: PageDesk, text: str, at_ms: int) -> None:
    """As a worker does."""
    raw = encode_alert(worker_alert("refused", text, "/streamer", at_ms, 1))
    desk.page.sources.alerts.take(TailRecord(ALERTS, 0, 0, raw))


async def test_alerts_of_the_last_day_are_shown_the_newest_first_and_each_once() -> None:
    """What is older is no news, and a record may be read twice."""
    async with looking(segments(seen='did("A")')) as desk:
        await desk.settle()
        now_ms = desk.shop.now_ms
        for text, at_ms in (
            ("the first <b>", now_ms - 5_000),
            ("an old one", now_ms - DAY_MS - 1),
            ("the second", now_ms),
            ("the second", now_ms),
        ):
            say(desk, text, at_ms)
        for value in (b"", b"{", b"\xff"):
            desk.page.sources.alerts.take(TailRecord(ALERTS, 0, 0, value))
        found = await desk.look("/")
        assert found.text.count("the second") == 1
        assert found.text.index("the second") < found.text.index("the first <b>")
        assert "an old one" not in found.text
        assert "<b>" not in found.html.split("the first", 1)[1][:10]
