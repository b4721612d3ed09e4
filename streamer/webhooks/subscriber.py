"""One subscription at work: the shards that its group deals to this process, their changes put into lanes, delivered, and noted as done.

Everything here may be interrupted: what is noted is only what is done, so whoever goes on delivers each change that is not, and
some once more, under the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import aclosing, suppress
from typing import Final

import structlog
from aiokafka.errors import ConsumerStoppedError, KafkaError
from aiokafka.structs import ConsumerRecord
from structlog.typing import FilteringBoundLogger

from streamer.errors import place_of
from streamer.settings import Settings
from streamer.telemetry.webhook_metrics import WebhookMetrics
from streamer.transports.kafka.noted_consumer import Noted, NotedConsumer, StartingPlace
from streamer.transports.kafka.partition import read_partition
from streamer.wire import CHANGES

from .delivery import Endpoint
from .feed import ChangeFeed, read_change
from .lanes import DeliveryLane, PendingChange, ShardLanes, lane_of
from .subscription import ChangeHead, Subscription, is_wanted

FETCH_RECORDS: Final = 500
NOTE_SECONDS: Final = 0.5  # between two commits: what a crash lets go out once more
FAST_NOTES: Final = 10  # of them one is of all shards, the others of those in which something was done
HAND_OVER_SECONDS: Final = 4.0  # for requests that are under way when their shard goes
PAUSE_SECONDS: Final = 1.0  # after an error of Kafka
ROOM_SECONDS: Final = 0.1  # between two looks for room while old changes are read once more

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.webhooks")


class _DealtShard:
    """A shard that is this process's: its lanes, and the tasks that work on them. ``feed.ChangeListener``."""

    def __init__(self, subscriber: Subscriber, number: int, lanes: ShardLanes) -> None:
        self.number = number
        self.lanes = lanes
        self._subscriber = subscriber
        self.at_work: dict[int, asyncio.Task[None]] = {}  # by lane
        self.catching_up: asyncio.Task[None] | None = None
        self.has_room = asyncio.Event()  # a change is done since this was cleared
        self.has_news = True  # something was done, or tried, that is not noted
        self.is_leaving = False  # nothing new is begun
        self.noted: Noted | None = None

    def take(self, head: ChangeHead, change: PendingChange) -> None:
        if change.offset >= self.lanes.read:  # what lies before was read by whoever had the shard before
            self._subscriber.take(self, head, change)

    def reached(self, offset: int) -> None:
        self.lanes.read = max(self.lanes.read, offset)

    def passed(self, begin: int) -> None:
        self._subscriber.lost(self, self.lanes.read, begin)

    def tasks(self) -> list[asyncio.Task[None]]:
        return [*self.at_work.values(), *([self.catching_up] if self.catching_up is not None else [])]


