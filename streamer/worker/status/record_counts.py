"""What became of the records of the log, as the shards have counted it in their checkpoints since their logs began."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from streamer.flow.committed import ShardView


class RecordCounts(msgspec.Struct):
    """Of all shards together.

    ``sent_on`` are records of customers of another shard, which counts them again; ``sent_twice`` those that came from another shard a
    second time; ``of_erased`` events from before their customer was erased. ``refused`` is by reason, the most first. ``as_of_ms`` is the
    log time of the shard that is the least far, 0 where one has read nothing.
    """

    accepted: int
    duplicates: int
    sent_on: int
    sent_twice: int
    of_erased: int
    refused: dict[str, int]
    as_of_ms: int

    @property
    def all_refused(self) -> int:
        """Whatever the reason."""
        return sum(self.refused.values())


def record_counts(views: Iterable[ShardView]) -> RecordCounts:
    """The counts of these shards."""
    counts, as_of_ms = Counter[str](), list[int]()
    for view in views:
        as_of_ms.append(view.log_time_ms)
        counts.update({} if view.body is None else view.body.counts)
    return RecordCounts(
        accepted=counts.pop("accepted", 0),
        duplicates=counts.pop("duplicate", 0),
        sent_on=counts.pop("sent_on", 0) + counts.pop("wrong_shard", 0),
        sent_twice=counts.pop("forwarded_again", 0),
        of_erased=counts.pop("of_erased", 0),
        refused=dict(counts.most_common()),
        as_of_ms=min(as_of_ms, default=0),
    )


__all__ = ["RecordCounts", "record_counts"]
