"""The one rule for those who read what a shard says: skip a position that is not above the highest you have seen in this shard."""

from __future__ import annotations


class Deduplicator:
    """The highest position seen, by shard. A log that is sharded anew begins a generation, whose offsets begin again.

    >>> seen = Deduplicator()
    >>> [seen.is_new(7, 1, offset, ordinal) for offset, ordinal in ((3, 0), (3, 1), (3, 0), (3, 1), (4, 0))]
    [True, True, False, False, True]
    >>> seen.is_new(7, 2, 0, 0), seen.is_new(7, 1, 5, 0)
    (True, False)
    """

    def __init__(self) -> None:
        self._places: dict[int, tuple[int, int, int]] = {}

    def is_new(self, shard: int, generation: int, offset: int, ordinal: int) -> bool:
        """Whether the position is new; it is the highest from then on."""
        place = (generation, offset, ordinal)
        if place <= self._places.get(shard, (0, -1, -1)):
            return False
        self._places[shard] = place
        return True
