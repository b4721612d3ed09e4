"""Start the demo and end it: the servers and the worker first, then the shop; and back, whatever happens in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from streamer.demo.servers import Servers
from streamer.local.interrupts import ignore_signals, signals_as_interrupts

if TYPE_CHECKING:
    from rich.console import Console

    from streamer.demo.options import Options


def run(options: Options, console: Console) -> int:
    """Run the demo; 0 when it ended as it should (Ctrl-C is such an end), 1 when something went wrong, which is said.

    SettingsError where something is not installed. Call it from the main thread: it takes the signals.
    """
    servers = Servers()
    with signals_as_interrupts():
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
            ignore_signals()
            servers.stop()
