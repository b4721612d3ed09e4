"""A preview over the log of a deployment, against what holds there now. Nothing is written, and no worker need run."""

from __future__ import annotations

import asyncio
from time import time
from typing import Final, NamedTuple

from streamer.flow.catalog import read_definitions
from streamer.flow.committed import CommittedCustomers
from streamer.flow.whole_log import TOLD_ONCE
from streamer.language.definitions import Definitions
from streamer.settings import Settings
from streamer.transports.kafka.log_ends import LogEnds, read_log_ends
from streamer.transports.kafka.shard_logs import PastWanted

from .bounds import Bounds
from .conclusion import Wishes, conclude
from .findings import Findings, findings_of, united
from .fold import Fold
from .in_force import read_in_force
from .processes import WORTH_IT_EVENTS, Caller, others
from .result import Preview
from .servers import customers_of, history_ends, kafka_asked, store_of
from .share import Persons, Portion, Share
from .telling import AskedModel, LogStretch, LogTelling, Progress, no_progress, records_between

ANSWER_SECONDS: Final = 15.0


async def fitting_share(settings: Settings, events_max: int) -> float:
    """The largest share of the customers that at most ``events_max`` records of the log are of, about: 1.0 where it has no more in all.

    Records that concern nobody count as well, and so does history. Raises SettingsError, and what reading the store may.
    """
    with kafka_asked(settings):
        async with store_of(settings) as store:
            history = await history_ends(settings, store)
        records = records_between(await _log_ends(settings, None), history)
    return 1.0 if records <= events_max else events_max / records


async def preview_deployment(
    settings: Settings,
    definitions: Definitions,
    wishes: Wishes,
    bounds: Bounds,
    *,
    since_ms: int | None = None,
    progress: Progress = no_progress,
    processes: int = 1,
) -> Preview:
    """What ``definitions`` would do if they were published now. History is part of the past as far as it is in each shard.

    ``since_ms`` (UTC): only what arrived then or later is read, so clauses that look further back are warming. Of a share of the customers
    the log is read twice: first to find out which ids belong together. So it is where the customers are divided among ``processes``, which
    changes no answer; a short log is left to one. Models that go on as they are answer by the scorers that the log has of them, new ones
    not at all. Raises SettingsError where Kafka or the store does not answer, HaltError where the log cannot be read by these settings,
    TooMuchError.
    """
    with kafka_asked(settings):
        stretch = await _stretch(settings, since_ms)
        count = processes if stretch.records >= WORTH_IT_EVENTS else 1
        task = _LogTask(settings, definitions.content(), wishes, bounds, stretch)
        telling = LogTelling(settings, stretch, bounds, progress, times=1 if wishes.share == count == 1 else 2)
        async with others(_count_part, task, count) as theirs:
            persons = Persons() if wishes.share == count == 1 else await telling.persons()
            await theirs.say(persons)
            share = Share(wishes.share, persons, Portion(0, count))
            fold = await telling.told(definitions, share)
            await theirs.until_told()
            now_ms = await _now_ms(settings)
            await theirs.say(now_ms)
            mine = await _counted(settings, fold, share, wishes, now_ms, is_cut=stretch.is_cut)
            return conclude(united([mine, *await theirs.findings()], wishes.samples), fold.plan, wishes)


class _LogTask(NamedTuple):
    """What each process is to do. ``content`` are definitions as canonical JSON."""

    settings: Settings
    content: bytes
    wishes: Wishes
    bounds: Bounds
    stretch: LogStretch


async def _count_part(caller: Caller, task: object, part: Portion) -> Findings:
    """What another process does for its part of the customers: it hears who belongs with whom, and when all are told, what time it is."""
    assert isinstance(task, _LogTask)
    settings, wishes = task.settings, task.wishes
    with kafka_asked(settings):
        persons = caller.heard()
        assert isinstance(persons, Persons)
        share = Share(wishes.share, persons, part)
        fold = await LogTelling(settings, task.stretch, task.bounds, no_progress, times=1).told(read_definitions(task.content), share)
        caller.say_told()
        now_ms = caller.heard()
        assert isinstance(now_ms, int)
        return await _counted(settings, fold, share, wishes, now_ms, is_cut=task.stretch.is_cut)


async def _stretch(settings: Settings, since_ms: int | None) -> LogStretch:
    """What there is to read at this moment."""
    async with store_of(settings) as store:
        past = PastWanted(await history_ends(settings, store), since_ms or 0, int(time() * 1_000))
        models = await _models_in_force(customers_of(settings, store))
    ends = await _log_ends(settings, since_ms)
    return LogStretch(ends, past, is_cut=since_ms is not None or any(between.begin for between in ends.values()), models=models)


async def _log_ends(settings: Settings, since_ms: int | None) -> dict[int, LogEnds]:
    async with asyncio.timeout(ANSWER_SECONDS):
        return await read_log_ends(settings, range(settings.shards), since_ms)


async def _models_in_force(customers: CommittedCustomers) -> tuple[AskedModel, ...]:
    """Those of the definitions that hold: the scorers that the log has are theirs, from where each of them came."""
    view = await customers.view(TOLD_ONCE)
    if view.body is None or not view.body.digest:
        return ()
    definitions, since = await customers.plans.definitions(view.body.digest, view.shard), view.body.models_since
    return tuple(AskedModel(spec, since.get(spec.name, 0)) for spec in definitions.models)


async def _now_ms(settings: Settings) -> int:
    """The moment at which definitions would arrive that were published now, in UTC milliseconds."""
    async with store_of(settings) as store:
        views = await customers_of(settings, store).views()
    return max(int(time() * 1_000), *(view.log_time_ms for view in views))


async def _counted(settings: Settings, fold: Fold, share: Share, wishes: Wishes, now_ms: int, *, is_cut: bool) -> Findings:
    """What a fold comes to at a moment, against who is where in the deployment."""
    await fold.until(now_ms)
    async with store_of(settings) as store:
        in_force = await read_in_force(store, customers_of(settings, store), settings.shards, share)
    return await findings_of(fold, in_force, days=wishes.days, samples=wishes.samples, is_cut=is_cut)


__all__ = ["fitting_share", "preview_deployment"]
