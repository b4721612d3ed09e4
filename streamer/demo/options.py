"""What a user may choose, and what ends the demo."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose. ``seconds``: how long the shop stays open; None until Ctrl-C."""

    seconds: float | None = None
    rate: float = 200.0
    customers: int = 600
    seed: int = 7
