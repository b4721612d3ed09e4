"""The time while the shop is open: wait for the worker, let customers in, show what happens, and say how it was."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

import structlog
from rich.live import Live

from streamer.demo import plain, traffic
from streamer.demo.decision_reader import DecisionReader
from streamer.demo.options import Options
from streamer.demo.screen import Facts, draw
from streamer.demo.seen import Seen
from streamer.demo.shop import Shop
from streamer.demo.summary import problems, summary, wrapped
from streamer.demo.traffic import now_ms
from streamer.local.interrupts import SIGNALS
from streamer.local.mailbox import open_mailbox
from streamer.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    from aiokafka import AIOKafkaProducer
    from rich.console import Console

    from streamer.demo.seen_messages import SeenMessages
    from streamer.demo.servers import Servers

POLL_S: Final = 0.05
DRAW_S: Final = 0.25
NUMBERS_S: Final = 0.5
READY_S: Final = 45.0
STILL_S: Final = 15.0  # a worker that read nothing for so long hangs; one that reads is only slow
DRAIN_S: Final = 45.0
SEND_S: Final = 4.0  # for what was decided to be sent; more is decided meanwhile, so it need not end
ASKED_DRAIN_S: Final = 1.0  # whoever pressed Ctrl-C does not want to wait


class WorkerError(Exception):
    """Worker or sender are not there; the message says why."""


class Session:
    """One opening of the shop, on servers that run already."""

    def __init__(self, options: Options, console: Console, servers: Servers) -> None:
        self._options = options
        self._console = console
        self._servers = servers
        self._settings = servers.settings
        self._over = asyncio.Event()
        self._asked = False  # somebody pressed Ctrl-C: nothing is expected of such a run
        self._facts = Facts(
            options.customers, options.seed, servers.page, servers.web, traffic.our_segments(), traffic.library_segments()
        )  # fmt: skip

    async def run(self) -> int:
        """The exit code."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._end)
        keep_logs_out_of_sight(self._servers.folder / "demo.log")
        try:
            seen = await self._from_start_to_end()
        except WorkerError as error:
            return self._failed([str(error)])
        if seen is None:
            self._say("Stopped before the shop was open.")
            return 0
        self._say(*wrapped(summary(seen, self._facts), self._console.width if self._console.is_terminal else None))
        found = [] if self._asked else problems(seen)
        return self._failed(found) if found else 0

    def _end(self) -> None:
        self._asked = True
        self._over.set()

    async def _from_start_to_end(self) -> Seen | None:
        """What was seen; None when it was ended before it began."""
        async with traffic.connected(self._settings, self._servers.folder) as client:
            try:
                return await self._keep_open(client) if await self._is_ready() else None
            finally:
                await asyncio.to_thread(self._servers.stop_page)
                await asyncio.to_thread(self._servers.stop_sender)  # before what it talks to
                await asyncio.to_thread(self._servers.stop_worker)

    async def _is_ready(self) -> bool:
        """Wait until the worker owns all shards and the sender has them; False when the user does not want to wait."""
        deadline = monotonic() + READY_S
        while not self._over.is_set():
            if await asyncio.to_thread(self._servers.are_ready):
                return True
            self._check_worker()
            if monotonic() > deadline:
                raise WorkerError(f"worker and sender were not ready after {READY_S:.0f} s")
            await asyncio.sleep(POLL_S)
        return False

    def _check_worker(self) -> None:
        trouble = self._servers.trouble()
        if trouble is not None:
            raise WorkerError(trouble)

    async def _keep_open(self, client: AIOKafkaProducer) -> Seen:
        """Until the time is up, somebody ends it, or a part of it fails."""
        options, opened_ms = self._options, now_ms()
        seen = Seen(opened_ms, rate=options.rate)
        shop = Shop(seed=options.seed, customers=options.customers, rate=options.rate, opened_ms=opened_ms)
        messages = DecisionReader(self._settings, seen.messages)
        async with open_mailbox(self._servers.mail_port, lambda mail: seen.messages.note_mail(mail, now_ms())):
            selling = asyncio.create_task(traffic.keep_shop(shop, client, self._settings, seen))
            reading = (traffic.read(self._settings, seen), messages.run())
            others = [asyncio.create_task(part) for part in (*reading, self._watch(seen), self._show(seen))]
            try:
                await self._until_over([selling, *others])
                await _cancel([selling])
                await self._end_sending(messages, seen.messages)
                await self._drain(seen, STILL_S, ASKED_DRAIN_S if self._asked else DRAIN_S)
            finally:
                await _cancel([selling, *others])
        return seen

    async def _end_sending(self, messages: DecisionReader, seen: SeenMessages) -> None:
        """Let the sender go on for a while, and end. What it wrote into the log counts among the events, so all of it is read."""
        until = monotonic() + (0.0 if self._asked else SEND_S)
        while seen.is_sending and monotonic() < until:
            self._check_worker()
            await asyncio.sleep(POLL_S)
        await asyncio.to_thread(self._servers.stop_sender)
        with suppress(TimeoutError):
            async with asyncio.timeout(STILL_S):
                await messages.reach_the_end()

    async def _until_over(self, parts: list[asyncio.Task[None]]) -> None:
        over = asyncio.create_task(self._over.wait())
        done, _ = await asyncio.wait([over, *parts], timeout=self._options.seconds, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        for part in parts:
            if part in done:
                part.result()

    async def _watch(self, seen: Seen) -> None:
        """Ask the worker how it is, twice a second; raise when it or the sender is no more."""
        while True:
            self._check_worker()
            await self._ask(seen, is_open=True)
            await asyncio.sleep(NUMBERS_S)

    async def _ask(self, seen: Seen, *, is_open: bool = False) -> None:
        numbers = await asyncio.to_thread(self._servers.numbers)
        seen.note_numbers(numbers or seen.numbers, now_ms() if is_open else None)  # one that does not answer has read nothing since

    async def _drain(self, seen: Seen, still_s: float, longest_s: float) -> None:
        """Give the worker the time to read what was sent: the figures of the summary are those after it.

        It is over when the worker has read nothing for ``still_s``, which is a failure, or after ``longest_s``, which is slowness.
        """
        moved = begun = monotonic()
        await self._ask(seen)
        while seen.unread > 0 and monotonic() - moved < still_s:
            if monotonic() - begun > longest_s:
                seen.is_cut_short = True
                return
            self._check_worker()
            await asyncio.sleep(POLL_S)
            before = seen.unread
            await self._ask(seen)
            if seen.unread < before:
                moved = monotonic()

    # showing

    async def _show(self, seen: Seen) -> None:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            await self._show_live(seen)
        else:
            await self._show_lines(seen)

    async def _show_live(self, seen: Seen) -> None:
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            while True:
                seen.pick(now_ms())
                seen.messages.pick(now_ms())
                width, height = self._console.size
                live.update(draw(seen, self._facts, width=width, height=height), refresh=True)
                await asyncio.sleep(DRAW_S)

    async def _show_lines(self, seen: Seen) -> None:
        seconds = self._options.seconds
        self._say(*plain.opening(self._facts, until="Ctrl-C ends it" if seconds is None else f"open for {seconds:g} s"))
        lines = plain.PlainLines(seen)
        while True:
            moment = now_ms()
            self._say(*lines.new(seen.pick(moment), seen.messages.pick(moment), moment))
            await asyncio.sleep(DRAW_S)

    def _say(self, *lines: str) -> None:
        for line in lines:
            self._console.print(printable(line), highlight=False, markup=False, soft_wrap=not self._console.is_terminal)

    def _failed(self, why: list[str]) -> int:
        for line in why:
            self._say(f"The demo failed: {line}.")
        self._say(*self._servers.last_words().split("\n"))
        return 1


def keep_logs_out_of_sight(path: Path) -> None:
    """What the libraries in this process say goes to a file: a line in the middle of the screen helps nobody."""
    logging.basicConfig(filename=path, level=logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, Exception):
            await task
