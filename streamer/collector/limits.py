"""How much one request, one client and the whole process may take: memory is bounded whatever comes in."""

from __future__ import annotations

from typing import Final, NamedTuple


class CollectorLimits(NamedTuple):
    """What is taken at most. Sizes of requests are those of the unpacked body."""

    event_bytes: int = 32_768  # what the SDKs themselves allow; the log takes twice as much
    request_bytes: int = 512_000
    request_events: int = 2_500
    header_bytes: int = 16_384  # one header, or the first line with its query
    body_seconds: float = 10.0  # to send the body
    idle_seconds: float = 75.0  # a connection without a request; longer than proxies keep theirs
    connections: int = 10_000
    in_flight_bytes: int = 64_000_000  # bodies that are being read, and what Kafka has not acknowledged
    in_flight_events: int = 20_000


LIMITS: Final = CollectorLimits()
KAFKA_SILENT_SECONDS: Final = 5.0  # Kafka has taken nothing for so long: what comes is sent away at once
RETRY_AFTER_SECONDS: Final = (5, 30)  # drawn between them, so that clients do not come back all at once
FAIR_EVENTS: Final = 200  # of one request, then others get their turn
