"""The log of a deployment, read between two offsets of each shard and told to a fold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

from streamer.examples import ModelSpec
from streamer.flow.replay import Arrival
from streamer.flow.whole_log import ShardRecords, whole_log
from streamer.language.definitions import Definitions
from streamer.settings import Settings
from streamer.transports.kafka.log_ends import LogEnds
from streamer.transports.kafka.shard_logs import PastWanted, open_logs
from streamer.wire import decode_control

from .bounds import Bounds
from .events import Chosen, tie
from .fold import Fold
from .share import Persons, Share

Progress = Callable[[int, int], None]  # records read so far, and how many there are to read


def no_progress(_read: int, _all: int) -> None:
    """Nobody looks."""


class AskedModel(NamedTuple):
    """A model of the definitions in force, and the offset in the log of shard ``TOLD_ONCE`` behind which its name means this model."""

    spec: ModelSpec
    since: int


class LogStretch(NamedTuple):
    """What is told: a part of each shard's log, with its history. ``is_cut``: there was more before it. ``models``: whose scorers count."""

    ends: Mapping[int, LogEnds]
    past: PastWanted
    is_cut: bool
    models: tuple[AskedModel, ...] = ()

    @property
    def records(self) -> int:
        """How many there are, about."""
        return records_between(self.ends, self.past.ends)


def records_between(ends: Mapping[int, LogEnds], history: Mapping[int, int]) -> int:
    """How many records shards have between two offsets of their logs, and of history up to an offset, about."""
    return sum(between.end - between.begin for between in ends.values()) + sum(history.values())


class LogTelling:
    """Reads it, as often as it is asked to; ``times`` says how often for ``progress``. Raises KafkaError, TimeoutError, HaltError."""

    def __init__(self, settings: Settings, stretch: LogStretch, bounds: Bounds, progress: Progress, times: int) -> None:
        self._settings = settings
        self._stretch = stretch
        self._bounds = bounds
        self._progress = progress
        self._read, self._all = 0, times * stretch.records

    async def persons(self) -> Persons:
        """Which ids belong together. Raises TooMuchError."""
        persons, placeholders = Persons(), frozenset(self._settings.rules.placeholder_ids)
        async for arrivals, _ in self._pieces():
            self._bounds.check()
            for arrival in arrivals:
                tie(persons, arrival, placeholders)
        return persons

    async def told(self, definitions: Definitions, share: Share) -> Fold:
        """A fold that was told what is in the share. Raises TooMuchError."""
        fold = await Fold.begin(definitions, self._settings.rules, self._bounds)
        since, chosen, is_first = models_that_go_on(self._stretch.models, definitions), Chosen(share, fold.placeholder_ids), True
        async for arrivals, records in self._pieces():
            if is_first and self._stretch.is_cut:  # every shard has been looked into by now
                fold.lack_before(max(one.first_ms for one in records if one.first_ms is not None))
            is_first = False
            await fold.take(chosen.of([arrival for arrival in arrivals if not arrival.control or means_something(arrival, since)]))
            await asyncio.sleep(0)
        fold.begins_ms = chosen.begins_ms
        await fold.until(chosen.now_ms)
        return fold

    async def _pieces(self) -> AsyncIterator[tuple[list[Arrival], list[ShardRecords]]]:
        logs = await open_logs(self._settings, self._stretch.ends, self._stretch.past)
        records = [one.records for one in logs]
        done = self._read
        async with aclosing(whole_log(logs)) as pieces:
            async for piece in pieces:
                self._progress(done + sum(one.read for one in records), self._all)
                yield piece, records
        self._read = done + sum(one.read for one in records)


def models_that_go_on(models: Sequence[AskedModel], definitions: Definitions) -> dict[str, int]:
    """By name since which record those models are asked that go on as they are under other definitions. A new one has said nothing."""
    return {model.spec.name: model.since for model in models if model.spec in definitions.models}


def means_something(record: Arrival, since: Mapping[str, int]) -> bool:
    """Whether a control record means something where these models go on."""
    control = decode_control(record.value)
    is_of_model = control.control in ("model", "withdraw")
    return not is_of_model or (control.model in since and record.line > since[control.model])


__all__ = ["AskedModel", "LogStretch", "LogTelling", "Progress", "means_something", "models_that_go_on", "no_progress", "records_between"]
