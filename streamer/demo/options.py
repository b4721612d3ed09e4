"""What a user may choose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose. ``seconds``: how long the shop stays open; None until Ctrl-C."""

    seconds: float | None = None
    rate: float = 200.0
    customers: int = 600
    seed: int = 7
