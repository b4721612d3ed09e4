"""When a delivery is tried again, and when no more: the schedule of Standard Webhooks, over three days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

WAITS_MS: Final = (  # before the second attempt, the third, …
    5 * SECOND_MS,
    5 * MINUTE_MS,
    30 * MINUTE_MS,
    2 * HOUR_MS,
    5 * HOUR_MS,
    10 * HOUR_MS,
    14 * HOUR_MS,
    20 * HOUR_MS,
    24 * HOUR_MS,
)
ATTEMPTS_MAX: Final = len(WAITS_MS) + 1
JITTER: Final = 0.1  # of a wait, at most, on top of it: those that failed together do not come back together
GIVE_UP_MS: Final = 4 * DAY_MS  # however few attempts that were: an endpoint that says "later" for ever
THROTTLE_MS: Final = 5 * SECOND_MS  # where an endpoint says "later" and not when
THROTTLE_MAX_MS: Final = HOUR_MS

AttemptVerdict = Literal["delivered", "gone", "throttled", "failed"]


def verdict_of(status: int) -> AttemptVerdict:
    """What an answer means. Only 2xx is a success; a redirect is none.

    >>> [verdict_of(status) for status in (204, 301, 410, 429, 500)]
    ['delivered', 'failed', 'gone', 'throttled', 'failed']
    """
    if 200 <= status < 300:
        return "delivered"
    if status == 410:
        return "gone"
    return "throttled" if status == 429 else "failed"


def wait_ms(attempts: int, jitter: float) -> int | None:
    """How long to wait after so many attempts, with ``jitter`` from 0 to 1; None when there is no further one.

    >>> wait_ms(1, 0.0), wait_ms(1, 1.0), wait_ms(10, 0.0)
    (5000, 5500, None)
    """
    return int(WAITS_MS[attempts - 1] * (1 + JITTER * jitter)) if attempts < ATTEMPTS_MAX else None


def retry_after_ms(headers: Mapping[str, str], now_ms: int) -> int | None:
    """How long an answer asks to wait, an hour at most; None where it does not say.

    >>> retry_after_ms({"Retry-After": "120"}, 0), retry_after_ms({"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT"}, 0)
    (120000, 60000)
    >>> retry_after_ms({}, 0), retry_after_ms({"Retry-After": "soon"}, 0), retry_after_ms({"Retry-After": "9" * 30}, 0)
    (None, None, 3600000)
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:12]) * SECOND_MS, THROTTLE_MAX_MS)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0, min(int((at - datetime.fromtimestamp(0, UTC)).total_seconds() * 1_000) - now_ms, THROTTLE_MAX_MS))
