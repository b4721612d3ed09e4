"""Checks of the shards as the store has them: where they stand against their logs, whether time passes, and which keys hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from streamer.flow.checkpoint import CheckpointBody
from streamer.signing import Keyring
from streamer.transports.kafka.log_ends import LogEnds
from streamer.units import DAY_MS
from streamer.values import time_text

from .finding import CheckResult, ok, shard_numbers, warning, wrong
from .store_checks import StoredShard

STILL_SECONDS: Final = 60  # besides the time between two heartbeats; so long without one is no owner, or one that hangs
LAG_RECORDS: Final = 10_000
REFUSED_LATELY_MS: Final = DAY_MS  # a link that was refused so long ago is history


def check_progress(shards: Sequence[StoredShard], ends: Mapping[int, LogEnds], now_ms: int, tick_ms: int) -> Iterator[CheckResult]:
    """Where the shards stand against the log, and whether time passes in them. ``ends`` is empty where they are not known.

    ``tick_ms`` is the time between two heartbeats of a quiet shard, 0 where there are none.
    """
    bodies = {shard.number: shard.body for shard in shards if shard.body is not None}
    begun = [shard for shard in shards if shard.number in bodies]
    if not begun:
        yield warning("shards", "no shard has a checkpoint yet", "streamer worker")
        return
    if idle := [shard.number for shard in shards if shard.number not in bodies]:
        yield warning("shards", f"no checkpoint yet in {shard_numbers(idle)}", "start a worker, and see whether it owns them: /readyz")
    yield from _outside_log(begun, ends)
    yield _lag(begun, ends)
    yield from _set_aside(bodies)
    yield from _linked_ids(bodies)
    yield from _unsigned(bodies)
    yield _log_time(bodies, now_ms, tick_ms)


def _outside_log(begun: Sequence[StoredShard], ends: Mapping[int, LogEnds]) -> Iterator[CheckResult]:
    """Shards whose position the log does not have."""
    offsets = {shard.number: shard.checkpoint.position.offset for shard in begun if shard.number in ends}
    if beyond := [number for number, offset in offsets.items() if offset > ends[number].end]:
        remedy = "the topic was made anew, or Kafka lost its end: restore the topic, or see `streamer shards rebuild --help`"
        yield wrong("shards", f"the log ends before the position of {shard_numbers(beyond)}", remedy)
    if before := [number for number, offset in offsets.items() if offset < ends[number].begin]:
        remedy = "restore a newer store, or go on without them: `streamer shards resume SHARD --at OFFSET`; then set retention.ms to -1"
        yield wrong("shards", f"records that {shard_numbers(before)} have not read are gone from the log", remedy)


def _lag(begun: Sequence[StoredShard], ends: Mapping[int, LogEnds]) -> CheckResult:
    epochs = [shard.checkpoint.epoch for shard in begun]
    taken = f"{len(begun)} have checkpoints, taken over {min(epochs)} to {max(epochs)} times"
    if not ends:
        return warning("shards", f"{taken}; the end of the log is not known", "repair Kafka first")
    lags = {shard.number: max(0, ends[shard.number].end - shard.checkpoint.position.offset) for shard in begun if shard.number in ends}
    worst = max(lags, key=lambda number: lags[number], default=0)
    found = f"{taken}; {sum(lags.values()):,} records behind the end of the log"
    if lags and lags[worst] > LAG_RECORDS:
        remedy = "start more workers, up to one a shard; see the batch times in /metrics"
        return warning("shards", f"{found}, {lags[worst]:,} of them in shard {worst}", remedy)
    return ok("shards", found)


def _set_aside(bodies: Mapping[int, CheckpointBody]) -> Iterator[CheckResult]:
    """Customers whose timers do not run, since an error of ours came twice with them."""
    counts = {number: body.aside for number, body in bodies.items() if body.aside}
    if counts:
        remedy = "their next event tries again; the worker's alerts name the class of the error: report it, or install a release without it"
        found = f"{sum(counts.values()):,} in {shard_numbers(sorted(counts))}: their timers do not run"
        yield warning("customers set aside", found, remedy)


def _linked_ids(bodies: Mapping[int, CheckpointBody]) -> Iterator[CheckResult]:
    """How many ids were linked, and how many were refused since their person had too many.

    Numbers are of all time, a warning is of the last day."""
    linked, refused, twice = (
        sum(body.identity.get(what, 0) for body in bodies.values()) for what in ("linked", "link_refused", "seen_twice")
    )
    if not linked and not refused:
        return
    found = f"{linked:,}, and {refused:,} refused: their person had 50 new ids within 30 days" if refused else f"{linked:,}, none refused"
    if refused:
        found += f"; the newest at {time_text(max(body.refused_ms for body in bodies.values()))}"
    if twice:
        found += f"; {twice:,} messages had come under two ids before these were linked, and count twice"
    if still := [number for number, body in bodies.items() if body.refused_ms and body.refused_ms > body.log_time_ms - REFUSED_LATELY_MS]:
        remedy = f"look in {shard_numbers(sorted(still))} for a kiosk, a test account, or one userId that stands for many people"
        yield warning("linked ids", found, remedy)
        return
    yield ok("linked ids", found)


def _unsigned(bodies: Mapping[int, CheckpointBody]) -> Iterator[CheckResult]:
    """Shards whose control records anybody may write who may write events."""
    if unsigned := [number for number, body in bodies.items() if not body.trust.keys]:
        remedy = "`streamer keys new` draws a key for STREAMER_SIGNING_KEYS, `streamer keys use` makes it hold"
        why = "whoever may write events may also publish definitions and erase customers"
        yield warning("control records", f"are not signed in {shard_numbers(unsigned)}: {why}", remedy)


def _log_time(bodies: Mapping[int, CheckpointBody], now_ms: int, tick_ms: int) -> CheckResult:
    slowest = time_text(min(body.log_time_ms for body in bodies.values()))
    if not tick_ms:
        return ok("log time", f"passes with events alone, as STREAMER_TICK is 0; the slowest shard is at {slowest}")
    if still := [number for number, body in bodies.items() if now_ms - body.log_time_ms > tick_ms + STILL_SECONDS * 1_000]:
        remedy = "start a worker; if one runs, its /readyz and log say why these shards stand still"
        return warning("log time", f"stands still in {shard_numbers(still)} since {slowest}", remedy)
    return ok("log time", f"passes in all shards, the slowest is at {slowest}")


def check_signing(keyring: Keyring, shards: Sequence[StoredShard]) -> Iterator[CheckResult]:
    """Whether the shards obey what is signed with the keys in the settings here."""
    refusals = {shard.number: keyring.refusal(shard.body.trust.keys) for shard in shards if shard.body is not None}
    if refusing := [number for number, refusal in refusals.items() if refusal]:
        remedy = "give this process, and every worker, the keys that `streamer keys list` names, and put one of them first"
        yield warning("signing keys", f"{shard_numbers(refusing)} would refuse what is signed here: {refusals[refusing[0]]}", remedy)
