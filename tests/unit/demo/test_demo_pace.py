"""The demo on a machine that is too slow for it: it sends less, says so, and fails only where something is really broken."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from demo_changes import FACTS, OPENED_MS, change, event
from rich.console import Console

from streamer.demo import plain, session
from streamer.demo.options import Options
from streamer.demo.pace import RATE_MIN, START_MS, Pace
from streamer.demo.screen import draw
from streamer.demo.seen import Numbers, Seen
from streamer.demo.shop import Shop
from streamer.demo.summary import problems, summary

if TYPE_CHECKING:
    from streamer.demo.servers import Servers

ASKED = 200.0


def _let_run(pace: Pace, seconds: int, reads: Callable[[int], float], *, start_s: int = 0, behind: float = 0.0) -> float:
    """How many events are unread after a worker has read ``reads(second)`` events in each second."""
    for half in range(2 * start_s, 2 * (start_s + seconds)):
        behind = max(0.0, behind + (pace.rate - reads(half // 2)) / 2)
        pace.note(round(behind), OPENED_MS + 500 * half)
    return behind


def test_a_worker_that_keeps_up_changes_nothing() -> None:
    """Half a second's events are always on their way."""
    pace = Pace(ASKED, OPENED_MS)
    assert _let_run(pace, 60, lambda _: ASKED, behind=ASKED / 2) == ASKED / 2
    assert (pace.rate, pace.is_slowed) == (ASKED, False)


def test_a_slow_start_is_no_slow_machine() -> None:
    """It compiles the library and fills its caches while the first events come."""
    pace = Pace(ASKED, OPENED_MS)
    _let_run(pace, 60, lambda second: 0 if second < START_MS // 1_000 - 1 else 5 * ASKED)
    assert not pace.is_slowed


@pytest.mark.parametrize("speed", [150, 80, 30, 12])
def test_a_slow_machine_is_sent_what_it_can_read(speed: int) -> None:
    """Two hundred a second for two minutes were twenty thousand unread, and changes of a minute ago."""
    pace = Pace(ASKED, OPENED_MS)
    behind = _let_run(pace, 120, lambda _: speed)
    assert pace.is_slowed
    assert pace.rate <= 2 * speed
    assert behind <= 4 * ASKED
    assert _let_run(pace, 120, lambda _: 5 * ASKED, start_s=120, behind=behind) == 0
    assert pace.rate == ASKED, "it is let go when the machine is free again"


def test_something_is_always_sent() -> None:
    """A shop without a single customer shows nothing at all."""
    pace = Pace(ASKED, OPENED_MS)
    _let_run(pace, 120, lambda _: 0)
    assert pace.rate == RATE_MIN
    assert Pace(2, OPENED_MS).rate == 2


def test_the_shop_follows_the_rate() -> None:
    """From each customer's next step on."""
    shop = Shop(seed=7, customers=600, rate=ASKED, opened_ms=OPENED_MS)
    shop.advance(10_000)
    shop.set_rate(20)
    shop.advance(20_000)
    assert 5 <= len(shop.advance(40_000)) / 20 <= 30


def test_it_is_said_while_it_runs_and_still_fits() -> None:
    """On the screen, in the lines, and at the end."""
    seen = Seen(OPENED_MS, rate=ASKED)
    _let_run(seen.pace, 10, lambda _: 20)
    seen.note_sent([event("mila", "Product Viewed", at=12_000)], OPENED_MS + 12_000)
    with (console := Console(width=80, height=24, color_system=None)).capture() as drawn:
        console.print(draw(seen, FACTS, width=80, height=24))
    for text in (drawn.get(), plain.status_line(seen)):
        assert f"slow machine: {seen.pace.rate:,.0f} events/s instead of 200" in text
    assert len(drawn.get().splitlines()) == 24
    assert any("this machine did not keep up with 200 events/s" in line for line in summary(seen, FACTS))


class SlowServers:
    """A worker that reads so many events each time it is asked, and then no more."""

    def __init__(self, reads: list[int]) -> None:
        self.settings, self.page, self.web = SimpleNamespace(shards=6), "http://127.0.0.1:2/", "http://127.0.0.1:1"
        self._reads, self._read = reads, 0
        self.died = False

    def numbers(self) -> Numbers | None:
        self._read += self._reads.pop(0) if self._reads else 0
        return Numbers(accepted=self._read)

    def trouble(self) -> str | None:
        return "the worker ended by itself with status -9" if self.died else None


async def _drained(servers: SlowServers, sent: int, *, still_s: float, longest_s: float) -> Seen:
    seen = Seen(OPENED_MS)
    seen.note_sent([event(f"c-{number}", "Product Viewed", at=number) for number in range(sent)], OPENED_MS + 16_000)
    seen.note_change(change("mila", at=100, event="m"), OPENED_MS + 120)
    one = session.Session(Options(), Console(), cast("Servers", cast("Any", servers)))
    await one._drain(seen, still_s, longest_s)
    return seen


async def test_a_worker_that_reads_slowly_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "The demo failed: 4123 events were sent, the worker counts 2480": it was reading all the time."""
    monkeypatch.setattr(session, "POLL_S", 0.01)
    seen = await _drained(SlowServers([0, 1, 1, 1, 1, 1]), 5, still_s=5, longest_s=60)
    assert (seen.unread, seen.is_cut_short) == (0, False)


async def test_a_worker_that_is_still_reading_at_the_end_is_slow_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said how much was left, and that there was no time to show the point of it all."""
    monkeypatch.setattr(session, "POLL_S", 0.01)
    seen = await _drained(SlowServers([1] * 100_000), 100_000, still_s=5, longest_s=0.1)
    assert seen.is_cut_short
    assert seen.unread > 0
    assert problems(seen) == []
    text = "\n".join(summary(seen, FACTS))
    assert "events were still unread at the end" in text
    assert "let it run longer: --seconds 60" in text


async def test_a_worker_that_reads_no_more_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slowness must not hide that events are lost, or that it hangs."""
    monkeypatch.setattr(session, "POLL_S", 0.01)
    seen = await _drained(SlowServers([3]), 5, still_s=0.1, longest_s=60)
    assert not seen.is_cut_short
    assert any(
        "5 events were sent, the worker counts 3 accepted and 0 duplicates, and it does not read on" in why for why in problems(seen)
    )


async def test_a_worker_that_dies_while_it_is_waited_for_is_a_failure() -> None:
    """At once, and by its own name."""
    servers = SlowServers([1])
    servers.died = True
    with pytest.raises(session.WorkerError, match="status -9"):
        await _drained(servers, 5, still_s=5, longest_s=60)
