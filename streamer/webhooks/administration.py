"""What people do to subscriptions: check one before it holds, send an example, let it begin again elsewhere, read what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from secrets import token_hex
from typing import Final

import msgspec
import orjson

from streamer.errors import RefusedError, SettingsError
from streamer.language.definitions import parse_definitions
from streamer.settings import Settings
from streamer.suggest import did_you_mean
from streamer.telemetry.webhook_metrics import WebhookMetrics
from streamer.transports.kafka.clients import producer
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.transports.kafka.event_writer import EventWriter, event_producer
from streamer.transports.kafka.partition import read_partition
from streamer.transports.kafka.source_positions import SourcePosition, read_positions
from streamer.values import Json, time_text
from streamer.wire import CHANGES, WEBHOOK_DEAD, WEBHOOK_LOG

from .addresses import AddressRefusedError, GuardedResolver
from .journal import DeliveryJournal
from .process import guard_of, now_ms
from .records import DeadDelivery, DeliveryLine, decode_dead, decode_line
from .resending import ResendBound, ResendCount, Resender, ResendTools, stretch_of
from .sending import WebhookAttempt, WebhookRequest, sending
from .signatures import signatory_of
from .subscription import Start, Status, Subscription

EXAMPLE: Final = "example"  # the customer of an example, who is nobody


async def check_subscription(settings: Settings, subscription: Subscription) -> None:
    """SettingsError where its segments are not in force, or its address is none that deliveries may go to. Raises KafkaError."""
    known = await _segments_in_force(settings)
    for name in subscription.wants.segments:
        if known is not None and name not in known:
            hint = did_you_mean(name, sorted(known))
            raise SettingsError(f"--segment: there is no segment {name!r} in the definitions in force{f' ({hint})' if hint else ''}")
    try:
        url = guard_of(settings).check_url(subscription.url)
    except SettingsError as error:
        raise SettingsError(f"--url: {error}") from None
    async with _resolver(settings, url.scheme) as resolver:
        try:
            await resolver.resolve(url.raw_host or "", url.port or 0)
        except AddressRefusedError as error:
            raise SettingsError(f"--url: {error}") from None
        except OSError:
            raise SettingsError(f"--url: no address was found for the name {url.host}") from None


@asynccontextmanager
async def _resolver(settings: Settings, scheme: str) -> AsyncGenerator[GuardedResolver]:
    resolver = GuardedResolver(guard_of(settings), scheme)
    try:
        yield resolver
    finally:
        await resolver.close()


async def _segments_in_force(settings: Settings) -> set[str] | None:
    """The names of the segments that were published last; None where nothing was."""
    async with producer(settings) as client:
        topic = DefinitionsTopic(settings, client)
        newest = (await topic.refresh()).newest
        content = await topic.content(newest.version) if newest is not None else None
    return None if content is None else {segment.name for segment in parse_definitions(content).segments}


def merged(before: Subscription | None, fresh: Subscription) -> Subscription:
    """What holds where a subscription is made under a name that may be there: it keeps its id, its position and its round."""
    if before is None:
        return fresh
    return msgspec.structs.replace(fresh, id=before.id, start=before.start, round=before.round, status=before.status, why=before.why)


def with_status(subscription: Subscription, status: Status) -> Subscription:
    """The same, active or paused from now on. Who is resumed is given the whole time anew: schedule, and five days."""
    return msgspec.structs.replace(subscription, status=status, why="", resumed_ms=now_ms())


async def positions_of(settings: Settings, subscription: Subscription) -> dict[int, int | None]:
    """How many records of each shard are not done; None where the group has not read. Raises KafkaError."""
    found = await _positions(settings, subscription)
    return {shard: None if one.offset is None else max(0, one.end - one.offset) for shard, one in found.items()}


async def replayed(
    settings: Settings, subscription: Subscription, *, start: Start | None = None, place: tuple[int, int] | None = None
) -> Subscription:
    """The same, to begin again: at ``start``, or in the shard of ``place`` at that offset and in the others where they are now. Raises
    KafkaError."""
    if place is not None:
        shard, offset = place
        if shard >= settings.shards:
            raise SettingsError(f"--from: there is no shard {shard}: STREAMER_SHARDS is {settings.shards}, they count from 0")
        now = await _positions(settings, subscription)
        offsets = {number: one.offset for number, one in now.items() if one.offset is not None}
        start = Start(at_ms=subscription.start.at_ms, offsets={**subscription.start.offsets, **offsets, shard: offset})
    assert start is not None, "a replay begins somewhere"
    return msgspec.structs.replace(subscription, start=start, round=subscription.round + 1)


async def _positions(settings: Settings, subscription: Subscription) -> dict[int, SourcePosition]:
    found = await read_positions(settings, [settings.topic(CHANGES)], subscription.group(settings.group))
    return {place.partition: one for place, one in sorted(found.items())}


async def resend(
    settings: Settings, subscription: Subscription, begin: ResendBound, end: ResendBound | None, customer: str | None
) -> ResendCount:
    """Send once more, from here and now, what a subscription wants of a stretch of the changes; each attempt stands in the delivery log.
    SettingsError where the stretch is none, or the secrets are not here. Raises KafkaError, TimeoutError."""
    signatory, metrics = signatory_of(subscription.secrets), WebhookMetrics()
    stretch = await stretch_of(settings, begin, end, customer)
    async with event_producer(settings) as client, sending(guard_of(settings), now_ms) as sender:
        journal = DeliveryJournal(EventWriter(settings, client), metrics)
        noting = asyncio.create_task(journal.run())
        try:
            tools = ResendTools(sender, signatory, journal.attempted, now_ms, metrics)
            return await Resender(settings, subscription, tools).resend(stretch)
        finally:
            noting.cancel()  # it writes what it has
            await asyncio.gather(noting, return_exceptions=True)


async def send_example(settings: Settings, subscription: Subscription) -> WebhookAttempt:
    """Send a change that is an example, signed with the secrets that are here; SettingsError where they cannot be used."""
    signatory = signatory_of(subscription.secrets)
    delivery = WebhookRequest(subscription.url, f"test-{token_hex(8)}-{subscription.digest}", _example(settings, subscription))
    async with sending(guard_of(settings), now_ms) as sender:
        return await sender.post(delivery, signatory)


def _example(settings: Settings, subscription: Subscription) -> bytes:
    at = time_text(now_ms())
    segment = subscription.wants.segments[0] if subscription.wants.segments else EXAMPLE
    position = {"generation": 1, "shard": 0, "offset": 0, "ordinal": 0}
    data: dict[str, Json] = {
        "segment": segment,
        "definitions": 0,
        "at": at,
        "sequence": 1,
        "cause": {"kind": "event", "id": EXAMPLE},
        "because": [],
    }
    head = {"specversion": "1.0", "id": "1-0-0-0", "source": settings.source, "type": "segment.entered", "subject": EXAMPLE, "time": at}
    return orjson.dumps({**head, "datacontenttype": "application/json", "data": {**data, "position": position}})


async def read_log(settings: Settings) -> list[DeliveryLine]:
    """All attempts that are kept, oldest first. Raises KafkaError, TimeoutError."""
    found: list[DeliveryLine] = []
    async for raw in _values(settings, WEBHOOK_LOG):
        try:
            found.append(decode_line(raw))
        except RefusedError:
            continue  # of another version
    return found


async def read_dead(settings: Settings) -> list[DeadDelivery]:
    """All changes that were given up and are kept, oldest first. Raises KafkaError, TimeoutError."""
    found: list[DeadDelivery] = []
    async for raw in _values(settings, WEBHOOK_DEAD):
        try:
            found.append(decode_dead(raw))
        except RefusedError:
            continue
    return found


async def _values(settings: Settings, topic: str) -> AsyncGenerator[bytes]:
    async with aclosing(read_partition(settings, topic, 0)) as batches:
        async for records in batches:
            for record in records:
                yield record.value or b""
