"""What became of each run: a client, a thing that goes wrong on its way, what it believes and what the log holds."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

from tests.clients.way import Fault, Passed


class Client(NamedTuple):
    """A client as it comes from its maker, and the habits that decide what it can do about a fault."""

    name: str
    repeats: bool = True  # what was turned away with 429, or got no answer
    waits: bool = True  # as long as Retry-After says; one that does not repeats after pauses of its own, if at all
    too_large: int = 413  # the status for too large a body that this client takes as final
    sees_answers: bool = True


PROGRAMS: Final = (
    Client("segment_python"),
    Client("rudder_python", waits=False),
    Client("snowplow_python", waits=False, too_large=400),
    Client("segment_node"),
    Client("rudder_node"),
    Client("snowplow_node", waits=False, too_large=400),
    Client("jitsu_node", repeats=False, waits=False),
)
PAGES: Final = (
    Client("segment_browser"),
    Client("rudder_browser", waits=False),
    Client("rudder_beacon", repeats=False, waits=False, sees_answers=False),
)
CLIENTS: Final = (*PROGRAMS, *PAGES)


class Told(NamedTuple):
    """What a client says of its events."""

    delivered: frozenset[str]
    failed: frozenset[str]  # given up


class Outcome(NamedTuple):
    """One run, when all is quiet."""

    client: Client
    fault: Fault
    told: Told
    passed: list[Passed]  # on the way, in order
    logged: Counter[str]  # how often each id lies in the log

    @property
    def met(self) -> list[Passed]:
        """Requests to which the fault was done."""
        return [request for request in self.passed if request.wrong]


def run_name(client: Client, fault: Fault) -> str:
    """The customer in whose name a run sends."""
    return f"{client.name}-{fault.name.lower()}"
