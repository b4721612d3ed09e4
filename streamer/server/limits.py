"""How much one request, one reader and the whole process may take."""

from __future__ import annotations

from typing import Final, NamedTuple


class ServerLimits(NamedTuple):
    """What is taken at most."""

    customers: int = 100  # of one request
    body_bytes: int = 64_000  # a hundred ids of 256 characters, escaped
    body_seconds: float = 10.0
    header_bytes: int = 32_768  # one header, or the first line with its query; a Last-Event-ID has 25 bytes a shard
    idle_seconds: float = 75.0  # a connection without a request; longer than proxies keep theirs
    connections: int = 10_000
    requests: int = 500  # being answered at once; more are turned away with 503
    streams: int = 5_000  # readers of changes


LIMITS: Final = ServerLimits()
MEMBERS_MAX: Final = 1_000  # of a page
MEMBERS_DEFAULT: Final = 100
SCANNED_MAX: Final = 2_000  # states read for one page
FLIP_STEPS: Final = 32  # moments looked at ahead for each customer: a rule on the hour turns twice a day
FLIPS_KEPT: Final = 200_000  # of all customers who were asked for; about 200 bytes each
EXPLAINED_AT_ONCE: Final = 2  # one explanation takes some tens of milliseconds of processor time
WAIT_SECONDS: Final = 1.0  # for a shard to come to ``min_position``
WAIT_LOOK_SECONDS: Final = 0.02
RETRY_AFTER_SECONDS: Final = 1
