# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""``streamer doctor``: what is wrong with an installation, and how to mend it.

It looks and changes nothing: no topic is created, nothing is written, no shard is acquired. It may be run beside workers, and a shard
that moves on while it looks is no fault.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

import msgspec
import typer

from streamer.errors import HaltError, SettingsError, StoreError
from streamer.flow.checkpoint import CheckpointBody, decode_body
from streamer.flow.published import Published, manifest_of
from streamer.language.durations import format_duration
from streamer.settings import FILE_VARIABLE, load_settings, similar_setting, unknown_variables
from streamer.signing import Keyring
from streamer.stores.base import Checkpoint
from streamer.stores.documents import definitions_document
from streamer.values import time_text
from streamer.wire import AMENDMENTS, DEAD_LETTERS, DEFINITIONS, EVENTS, TOPICS, decode_outputs
from streamer.worker.status.shard_state import ShardState

from . import EXIT_CODES, EXIT_NO, EXIT_SETTINGS
from .say import say, say_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamer.settings import Settings
    from streamer.stores.base import Store
    from streamer.stores.health import Severity
    from streamer.worker.status.shard_notes import ShardNote

KAFKA_SECONDS: Final = 15.0
STILL_SECONDS: Final = 60  # besides the time between two heartbeats; so long without one is no owner, or one that hangs
ACQUIRING_SECONDS: Final = 30  # a rebalance, or a worker that just started
LAG_RECORDS: Final = 10_000
OUTBOX_ENTRIES: Final = 10  # entries are read whole and may be a megabyte: enough to say that there are some
NAMES_SHOWN: Final = 5

Verdict = Literal["ok", "warning", "wrong"]
TopicState = Literal["absent", "there", "unknown"]


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at: what was found, and how to mend it unless it is ``ok``."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""


class Ends(NamedTuple):
    """The first offset of a partition and the one behind its last."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class StoredShard:
    """What the store knows of one shard; ``body`` is None when nobody has run it yet."""

    number: int
    checkpoint: Checkpoint
    body: CheckpointBody | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    summary = "Say what is amiss with Kafka, the store and the settings, and how to mend it."
    app.command("doctor", epilog=EXIT_CODES, short_help=summary)(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="one JSON object a check")] = False) -> None:
    """Look at settings, Kafka, the store, definitions and shards; say what is wrong and how to mend it.

    Changes nothing. Exit code 1 if something is wrong, 3 if the settings are unusable; warnings alone are 0.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it has to say becomes a check
    try:
        settings = load_settings()
    except SettingsError as error:
        mend = f"correct the variable, or its line in the file named by {FILE_VARIABLE}; `streamer config` lists all"
        _print([Check("settings", "wrong", str(error), mend)], as_json=as_json)
        raise typer.Exit(EXIT_SETTINGS) from None
    checks = asyncio.run(examine(settings))
    _print(checks, as_json=as_json)
    if any(check.verdict == "wrong" for check in checks):
        raise typer.Exit(EXIT_NO)


def _print(checks: Sequence[Check], *, as_json: bool) -> None:
    for check in checks:
        if as_json:
            say_json(check)
            continue
        say(f"{check.verdict:<8} {check.name}: {check.found}")
        if check.mend:
            say(f"{'':<8} -> {check.mend}")
    if not as_json:
        counts = {verdict: sum(check.verdict == verdict for check in checks) for verdict in ("ok", "warning", "wrong")}
        say()
        say(f"{counts['ok']} ok, {counts['warning']} warnings, {counts['wrong']} wrong")