class Subscriber:
    """Delivers one subscription's changes of the shards that its group deals to this process. ``problem`` says why it cannot."""

    def __init__(
        self, settings: Settings, subscription: Subscription, endpoint: Endpoint, feed: ChangeFeed, metrics: WebhookMetrics
    ) -> None:
        self.problem = ""
        self._feed = feed
        self._settings = settings
        self._subscription = subscription
        self._endpoint = endpoint
        self._metrics = metrics
        self._shards: dict[int, _DealtShard] = {}
        start = StartingPlace(subscription.start.at_ms, subscription.start.offsets)
        self._consumer = NotedConsumer(settings, CHANGES, subscription.group(settings.group), start, self)

    @property
    def why_not_ready(self) -> str:
        """What keeps it from its work; empty while all is well."""
        return self.problem or ("" if self._consumer.is_dealt else "the group has not dealt its shards yet")

    async def run(self) -> None:
        """Until cancelled; then what is under way may end, and what is done is noted. KafkaError where the group cannot be joined."""
        noting = asyncio.create_task(self._keep_noting())
        try:
            await self._consumer.start()
            await self._attend()
        finally:
            noting.cancel()
            await self._leave()

    async def _leave(self) -> None:
        notes = await self.taken_away([*self._shards])
        try:
            await self._consumer.commit(notes)
        except KafkaError as error:
            log.warning("not noted at the end: some go out again", action="webhooks", why=type(error).__name__)
        await self._consumer.stop()
        self._metrics.forget(self._subscription.name)

    async def _attend(self) -> None:
        while True:
            try:
                await self._consumer.attend()
                self.problem = ""
            except ConsumerStoppedError:
                return
            except KafkaError as error:
                self.problem = f"the group cannot be asked: {type(error).__name__}"
                await asyncio.sleep(PAUSE_SECONDS)

    # lanes

    def take(self, shard: _DealtShard, head: ChangeHead, change: PendingChange) -> None:
        """A change that was read for the first time."""
        if not is_wanted(self._subscription.wants, head):
            return
        lane = shard.lanes.offer(lane_of(head.subject), change)
        if lane is not None:
            self._work_on(shard, lane)
        else:
            self._catch_up(shard)

    def _work_on(self, shard: _DealtShard, lane: DeliveryLane) -> None:
        if lane.number not in shard.at_work and lane.queue and not shard.is_leaving:
            shard.at_work[lane.number] = asyncio.create_task(self._deliver(shard, lane))

    async def _deliver(self, shard: _DealtShard, lane: DeliveryLane) -> None:
        """Deliver what a lane has, one after the other."""
        try:
            while lane.queue and not shard.is_leaving:
                try:
                    shard.has_news = True
                    await self._endpoint.deliver(lane, lane.queue[0])
                except Exception as error:
                    log.error("fault", action="webhooks", shard=shard.number, why=type(error).__name__, place=place_of(error))
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                shard.lanes.done(lane)
                shard.has_news = True
                shard.has_room.set()
                if lane.missed is not None:
                    self._catch_up(shard)
        finally:
            del shard.at_work[lane.number]

    def _catch_up(self, shard: _DealtShard) -> None:
        """Give lanes what they missed: at once what is still at hand, and by a task what must be read from Kafka once more."""
        if shard.catching_up is not None or shard.is_leaving:
            return
        is_older = False
        for lane in shard.lanes.missing():
            is_older = not shard.lanes.catch_up(lane) or is_older
            self._work_on(shard, lane)
        if is_older:
            shard.catching_up = asyncio.create_task(self._catch_up_from_kafka(shard))

    async def _catch_up_from_kafka(self, shard: _DealtShard) -> None:
        """Until no lane that may go on misses anything older than what is at hand."""
        lanes = shard.lanes
        try:
            while older := [lane for lane in lanes.missing() if not lanes.catch_up(lane)]:
                begin = min(lane.missed for lane in older if lane.missed is not None)
                try:
                    kept = await self._feed.first_kept(shard.number)
                    if kept > begin:
                        self.lost(shard, begin, kept)
                    await self._read_again(shard, max(begin, kept), {lane.number: lane for lane in older})
                except (KafkaError, TimeoutError) as error:
                    log.warning("changes cannot be read again", action="webhooks", shard=shard.number, why=type(error).__name__)
                    await asyncio.sleep(PAUSE_SECONDS)
                for lane in lanes:
                    self._work_on(shard, lane)
        finally:
            shard.catching_up = None
        for lane in lanes:
            self._work_on(shard, lane)

    async def _read_again(self, shard: _DealtShard, begin: int, lanes: dict[int, DeliveryLane]) -> None:
        """One pass over what lanes missed. A lane that fails meanwhile, or has no room for long, stays where it is for the next one."""
        end, known = begin, shard.lanes.recent_from
        async with aclosing(read_partition(self._settings, CHANGES, shard.number, begin=begin, max_records=FETCH_RECORDS)) as batches:
            async for records in batches:
                for record in records:
                    if record.offset >= shard.lanes.recent_from or not lanes:
                        end = record.offset
                        break
                    end = record.offset + 1
                    await self._give_again(shard, lanes, record)
                else:
                    continue
                break
            else:
                end = max(end, known)  # what lay up to there was read: where nothing more came, nothing more is
        for lane in lanes.values():
            if lane.missed is not None:
                lane.missed = max(lane.missed, end)

    async def _give_again(self, shard: _DealtShard, lanes: dict[int, DeliveryLane], record: ConsumerRecord[bytes, bytes]) -> None:
        found = read_change(record, self._metrics)
        if found is None or not is_wanted(self._subscription.wants, found[0]):
            return
        lane = lanes.get(lane_of(found[0].subject))
        if lane is None or lane.missed is None or record.offset < lane.missed:
            return
        while not shard.lanes.has_room(lane) and not lane.is_blocked:
            shard.has_room.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(ROOM_SECONDS):  # a lane that fails meanwhile sets nothing
                    await shard.has_room.wait()
        if lane.is_blocked:
            lane.missed = record.offset
            del lanes[lane.number]
            return
        shard.lanes.offer_again(lane, found[1])
        self._work_on(shard, lane)

    def lost(self, shard: _DealtShard, position: int, begin: int) -> None:
        """What lay before ``begin`` is deleted and cannot be delivered any more: lanes that miss it go on there."""
        log.error("changes were deleted before they were delivered", action="webhooks", shard=shard.number, position=position, begin=begin)
        self._metrics.lost.labels(self._subscription.name).inc(max(0, begin - position))
        shard.lanes.moved(begin)

    # what is done

    async def _keep_noting(self) -> None:
        """Note soon what was done, and seldom that shards were read in which nothing was to be done."""
        turn = self._subscription.digest[0]  # not all subscriptions of a process at the same moment
        await asyncio.sleep(NOTE_SECONDS * int(turn, 16) / 16)
        while True:
            for fast in range(FAST_NOTES):
                await asyncio.sleep(NOTE_SECONDS)
                await self._note_done([shard for shard in self._shards.values() if shard.has_news or not fast])
            self._show()
            for shard in self._shards.values():
                self._catch_up(shard)

    async def _note_done(self, shards: list[_DealtShard]) -> None:
        notes: dict[int, Noted] = {}
        for shard in shards:
            shard.has_news = False
            if (noted := self._note(shard)) != shard.noted:
                notes[shard.number] = noted
        try:
            if notes and await self._consumer.commit(notes):
                for number in notes.keys() & self._shards.keys():
                    self._shards[number].noted = notes[number]
        except KafkaError as error:
            self.problem = f"the group cannot be told what is done: {type(error).__name__}"

    def _note(self, shard: _DealtShard) -> Noted:
        return Noted(shard.lanes.position(), shard.lanes.text(self._endpoint.circuit.failing_since_ms))

    def _show(self) -> None:
        name, metrics = self._subscription.name, self._metrics
        metrics.blocked.labels(name).set(sum(shard.lanes.blocked for shard in self._shards.values()))
        undone = sum(shard.lanes.read - shard.lanes.position() for shard in self._shards.values())
        metrics.behind.labels(name).set(undone + sum(map(self._feed.behind, self._shards)))
        metrics.failing.labels(name).set(self._endpoint.failing_seconds)

    # the group: ``transports.kafka.noted_consumer.Owner``

    def dealt(self, partition: int, noted: Noted) -> None:
        """See ``Owner``."""
        lanes = ShardLanes.restored(noted.offset, noted.note)
        lanes.join(self._feed.position(partition))
        self._shards[partition] = shard = _DealtShard(self, partition, lanes)
        self._feed.listen(partition, shard)
        lanes.forget_failures(before_ms=self._subscription.resumed_ms)
        self._endpoint.circuit.remember(lanes.failing_since_ms)
        self._catch_up(shard)

    async def taken_away(self, partitions: Collection[int]) -> Mapping[int, Noted]:
        """See ``Owner``: requests that are under way may end, for a while."""
        leaving = [shard for number in partitions if (shard := self._shards.get(number)) is not None]
        for shard in leaving:
            shard.is_leaving = True
            self._feed.leave(shard.number, shard)
            if shard.catching_up is not None:
                shard.catching_up.cancel()
            for lane in shard.lanes:
                if (lane.is_blocked or self._endpoint.circuit.is_open) and lane.number in shard.at_work:
                    shard.at_work[lane.number].cancel()
        await _ended(task for shard in leaving for task in shard.tasks())
        for shard in leaving:
            self._shards.pop(shard.number, None)
        return {shard.number: self._note(shard) for shard in leaving}


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Let them end, and end what does not in time."""
    waiting = [*tasks]
    if not waiting:
        return
    _, late = await asyncio.wait(waiting, timeout=HAND_OVER_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
