"""The one rule for those who read what a shard says: skip a position that is not above the highest you have seen in this shard."""

from __future__ import annotations


class Highest:
    """The highest position seen, by shard.

    >>> seen = Highest()
    >>> [seen.rises(7, offset, ordinal) for offset, ordinal in ((3, 0), (3, 1), (3, 0), (3, 1), (4, 0))]
    [True, True, False, False, True]
    """

    def __init__(self) -> None:
        self._places: dict[int, tuple[int, int]] = {}

    def rises(self, shard: int, offset: int, ordinal: int) -> bool:
        """Whether the position is new; it is the highest from then on."""
        place = (offset, ordinal)
        if place <= self._places.get(shard, (-1, -1)):
            return False
        self._places[shard] = place
        return True