async def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which one would mend them."""
    try:
        store = settings.open_store()
    except SettingsError as error:
        return [Check("settings", "wrong", str(error), "correct it; `streamer config` shows what is in force")]
    try:
        kept = await _store(settings, store)
        shards = await _shards(settings, store) if kept[0].verdict == "ok" else None
        topics, ends, published = await _kafka(settings, begun=any(shard.body is not None for shard in shards or ()))
        found = [*_settings(settings), *topics, *kept]
        if shards is not None:
            found += [
                *_manifest(settings, published),
                *await _definitions(published, store, shards),
                *_progress(shards, ends, int(time() * 1_000), settings.tick),
                *_signing(settings.keyring, shards),
                *_owners(await _notes(settings, store), settings, int(time() * 1_000)),
                await _outbox(store, shards),
            ]
    finally:
        await store.close()
    return found


# settings -------------------------------------------------------------------------------------------------------------


def _settings(settings: Settings) -> list[Check]:
    found = [Check("settings", "ok", f"{settings.shards} shards of {settings.topic(EVENTS)}, state under {settings.namespace!r}")]
    for name in unknown_variables():
        hint = similar_setting(name.removeprefix("STREAMER_"))
        found.append(
            Check(
                "settings", "warning", f"{name} is no setting{hint}: nobody reads it", "correct its name, or take it out of the environment"
            )
        )
    password, protocol = settings.kafka_password, settings.kafka_security_protocol
    if settings.kafka_username is not None and protocol in {"PLAINTEXT", "SSL"}:
        mend = "set STREAMER_KAFKA_SECURITY_PROTOCOL to SASL_SSL"
        found.append(Check("settings", "warning", f"a Kafka user is set, and {protocol} does not log in", mend))
    if password is not None and protocol == "SASL_PLAINTEXT":
        found.append(
            Check("settings", "warning", "the Kafka password travels unencrypted", "set STREAMER_KAFKA_SECURITY_PROTOCOL to SASL_SSL")
        )
    return found


# Kafka ----------------------------------------------------------------------------------------------------------------


async def _kafka(settings: Settings, *, begun: bool) -> tuple[list[Check], Mapping[int, Ends], Published | None]:
    """Checks of broker and topics, the ends of the log by shard, and what was published, as far as they can be read."""
    from aiokafka.errors import KafkaError

    try:
        return await asyncio.wait_for(_look_at_kafka(settings, begun=begun), KAFKA_SECONDS)
    except (TimeoutError, KafkaError, OSError, ValueError) as error:
        why = f"no answer in {KAFKA_SECONDS:g} s" if isinstance(error, asyncio.TimeoutError) else _reason(error)
        mend = "see whether it runs and STREAMER_KAFKA, STREAMER_KAFKA_SECURITY_PROTOCOL and the credentials are those of its listener"
        return [Check("kafka", "wrong", f"no broker at {settings.kafka}: {why}", mend)], {}, None


def _reason(error: Exception) -> str:
    """What went wrong, without the texts of libraries in which credentials may stand."""
    if isinstance(error, FileNotFoundError):
        return "the file of STREAMER_KAFKA_CA_FILE is not there"
    return type(error).__name__


async def _look_at_kafka(settings: Settings, *, begun: bool) -> tuple[list[Check], Mapping[int, Ends], Published | None]:
    from aiokafka.admin import AIOKafkaAdminClient

    from streamer.transports.kafka.clients import connection
    from streamer.transports.kafka.definitions_topic import read_published
    from streamer.transports.kafka.journal import refused_amendments

    admin = AIOKafkaAdminClient(**connection(settings), request_timeout_ms=5_000)
    try:
        await admin.start()
        # All topics at once: asking for one by name would make it on a broker that creates topics by itself.
        existing = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
        found = [Check("kafka", "ok", f"a broker answers at {settings.kafka}, {len(existing)} topics")]
        found += [_topic(settings, suffix, existing.get(settings.topic(suffix)), begun=begun) for suffix in TOPICS]
        partitions = existing.get(settings.topic(EVENTS))
        try:
            published = await read_published(settings) if settings.topic(DEFINITIONS) in existing else Published()
            amended = await refused_amendments(settings) if settings.topic(AMENDMENTS) in existing and published.keys else {}
        except HaltError as error:
            mend = "add it to STREAMER_SIGNING_KEYS, here and for every worker"
            return [*found, Check("signing keys", "wrong", str(error), mend)], {}, None
        found += _refused(published, amended)
        if partitions is None:
            return found, {}, published
        found += await _topic_settings(settings, admin)
    finally:
        await admin.close()
    return [*found, *await _transactions(settings, partitions)], await _ends(settings, partitions), published


def _refused(published: Published, amended: Mapping[int, int]) -> list[Check]:
    """Records that somebody wrote who has no key that holds, where people and workers rule the log."""
    mend = "nobody obeys them; see who may write into these topics, and whether STREAMER_SIGNING_KEYS is the same everywhere"
    found: list[Check] = []
    if published.refused:
        what = f"{len(published.refused)} records of their topic are not signed as they must be"
        found.append(Check("definitions", "warning", what, mend))
    if amended:
        where = f"{sum(amended.values())} records of {_numbers(sorted(amended))}"
        found.append(Check("amendments", "warning", f"{where} are not signed as they must be", mend))
    return found


async def _transactions(settings: Settings, partitions: int) -> list[Check]:
    """Transactions that somebody left open in the log."""
    from streamer.transports.kafka.open_transactions import FIND, HELD_SECONDS, open_since

    now_ms = int(time() * 1_000)
    mend = FIND.format(kafka=settings.kafka, topic=settings.topic(EVENTS))
    return [
        Check(
            f"shard {shard}",
            "wrong",
            f"an open transaction holds its log at offset {offset} since {time_text(at_ms)}: nothing behind it is read, ticks too",
            mend,
        )
        for shard, (offset, at_ms) in sorted((await open_since(settings, partitions)).items())
        if now_ms - at_ms > HELD_SECONDS * 1_000
    ]


def _topic(settings: Settings, suffix: str, partitions: int | None, *, begun: bool) -> Check:
    name, place = settings.topic(suffix), f"topic {settings.topic(suffix)}"
    if partitions is None:
        if begun:
            mend = (
                "the log that the shards read is gone: see whether STREAMER_KAFKA and STREAMER_TOPIC_PREFIX are the right ones, "
                "or begin anew under another namespace"
            )
            return Check(place, "wrong", "not there, although shards have read from it", mend)
        return Check(place, "warning", "not there yet", "`streamer segments publish` and `streamer worker` create it")
    if partitions != settings.shards:
        mend = (
            f"set STREAMER_SHARDS to {partitions} if {name} is the right topic; "
            "partitions cannot be added or taken away under a running log"
        )
        return Check(place, "wrong", f"{partitions} partitions, STREAMER_SHARDS is {settings.shards}", mend)
    return Check(place, "ok", f"{partitions} partitions")


async def _ends(settings: Settings, partitions: int) -> dict[int, Ends]:
    """First and last offsets of the log, by shard."""
    from aiokafka import AIOKafkaConsumer, TopicPartition

    from streamer.transports.kafka.clients import connection

    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False, request_timeout_ms=5_000)
    try:
        await consumer.start()
        log = [TopicPartition(settings.topic(EVENTS), number) for number in range(partitions)]
        begins, ends = await consumer.beginning_offsets(log), await consumer.end_offsets(log)
        return {partition.partition: Ends(begins[partition], ends[partition]) for partition in log}
    finally:
        await consumer.stop()


async def _topic_settings(settings: Settings, admin: Any) -> list[Check]:
    """How the events topic is set up: the promises of time and of completeness stand on it."""
    from streamer.transports.kafka.events_topic import alter, describe

    name = settings.topic(EVENTS)
    found = await describe(admin, name)
    place = f"settings of topic {name}"
    if found is None:
        mend = "nothing to do for the embedded broker; elsewhere give this user DescribeConfigs on the topic"
        return [Check(place, "warning", "cannot tell: the broker does not describe its topics to us", mend)]
    checks: list[Check] = []
    for key, wanted, why in (
        ("message.timestamp.type", "LogAppendTime", "producers' clocks would decide what time it is"),
        ("cleanup.policy", "delete", "compaction takes records out of the story"),
    ):
        value = found.get(key, "unknown")
        if value != wanted and key == "message.timestamp.type" and settings.trust_producer_time:
            mend = "see that every producer has the right time: one that is ahead makes everybody's events late"
            checks.append(Check(place, "warning", f"{key} is {value}, and STREAMER_TRUST_PRODUCER_TIME trusts the producers' clocks", mend))
        elif value != wanted:
            checks.append(Check(place, "wrong", f"{key} is {value}: {why}", alter(settings, f"{key}={wanted}")))
    if found.get("retention.ms", "-1") != "-1" or found.get("retention.bytes", "-1") != "-1":
        limit = _retention(found)
        checks.append(
            Check(
                place,
                "warning",
                f"records vanish after {limit}: a shard that is further behind halts, and an empty store cannot be filled again",
                alter(settings, "retention.ms=-1,retention.bytes=-1") + ", or keep backups of the store",
            )
        )
    return checks or [Check(place, "ok", "LogAppendTime, not compacted, kept for ever")]


def _retention(found: Mapping[str, str]) -> str:
    ms, size = found.get("retention.ms", "-1"), found.get("retention.bytes", "-1")
    limits = [format_duration(int(ms)) if ms.isdigit() else "", f"{int(size):,} bytes" if size.isdigit() else ""]
    return " or ".join(limit for limit in limits if limit)


# the store ------------------------------------------------------------------------------------------------------------


async def _store(settings: Settings, store: Store) -> list[Check]:
    """The first of them says whether the store can be asked further."""
    address = settings.shown()["store"]
    try:
        health = await store.health()
    except StoreError as error:
        mend = "see whether it runs, and whether STREAMER_STORE has its address, user and password"
        return [Check("store", "wrong", f"no answer from {address}: {str(error).split(':', 1)[0]}", mend)]
    verdicts: dict[Severity, Verdict] = {"danger": "wrong", "unfit": "wrong", "advice": "warning"}
    found = [Check("store", verdicts[finding.severity], finding.found, finding.remedy) for finding in health.findings]
    return [Check("store", "ok", f"answers at {address}: {health.description}"), *found]


async def _shards(settings: Settings, store: Store) -> list[StoredShard]:
    found: list[StoredShard] = []
    for number in range(settings.shards):
        checkpoint = await store.checkpoint(number)
        found.append(StoredShard(number, checkpoint, decode_body(checkpoint.body) if checkpoint.body else None))
    return found


# what the store holds -------------------------------------------------------------------------------------------------


def _manifest(settings: Settings, published: Published | None) -> list[Check]:
    if published is None:
        return []
    kept = published.manifest
    if kept is None:
        mend = "`streamer segments publish` or `worker` writes it once; from then on shards, lateness, skew and placeholder ids are fixed"
        return [Check("manifest", "warning", "none yet: the log has not begun", mend)]
    differing = kept.differences(manifest_of(settings.topic_prefix, settings.rules))
    if differing:
        mend = "set them back; to begin another log, use another STREAMER_NAMESPACE and STREAMER_TOPIC_PREFIX"
        return [Check("manifest", "wrong", f"the log was begun with other settings: {'; '.join(differing)}", mend)]
    lateness, skew = format_duration(kept.rules.lateness_ms), format_duration(kept.rules.skew_ms)
    return [Check("manifest", "ok", f"fits the settings: {kept.rules.shards} shards, lateness {lateness}, skew {skew}")]


async def _definitions(published: Published | None, store: Store, shards: Sequence[StoredShard]) -> list[Check]:
    """What was published, and what holds where."""
    if published is None:
        return []
    newest = published.newest
    if newest is None:
        return [Check("definitions", "warning", "none were published: nobody enters a segment", "streamer segments publish PATH")]
    by_version: dict[int, list[int]] = {}
    for shard in shards:
        by_version.setdefault(shard.body.version if shard.body is not None else 0, []).append(shard.number)
    shown = "; ".join(
        f"{f'version {version}' if version else 'none'} in {_numbers(numbers)}" for version, numbers in sorted(by_version.items())
    )
    lost = [
        body.digest
        for number, body in ((shard.number, shard.body) for shard in shards)
        if body is not None and body.digest and await store.get_document(definitions_document(body.digest), shard=number) is None
    ]
    if lost:
        return [
            Check(
                "definitions",
                "wrong",
                f"{', '.join(dict.fromkeys(lost))} hold in shards and are not in the store",
                "streamer shards rebuild SHARD for each of them",
            )
        ]
    if len(by_version) > 1 or 0 in by_version:
        mend = "a publication reaches a shard when its worker reads it: start workers; they also finish what a publisher left undone"
        return [Check("definitions", "warning", f"version {newest.version} was published last; {shown}", mend)]
    return [Check("definitions", "ok", f"version {newest.version} was published last; {shown}")]


def _progress(shards: Sequence[StoredShard], ends: Mapping[int, Ends], now_ms: int, tick_ms: int) -> list[Check]:
    """Where the shards stand against the log, and whether time passes in them."""
    begun = [shard for shard in shards if shard.body is not None]
    if not begun:
        return [Check("shards", "warning", "no shard has a checkpoint yet", "streamer worker")]
    found: list[Check] = []
    idle = [shard.number for shard in shards if shard.body is None]
    if idle:
        found.append(
            Check("shards", "warning", f"no checkpoint yet in {_numbers(idle)}", "start a worker, and see whether it owns them: /readyz")
        )
    beyond = [shard.number for shard in begun if shard.number in ends and shard.checkpoint.position.offset > ends[shard.number].end]
    if beyond:
        mend = "the topic was made anew, or Kafka lost its end: restore the topic, or see `streamer shards rebuild --help`"
        found.append(Check("shards", "wrong", f"the log ends before the position of {_numbers(beyond)}", mend))
    before = [shard.number for shard in begun if shard.number in ends and shard.checkpoint.position.offset < ends[shard.number].begin]
    if before:
        mend = "restore a newer store, or go on without them: `streamer shards resume SHARD --at OFFSET`; then set retention.ms to -1"
        found.append(Check("shards", "wrong", f"records that {_numbers(before)} have not read are gone from the log", mend))
    found.append(_lag(begun, ends))
    found += _set_aside(begun)
    found += _unsigned(begun)
    found.append(_log_time(begun, now_ms, tick_ms))
    return found


def _log_time(begun: Sequence[StoredShard], now_ms: int, tick_ms: int) -> Check:
    """Whether time passes in the shards; ``tick_ms`` is the time between two heartbeats of a quiet one, 0 where there are none."""
    times = {shard.number: shard.body.log_time_ms for shard in begun if shard.body is not None}
    slowest = time_text(min(times.values()))
    still = [number for number, log_time_ms in times.items() if now_ms - log_time_ms > tick_ms + STILL_SECONDS * 1_000]
    if not tick_ms:
        return Check("log time", "ok", f"passes with events alone, as STREAMER_TICK is 0; the slowest shard is at {slowest}")
    if still:
        mend = "start a worker; if one runs, its /readyz and log say why these shards stand still"
        return Check("log time", "warning", f"stands still in {_numbers(still)} since {slowest}", mend)
    return Check("log time", "ok", f"passes in all shards, the slowest is at {slowest}")


def _set_aside(begun: Sequence[StoredShard]) -> list[Check]:
    """Customers whose timers do not run, since an error of ours came twice with them."""
    counts = {shard.number: shard.body.aside for shard in begun if shard.body is not None and shard.body.aside}
    if not counts:
        return []
    mend = "their next event tries again; the worker's alerts name the class of the error: report it, or install a release that mends it"
    return [
        Check("customers set aside", "warning", f"{sum(counts.values()):,} in {_numbers(sorted(counts))}: their timers do not run", mend)
    ]


def _unsigned(begun: Sequence[StoredShard]) -> list[Check]:
    """Shards whose control records anybody may write who may write events."""
    unsigned = [shard.number for shard in begun if shard.body is not None and not shard.body.trust.keys]
    if not unsigned:
        return []
    mend = "`streamer keys new` draws a key for STREAMER_SIGNING_KEYS, `streamer keys use` makes it hold"
    why = "whoever may write events may also publish definitions and erase customers"
    return [Check("control records", "warning", f"are not signed in {_numbers(unsigned)}: {why}", mend)]


def _signing(keyring: Keyring, shards: Sequence[StoredShard]) -> list[Check]:
    """Whether the shards obey what is signed with the keys in the settings here."""
    refusals = {shard.number: keyring.refusal(shard.body.trust.keys) for shard in shards if shard.body is not None}
    refusing = [number for number, refusal in refusals.items() if refusal]
    if not refusing:
        return []
    mend = "give this process, and every worker, the keys that `streamer keys list` names, and put one of them first"
    return [Check("signing keys", "warning", f"{_numbers(refusing)} would refuse what is signed here: {refusals[refusing[0]]}", mend)]


def _lag(begun: Sequence[StoredShard], ends: Mapping[int, Ends]) -> Check:
    epochs = [shard.checkpoint.epoch for shard in begun]
    taken = f"taken over {min(epochs)} to {max(epochs)} times"
    if not ends:
        return Check("shards", "warning", f"{len(begun)} have checkpoints, {taken}; the end of the log is not known", "mend Kafka first")
    lags = {shard.number: max(0, ends[shard.number].end - shard.checkpoint.position.offset) for shard in begun if shard.number in ends}
    worst = max(lags, key=lambda number: lags[number], default=0)
    found = f"{len(begun)} have checkpoints, {taken}; {sum(lags.values()):,} records behind the end of the log"
    if lags and lags[worst] > LAG_RECORDS:
        return Check(
            "shards",
            "warning",
            f"{found}, {lags[worst]:,} of them in shard {worst}",
            "start more workers, up to one a shard; see the batch times in /metrics",
        )
    return Check("shards", "ok", found)


async def _notes(settings: Settings, store: Store) -> list[ShardNote]:
    """What the owners of shards say of them."""
    from streamer.worker.status.shard_notes import read_note

    found = [await read_note(store, number) for number in range(settings.shards)]
    return [note for note in found if note is not None]


def _owners(notes: Sequence[ShardNote], settings: Settings, now_ms: int) -> list[Check]:
    """What the workers say: shards that do not do their work, refused records, zone data that differ."""
    fresh = [note for note in notes if not note.is_stale(now_ms)]
    found = [_trouble(note) for note in fresh if note.status.problem]
    gone = [note for note in notes if note.is_stale(now_ms)]
    if gone:
        workers = ", ".join(sorted({note.worker for note in gone}))
        since = time_text(max(note.at_ms for note in gone))
        mend = "start workers, or see whether those that run reach the store"
        numbers = _numbers([note.status.shard for note in gone])
        found.append(Check("workers", "warning", f"no worker has said anything of {numbers} since {since}; the last was {workers}", mend))
    elif notes and not found:
        workers = len({note.worker for note in fresh})
        found.append(Check("workers", "ok", f"{workers} at work, {len(fresh)} of {settings.shards} shards with an owner"))
    refusing = [note.status.shard for note in fresh if note.refused_ratio > settings.refused_ratio_alert]
    if refusing:
        worst = max(note.refused_ratio for note in fresh)
        mend = "the dead letters say which field of which producer is wrong"
        found.append(
            Check(
                "refused records", "warning", f"up to {worst:.1%} of the newest thousand records of {_numbers(refusing)} are refused", mend
            )
        )
    return [*found, *_zone_data(fresh)]


def _trouble(note: ShardNote) -> Check:
    status = note.status
    name = f"shard {status.shard}"
    if status.state is ShardState.ACQUIRING and status.since_seconds < ACQUIRING_SECONDS:
        return Check(name, "warning", f"{status.problem}, by {note.worker}", "nothing to do: look again in a minute")
    if status.state is ShardState.HALTED:
        return Check(name, "wrong", f"has {status.problem}", _way_out(note))
    mend = f"mend what it names; more is in the log of {note.worker} and under its /readyz"
    return Check(name, "wrong", f"does not do its work: {status.problem}", mend)


def _way_out(note: ShardNote) -> str:
    """A halt that names a command is ended by it, any other by mending what it names."""
    number = note.status.shard
    if "`streamer shards " in note.status.problem:
        return f"do what it names: {note.worker} then takes the shard up by itself; `streamer shards` says how it is doing"
    return (
        f"mend what it names, then start {note.worker} again; where it is the store that is damaged, `streamer shards rebuild {number}` "
        "tells the shard anew from its log, and no worker need be started again"
    )


def _zone_data(fresh: Sequence[ShardNote]) -> list[Check]:
    """Workers with other zone data tell another story of the same log."""
    by_version: dict[str, set[str]] = {}
    for note in fresh:
        by_version.setdefault(note.zones, set()).add(note.worker)
    if len(by_version) < 2:
        return []
    shown = "; ".join(f"{version} on {', '.join(sorted(workers))}" for version, workers in sorted(by_version.items()))
    mend = "install the same release of streamer with its lock (requirements.lock) on all of them"
    return [Check("zone data", "wrong", f"workers have different versions of tzdata: {shown}", mend)]


async def _outbox(store: Store, shards: Sequence[StoredShard]) -> Check:
    waiting: dict[int, int] = {}
    letters = 0
    for shard in shards:
        entries = await store.outbox(shard.number, after=None, limit=OUTBOX_ENTRIES)
        if entries:
            waiting[shard.number] = len(entries)
            letters += sum(output.topic == DEAD_LETTERS for _, blob in entries for output in decode_outputs(blob))
    if not waiting:
        return Check("outbox", "ok", "empty: everything that was committed is published")
    most = max(waiting.values())
    counted = f"{most} or more" if most == OUTBOX_ENTRIES else f"up to {most}"
    among = f", {letters} dead letters among the first" if letters else ""
    mend = (
        "a running worker publishes them within a second; if they stay, start one, or see whether Kafka accepts writes to the output topics"
    )
    return Check("outbox", "warning", f"{counted} commits wait to be published in {_numbers(sorted(waiting))}{among}", mend)


def _numbers(numbers: Sequence[int]) -> str:
    """``shard 3``, ``shards 1, 2, 3``, ``12 shards (0, 1, 2, 3, 4, …)``."""
    if len(numbers) == 1:
        return f"shard {numbers[0]}"
    if len(numbers) <= NAMES_SHOWN:
        return f"shards {', '.join(map(str, numbers))}"
    return f"{len(numbers)} shards ({', '.join(map(str, numbers[:NAMES_SHOWN]))}, …)"
