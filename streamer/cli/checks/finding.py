"""What a check of ``streamer doctor`` returns, and the words that several checks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

NAMES_SHOWN: Final = 5

Verdict = Literal["ok", "warning", "wrong"]


class CheckResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at: what was found, and what to do about it unless it is ``ok``."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def ok(name: str, found: str) -> CheckResult:
    """A result that asks for nothing."""
    return CheckResult(name, "ok", found)


def warning(name: str, found: str, remedy: str) -> CheckResult:
    """A result that is worth a look; it does not change the exit code."""
    return CheckResult(name, "warning", found, remedy)


def wrong(name: str, found: str, remedy: str) -> CheckResult:
    """A result that keeps an installation from its work, or makes its answers wrong."""
    return CheckResult(name, "wrong", found, remedy)


def shard_numbers(numbers: Sequence[int]) -> str:
    """``shard 3``, ``shards 1, 2, 3``, ``12 shards (0, 1, 2, 3, 4, …)``."""
    if len(numbers) == 1:
        return f"shard {numbers[0]}"
    if len(numbers) <= NAMES_SHOWN:
        return f"shards {', '.join(map(str, numbers))}"
    return f"{len(numbers)} shards ({', '.join(map(str, numbers[:NAMES_SHOWN]))}, …)"
