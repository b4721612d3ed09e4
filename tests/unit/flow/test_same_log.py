"""Whether a log is still the one that a shard has read, from what the log says of itself."""

from __future__ import annotations

import pytest

from streamer.errors import HaltError
from streamer.flow.same_log import check_reach


@pytest.mark.parametrize(("begin", "end"), [(0, 7), (7, 7), (3, 40)])
def test_a_position_between_begin_and_end_is_fine(begin: int, end: int) -> None:
    """At the end there is only nothing to read yet."""
    check_reach(1, 7, begin, end)


def test_a_log_that_begins_after_the_position_is_retention() -> None:
    """Records are gone that were not read: only a person can say that it may go on without them."""
    with pytest.raises(HaltError, match="log of shard 1 begins at offset 8, after the position 7: its retention"):
        check_reach(1, 7, 8, 40)


def test_a_log_that_ends_before_the_position_is_another_one() -> None:
    """Or it lost its tail, which is the same: what was read is not in it."""
    with pytest.raises(HaltError, match="log of shard 1 ends at offset 6, before the position 7: its tail was lost, or"):
        check_reach(1, 7, 0, 6)
