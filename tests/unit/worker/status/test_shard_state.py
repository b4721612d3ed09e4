"""The states of a shard: what is let go of for good stays so, and nothing is owned that was not acquired."""

from __future__ import annotations

from itertools import product

import pytest
from aiokafka import TopicPartition

from streamer.worker.shards.owned_shard import OwnedShard
from streamer.worker.status.shard_state import NEXT, ShardState


@pytest.mark.parametrize(("before", "after"), list(product(ShardState, ShardState)))
def test_a_state_is_entered_from_those_alone_that_it_may_follow(before: ShardState, after: ShardState) -> None:
    """A shard that is owned without an epoch of its own would write over what its owner wrote."""
    owned = OwnedShard(TopicPartition("streamer.events", 3), state=before)
    if after in NEXT[before]:
        owned.enter(after, "a reason")
        assert (owned.state, owned.why) == (after, "a reason")
    else:
        with pytest.raises(AssertionError, match=f"shard 3: {before.name} to {after.name}"):
            owned.enter(after)


def test_every_way_into_owned_leads_through_acquiring() -> None:
    """Folding a customer anew keeps the shard, and nothing else comes back to it."""
    assert {state for state, after in NEXT.items() if ShardState.OWNED in after} == {ShardState.ACQUIRING, ShardState.REFOLDING}
    assert NEXT[ShardState.RELEASED] == {ShardState.RELEASED}
