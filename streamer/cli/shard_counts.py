"""``streamer shards counts``: what became of the records of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated

import typer

from streamer.flow.catalog import Plans
from streamer.flow.committed import CommittedCustomers
from streamer.settings import Settings, load_settings
from streamer.values import time_text
from streamer.worker.status.record_counts import RecordCounts, record_counts

from .terminal import echo, echo_json


def count_records(as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False) -> None:
    """What became of the records of the log: accepted, second deliveries, refused and why. Of all shards, since their logs began.

    Records that never came into the log, such as those that a collector refused, are not among them: see `streamer dead-letters list`.
    """
    counts = asyncio.run(_counts(load_settings()))
    if as_json:
        echo_json(counts)
    else:
        for line in count_lines(counts):
            echo(line)


async def _counts(settings: Settings) -> RecordCounts:
    store = settings.open_store()
    try:
        customers = CommittedCustomers(store, settings.rules, Plans(store, settings.rules))
        return record_counts([await customers.view(shard) for shard in range(settings.shards)])
    finally:
        await store.close()


def count_lines(counts: RecordCounts) -> Iterator[str]:
    """For a person.

    >>> print(*count_lines(RecordCounts(1_200, 3, 0, 0, 1, {"late": 2}, 0)), sep="\\n")
    accepted 1,200, duplicates 3, refused 2, sent on 0, sent on twice 0, of erased customers 1
      refused, late: 2
    """
    as_of = f"; as of {time_text(counts.as_of_ms)}" if counts.as_of_ms else ""
    yield (
        f"accepted {counts.accepted:,}, duplicates {counts.duplicates:,}, refused {counts.all_refused:,}, sent on {counts.sent_on:,}, "
        f"sent on twice {counts.sent_twice:,}, of erased customers {counts.of_erased:,}{as_of}"
    )
    yield from (f"  refused, {reason}: {number:,}" for reason, number in counts.refused.items())
