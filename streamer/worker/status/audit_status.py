"""What the audit of a shard has found since its worker began."""

from __future__ import annotations

import msgspec


class AuditStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many customers of a shard were ``compared`` with the log, and of how many the store has something else (``differing``, the newest
    as of the offset ``differed_at``).

    ``unnoted`` could not be compared, as it is not noted from the first one on where their records lie, or the log no longer has them.
    """

    compared: int = 0
    differing: int = 0
    differed_at: int = -1
    unnoted: int = 0


__all__ = ["AuditStatus"]
