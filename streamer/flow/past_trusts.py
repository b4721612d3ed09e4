"""Which keys held where in a log, remembered by the shard that has applied its ``keys`` records: whoever reads it again once retention has
taken some of these is to judge as the shard did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamer.signing import Trust

TRUSTS_KEPT: Final = 8  # changing a key takes two records, and changes are months apart

TrustFrom = tuple[int, Trust]
"""From which offset of the log on something held."""


def with_trust(trusts: Sequence[TrustFrom], offset: int, trust: Trust) -> list[TrustFrom]:
    """What held, ascending, with what holds from ``offset`` on. Where the oldest is dropped the one behind it counts from the beginning:
    what was signed by a key before it is refused, and nothing unsigned is obeyed."""
    found = [*trusts, (offset, trust)]
    return found if len(found) <= TRUSTS_KEPT else [(0, found[1][1]), *found[2:]]


def trust_at(trusts: Sequence[TrustFrom], begin: int) -> Trust:
    """What held where a log begins. Keys are exact; of what was signed the numbers are those up to the newest ``keys`` record before."""
    if not begin:
        return Trust()  # the log has its first record still
    return next((trust for offset, trust in reversed(trusts) if offset <= begin), Trust())


__all__ = ["TRUSTS_KEPT", "TrustFrom", "trust_at", "with_trust"]
