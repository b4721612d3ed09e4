"""Where a reader of changes stands in all shards at once: what the ``id`` of an event in the stream says.

Of each shard it has the offset in Kafka at which to go on, and the place in the story of the last change that was read: what a relay
published twice lies twice in Kafka, and is told by that.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from streamer.transports.kafka.change_records import NOWHERE, ChangeRecord, StoryPlace

from .errors import AnswerError

_PART: Final = re.compile(r"([0-9]{1,4}):([0-9]{1,18})(?:\.([0-9]{1,9})\.([0-9]{1,18})\.([0-9]{1,9}))?")
PATH: Final = "header.Last-Event-ID"


class ShardPosition(NamedTuple):
    """``kafka_offset`` is that of the next record, ``place`` that of the last change; ``NOWHERE`` where none is known."""

    kafka_offset: int
    place: StoryPlace = NOWHERE

    def text(self, shard: int) -> str:
        """``7:5312.1.1042.0``: shard, offset, and the place."""
        return f"{shard}:{self.kafka_offset}" if self.place == NOWHERE else f"{shard}:{self.kafka_offset}.{'.'.join(map(str, self.place))}"


class StreamPosition:
    """The positions of all shards, and their text, which is put together anew only as far as it changes."""

    def __init__(self, shards: list[ShardPosition]) -> None:
        self.shards = shards
        self._texts = [position.text(shard) for shard, position in enumerate(shards)]

    @property
    def generation(self) -> int:
        """The newest generation of the log of which it knows a change; 0 where it knows none."""
        return max((position.place[0] for position in self.shards), default=0)

    def text(self) -> str:
        """What stands behind ``id:``."""
        return ",".join(self._texts)

    def move(self, shard: int, position: ShardPosition) -> None:
        """Go on in one shard."""
        self.shards[shard] = position
        self._texts[shard] = position.text(shard)

    def take(self, record: ChangeRecord) -> bool:
        """Whether a record is new here; it is behind us from then on."""
        at = self.shards[record.shard]
        if record.kafka_offset < at.kafka_offset:
            return False
        is_new = record.place > at.place
        self.move(record.shard, ShardPosition(record.kafka_offset + 1, max(record.place, at.place)))
        return is_new

    def copy(self) -> StreamPosition:
        """One that moves by itself."""
        return StreamPosition(list(self.shards))


def read_stream_position(text: str, shards: int) -> StreamPosition:
    """The position of an id; AnswerError for what is none of ours, or of a log with other shards.

    >>> read_stream_position("0:17.1.1042.0,1:4", 2).text()
    '0:17.1.1042.0,1:4'
    """
    found: list[ShardPosition] = []
    for shard, part in enumerate(text.split(",", shards + 1)):
        match = _PART.fullmatch(part.strip())
        if match is None or int(match[1]) != shard:
            break
        place = NOWHERE if match[3] is None else (int(match[3]), int(match[4]), int(match[5]))
        found.append(ShardPosition(int(match[2]), place))
    else:
        if len(found) == shards:
            return StreamPosition(found)
    raise AnswerError("bad_cursor", f"expected the id of an event of this stream, with the positions of {shards} shards", PATH)
