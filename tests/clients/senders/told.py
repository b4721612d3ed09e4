"""What every Python client here does around its own calls: a process sends several runs at once and tells how each went."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

ROUNDS, EVENTS = 2, 3  # the first request meets what goes wrong, the second shows that the client goes on
DEADLINE_S = 15.0

# run and address -> ids of events that the client believes delivered, and of those it has given up
Send = Callable[[str, str], tuple[set[str], set[str]]]


def tell(send: Send) -> None:
    """Send each run of the command line (``name=address``) in a thread; then print one JSON line a run."""

    def one(told: str) -> str:
        run, _, address = told.partition("=")
        delivered, failed = send(run, address)
        return json.dumps({"run": run, "delivered": sorted(delivered), "failed": sorted(failed)})

    runs = sys.argv[1:]
    with ThreadPoolExecutor(max_workers=len(runs)) as threads:
        for line in threads.map(one, runs):
            print(line)
