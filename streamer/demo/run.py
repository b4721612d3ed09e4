"""Start the demo and end it: the servers and the worker first, then the shop; and back, whatever happens in between."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from streamer.demo.options import SIGNALS, Options
from streamer.demo.servers import Servers

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console


def run(options: Options, console: Console) -> int:
    """Run the demo; 0 when it ended as it should (Ctrl-C is such an end), 1 when something went wrong, which is said.

    SettingsError where something is not installed. Call it from the main thread: it takes the signals.
    """
    servers = Servers()
    with _signals_as_interrupts():
        try:
            console.print("Starting a Kafka (in memory), a Redis, a worker, a sender and a server with the page …", highlight=False)
            servers.start()
            servers.start_worker()
            servers.start_sender()
            servers.start_page()
            # Faust and aiokafka take as long to import as the worker takes to start: both at once.
            from streamer.demo.session import Session  # noqa: PLC0415

            return asyncio.run(Session(options, console, servers).run())
        except KeyboardInterrupt:
            console.print("Stopped before the shop was open.", highlight=False)
            return 0
        finally:
            _ignore_signals()  # whoever presses Ctrl-C twice wants it to end, not to be left with half of it
            servers.stop()


@contextmanager
def _signals_as_interrupts() -> Generator[None]:
    """One of the signals raises KeyboardInterrupt; what handled them before does so again afterwards."""
    before = {number: signal.signal(number, _interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(*_: object) -> NoReturn:
    _ignore_signals()
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
