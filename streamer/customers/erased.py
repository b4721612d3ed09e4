"""Whom a shard has erased lately, so that a straggler of theirs does not bring them back.

An event from before the erasure may arrive as long as the allowed lateness lasts; afterwards it is late. One that another shard sends on
is judged by when it first arrived, so a mark is kept for twice that long, and no longer. It is a hash of the id and the moment: the id
itself is forgotten with the rest.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

MARK_BYTES: Final = 8
MARKS_MAX: Final = 10_000  # of a shard at once: 200 KB of each of its commits; more erasures within the lateness forget the oldest marks

Marks = dict[bytes, int]  # hash of an erased id -> log time of its newest erasure, in the order of those times


def mark(marks: Marks, customer: str, erased_ms: int) -> None:
    """Note that a customer was erased, at a log time that is not before any in ``marks``."""
    key = _key(customer)
    marks.pop(key, None)  # the newest stand last
    marks[key] = erased_ms
    if len(marks) > MARKS_MAX:
        del marks[next(iter(marks))]


def forget(marks: Marks, horizon_ms: int) -> None:
    """Drop the marks of erasures up to ``horizon_ms``."""
    while marks and (oldest := next(iter(marks))) and marks[oldest] <= horizon_ms:
        del marks[oldest]


def was_erased(marks: Marks, customer: str, timestamp_ms: int) -> bool:
    """Whether an event with this timestamp is of somebody who was erased then or later."""
    return bool(marks) and timestamp_ms <= marks.get(_key(customer), -1)


def _key(customer: str) -> bytes:
    return blake2b(customer.encode(), digest_size=MARK_BYTES, person=b"erased").digest()
