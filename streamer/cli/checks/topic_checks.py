"""Checks of topics: that they are there with one partition a shard, and that the log keeps what it is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aiokafka.admin import AIOKafkaAdminClient

from streamer.language.durations import format_duration
from streamer.settings import Settings
from streamer.transports.kafka.events_topic import alter, describe
from streamer.wire import EVENTS

from .finding import CheckResult, ok, warning, wrong


def check_partitions(settings: Settings, suffix: str, partitions: int | None, *, begun: bool) -> CheckResult:
    """A topic has one partition a shard; ``partitions`` is None where it is not there."""
    name, place = settings.topic(suffix), f"topic {settings.topic(suffix)}"
    if partitions is None:
        if not begun:
            return warning(place, "not there yet", "`streamer segments publish` and `streamer worker` create it")
        remedy = (
            "the log that the shards read is gone: see whether STREAMER_KAFKA and STREAMER_TOPIC_PREFIX are the right ones, "
            "or begin anew under another namespace"
        )
        return wrong(place, "not there, although shards have read from it", remedy)
    if partitions == settings.shards:
        return ok(place, f"{partitions} partitions")
    remedy = (
        f"set STREAMER_SHARDS to {partitions} if {name} is the right topic; partitions cannot be added or taken away under a running log"
    )
    return wrong(place, f"{partitions} partitions, STREAMER_SHARDS is {settings.shards}", remedy)


async def check_events_topic(settings: Settings, admin: AIOKafkaAdminClient) -> list[CheckResult]:
    """How the events topic is set up: the promises of time and of completeness stand on it."""
    place = f"settings of topic {settings.topic(EVENTS)}"
    found = await describe(admin, settings.topic(EVENTS))
    if found is None:
        remedy = "nothing to do for the embedded broker; elsewhere give this user DescribeConfigs on the topic"
        return [warning(place, "cannot tell: the broker does not describe its topics to us", remedy)]
    results = [*_time_stamps(settings, place, found), *_compaction(settings, place, found), *_retention(settings, place, found)]
    return results or [ok(place, "LogAppendTime, not compacted, kept for ever")]


def _time_stamps(settings: Settings, place: str, found: Mapping[str, str]) -> Iterator[CheckResult]:
    key, wanted = "message.timestamp.type", "LogAppendTime"
    value = found.get(key, "unknown")
    if value == wanted:
        return
    if settings.trust_producer_time:
        remedy = "see that every producer has the right time: one that is ahead makes everybody's events late"
        yield warning(place, f"{key} is {value}, and STREAMER_TRUST_PRODUCER_TIME trusts the producers' clocks", remedy)
    else:
        yield wrong(place, f"{key} is {value}: producers' clocks would decide what time it is", alter(settings, f"{key}={wanted}"))


def _compaction(settings: Settings, place: str, found: Mapping[str, str]) -> Iterator[CheckResult]:
    key, wanted = "cleanup.policy", "delete"
    if (value := found.get(key, "unknown")) != wanted:
        yield wrong(place, f"{key} is {value}: compaction takes records out of the story", alter(settings, f"{key}={wanted}"))


def _retention(settings: Settings, place: str, found: Mapping[str, str]) -> Iterator[CheckResult]:
    ms, size = found.get("retention.ms", "-1"), found.get("retention.bytes", "-1")
    if ms == "-1" and size == "-1":
        return
    limits = [format_duration(int(ms)) if ms.isdigit() else "", f"{int(size):,} bytes" if size.isdigit() else ""]
    yield warning(
        place,
        f"records vanish after {' or '.join(limit for limit in limits if limit)}: a shard that is further behind halts, "
        "and an empty store cannot be filled again",
        alter(settings, "retention.ms=-1,retention.bytes=-1") + ", or keep backups of the store",
    )
