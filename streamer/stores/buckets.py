"""In which bucket of a shard a customer is kept, and the order in which all of them are walked.

A shard of a million customers cannot be sorted each time somebody goes through it, and what a switch of definitions says must come in one
order in every store. So each customer is in one of ``BUCKETS`` buckets, and the walk is bucket by bucket, by id within each: no more than
one bucket's ids are in hand at once.

64: a bucket of the benchmark has 80 customers and one of a shard of a million 16,000. A commit of 500 states touches all of them and takes
1.1 µs a state longer than one hash would; with 256 it is 3.9 µs (``docs/architecture.md``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from zlib import crc32

BUCKETS: Final = 64


def bucket_of(customer: str) -> int:
    """The bucket of a customer: part of the story, as the order of the walk is.

    Not the hash by which customers come to shards: of that all of one shard's have the same remainder.

    >>> bucket_of("c-1"), bucket_of("c-2")
    (62, 4)
    """
    return crc32(customer.encode()) % BUCKETS


def place_of(customer: str) -> tuple[int, str]:
    """Where a customer stands in the walk; compares in its order."""
    return bucket_of(customer), customer


def by_bucket(customers: Iterable[str]) -> dict[int, list[str]]:
    """Customers by their bucket; only buckets that have some."""
    found: dict[int, list[str]] = {}
    for customer in customers:
        found.setdefault(bucket_of(customer), []).append(customer)
    return found


def bucket_sizes(customers: Iterable[str]) -> tuple[int, ...]:
    """How many of ``customers`` are in each bucket."""
    sizes = [0] * BUCKETS
    for customer in customers:
        sizes[bucket_of(customer)] += 1
    return tuple(sizes)


__all__ = ["BUCKETS", "bucket_of", "bucket_sizes", "by_bucket", "place_of"]
