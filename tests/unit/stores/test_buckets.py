"""Where customers are kept and in which order they are walked: part of the story, so it is pinned here."""

from __future__ import annotations

import pytest

from streamer.stores.buckets import BUCKETS, bucket_of, bucket_sizes, by_bucket, place_of
from streamer.wire import shard_of


def test_the_bucket_of_an_id_never_changes() -> None:
    """A store of an older version would have its customers where nobody looks for them."""
    assert [bucket_of(name) for name in ("", "a", "c-1", "é", "\U0001d11e")] == [0, 3, 62, 62, 20]
    assert BUCKETS == 64


def test_the_walk_goes_by_bucket_and_then_by_code_point() -> None:
    """Not by UTF-16 units, in which some languages compare texts."""
    names = ["\uffff", "\U0001d11e", *(f"c{number}" for number in range(200))]
    walk = sorted(names, key=place_of)
    buckets = [bucket_of(name) for name in walk]
    assert buckets == sorted(buckets)
    assert walk == [name for bucket in sorted(set(buckets)) for name in sorted(by_bucket(names)[bucket])]
    assert list(bucket_sizes(names)) == [buckets.count(bucket) for bucket in range(BUCKETS)]


@pytest.mark.parametrize("form", ["c-{:06}", "{}", "user{}@example.com", "{:032x}"])
@pytest.mark.parametrize("shards", [1, 12, 64])
def test_the_customers_of_one_shard_are_spread_evenly(form: str, shards: int) -> None:
    """The hash that deals customers to shards would leave most buckets of a shard empty."""
    names = [name for number in range(1_000 * shards) if shard_of(name := form.format(number), shards) == 0]
    mean = len(names) / BUCKETS
    sizes = bucket_sizes(names)
    assert 800 < len(names) < 1_200
    assert sum((size - mean) ** 2 / mean for size in sizes) < 4 * BUCKETS, (
        "nearly as even as chance; with half of them empty it would be 1,000"
    )
    assert max(sizes) < 3 * mean
