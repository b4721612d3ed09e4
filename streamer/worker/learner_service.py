"""The learner as a service of the worker that owns shard 0: one at a time, the only writer of models.

It reads the examples of all shards, learns in their one order, and writes what it publishes into every shard of the log. Whoever owned
shard 0 before and has not noticed is fenced by the store. A ``model`` record that is written twice changes nothing, so what is in force is
written again at each start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from mode import Service
from structlog.typing import FilteringBoundLogger

from streamer.errors import CommitUnknownError, FencedError, HaltError, KeysLostError, RefusedError, StoreError, place_of
from streamer.flow.published import Versions
from streamer.flow.training import TrainingBatch, TrainingLog
from streamer.flow.training_order import TrainingRecord, read_training_record
from streamer.learning.reports.alerts import alert_event, encode_alert
from streamer.settings import Settings
from streamer.stopping import at_most
from streamer.stores.base import Store
from streamer.stores.documents import LEARNER_SHARD
from streamer.telemetry.metrics import Metrics
from streamer.transports.kafka.clients import log_record, reader
from streamer.transports.kafka.control import send_control
from streamer.transports.kafka.examples_reader import ExamplesReader
from streamer.values import time_text
from streamer.wire import ALERTS, DEAD_LETTERS, EXAMPLES, DeadLetter, Origin, encode_dead_letter, lane_of, raw_text

from .status.alerts import Alerts

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.learner")

COMMIT_SECONDS: Final = 15.0  # of learning that a crash makes the next learner do again
AGAIN_SECONDS: Final = 5.0
PROGRESS_SECONDS: Final = 10.0  # between two lines about how far a learner is that begins anew
HALTED_SECONDS: Final = 60.0
IDLE_SECONDS: Final = 1.0
STOP_SECONDS: Final = 2.0  # of the ten within which a worker ends
FETCH_MS: Final = 200
SLICE: Final = 200  # examples between two looks at the event loop: a few take a tenth of a millisecond each
PAST_SLICE: Final = 5  # the same of the past, where hours go by between two examples, and a scorer is published at each
SLICES: Final = 50  # between two looks at whether this worker should still learn
BEHIND_MINUTES: Final = 5  # of a shard's examples behind another's, before it is named
BEHIND_SECONDS: Final = 120.0  # that this lasts; a shard at work says something each minute
AHEAD_MAX: Final = 50_000  # examples of a shard held while another shard's minute is not over


class LearnerService(Service):
    """Learns while ``is_mine`` says that this worker should."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        versions: Versions,
        producer: AIOKafkaProducer,
        metrics: Metrics,
        is_mine: Callable[[], bool],
        alerts: Alerts,
    ) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - of a node of services
        self.settings = settings
        self._store = store
        self._producer = producer
        self._metrics = metrics
        self._is_mine = is_mine
        self._alerts = alerts
        self._versions = versions
        self._training: TrainingLog | None = None
        self.problem = ""  # why this worker should learn and does not
        self._committed = self._said = 0.0
        self._behind: tuple[int | None, float] = (None, 0.0)  # the shard that is waited for, and since when, or when it was named last
        self._idle = asyncio.Event()  # nothing learned that is not kept
        self._idle.set()
        self.finished = asyncio.Event()  # stopped; a batch that was not kept in time is learned again by the next

    async def on_stop(self) -> None:
        """Give the batch in hand the time to be kept: whatever still runs behind this is cancelled."""
        await at_most(STOP_SECONDS, self._idle.wait())
        self.finished.set()

    @Service.task
    async def _run(self) -> None:
        while not self.should_stop:
            if self._is_mine():
                self._idle.clear()
                await self._learn_until_error()
                self._idle.set()
                self._training = None
                await self.sleep(AGAIN_SECONDS)
            else:
                self.problem = ""
            await self.sleep(IDLE_SECONDS)

    async def _learn_until_error(self) -> None:
        """Learn until this worker should no longer, or something fails: that is said, and waited out where it takes a person."""
        try:
            await self._learn()
        except FencedError as error:
            log.warning("learner let go", action="let_go", why=str(error))
        except KeysLostError as error:
            log.warning("learner begins anew", action="relearn", why=str(error))
            await self._begin_anew()
        except HaltError as error:
            await self._halt(str(error))
        except (StoreError, KafkaError, TimeoutError, OSError) as error:  # a server that is away for a moment
            self.problem = f"waits: {type(error).__name__}: {error}"
            log.warning("learner waits", action="wait", why=f"{type(error).__name__}: {error}")
        except Exception as error:  # a fault of the learner must not end a worker, and after it the next one
            await self._halt(f"unexpected {type(error).__name__} in {place_of(error)}")

    async def _halt(self, why: str) -> None:
        """Learn nothing for a while; what is wrong may be put right meanwhile."""
        self.problem = f"halted: {why}"
        log.error("learner halted", action="halt", why=why)
        await self.sleep(HALTED_SECONDS)

    async def _begin_anew(self) -> None:
        """The store has lost what the learner cannot go on without: the examples have it all."""
        if self._training is not None:
            with suppress(StoreError):
                await self._store.reset(LEARNER_SHARD, expected=self._training.checkpoint)

    async def _learn(self) -> None:
        """Learn until this worker should no longer; keep what was learned on the way out."""
        topic = ExamplesReader(self.settings)
        shards, keyring = self.settings.shards, self.settings.keyring
        training = self._training = await TrainingLog.acquire(self._store, self._versions, shards, keyring, topic)
        consumer = reader(self.settings, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=FETCH_MS)
        try:
            await consumer.start()
            partitions = {TopicPartition(self.settings.topic(EXAMPLES), shard): at for shard, at in enumerate(training.body.offsets)}
            consumer.assign(list(partitions))
            for partition, offset in partitions.items():
                consumer.seek(partition, offset)
            ends = await consumer.end_offsets(list(partitions))
            training.aim([ends[partition] for partition in partitions])
            self._committed = 0.0 if training.progress else monotonic()  # at once, where people will ask how far it is
            while self._is_mine() and not self.should_stop:
                await self._turn(consumer, training)
                self.problem = ""
            await training.commit()
        finally:
            await consumer.stop()
            await topic.close()

    async def _turn(self, consumer: AIOKafkaConsumer, training: TrainingLog) -> None:
        self._balance(consumer, training)
        before, was_behind = dict(training.body.current), training.is_behind
        await self._fetch(consumer, training)
        for _ in range(SLICES):
            items = () if training.has_todo else training.order.ready()
            await self._tell(await training.take(items, PAST_SLICE if training.learns_past else SLICE))
            await asyncio.sleep(0)
            if training.lacks is not None or not (training.has_todo or items):
                break
        if not training.has_todo:
            training.reach([await consumer.position(partition) for partition in sorted(consumer.assignment())])
        self._show_progress(training)
        self._name_the_slowest(self._waits_for(training), monotonic())
        if was_behind != training.is_behind or training.body.current != before or monotonic() - self._committed > COMMIT_SECONDS:
            await self._commit(training)
            await self._tell_shards(training)

    async def _fetch(self, consumer: AIOKafkaConsumer, training: TrainingLog) -> None:
        """Read on. What lanes say is read elsewhere, where its turn comes."""
        is_busy = training.has_todo and training.lacks is None
        fetched = await consumer.getmany(timeout_ms=0 if is_busy else FETCH_MS, max_records=2_000)
        for partition, found in fetched.items():
            records = [record for record in map(log_record, found) if not lane_of(record.headers)]
            training.order.add([read_training_record(partition.partition, record) for record in records])

    def _show_progress(self, training: TrainingLog) -> None:
        """Once in a while, while it learns anew what it had learned before the store lost it."""
        done, total = training.progress or (0, 0)
        self._metrics.relearning.set(total - done)
        if total and monotonic() - self._said > PROGRESS_SECONDS:
            self._said = monotonic()
            log.info("learning anew", action="relearn", learned=done, of=total)

    @staticmethod
    def _waits_for(training: TrainingLog) -> tuple[int, str] | None:
        """The shard that holds the learner back, and how: nothing is learned of a minute before every shard has said something of a later
        one, and nothing behind new definitions with models before every shard has come to them."""
        lacks, slow = training.lacks, training.order.waits_for(BEHIND_MINUTES)
        if lacks is not None:
            return lacks[0], f" to come to version {lacks[1]} of the definitions; `streamer segments status` says why"
        return None if slow is None else (slow, f", which is {BEHIND_MINUTES} minutes or more behind; `streamer shards` says why")

    def _name_the_slowest(self, waits_for: tuple[int, str] | None, now: float) -> None:
        """A halted shard must not hold up learning in silence."""
        before, since = self._behind
        shard, how = waits_for or (None, "")
        if shard != before:
            self._behind = (shard, now)
        elif shard is not None and now - since >= BEHIND_SECONDS:
            self._behind = (shard, now)
            self._alerts.say("learner_waits", f"the learner waits for shard {shard}{how}", shard=shard)

    def _balance(self, consumer: AIOKafkaConsumer, training: TrainingLog) -> None:
        """Read no further in a shard that is far ahead of the others."""
        paused = consumer.paused()
        for partition in consumer.assignment():
            full = training.order.is_full(partition.partition, AHEAD_MAX)
            if full and partition not in paused:
                consumer.pause(partition)
            elif not full and partition in paused:
                consumer.resume(partition)

    async def _commit(self, training: TrainingLog) -> None:
        with suppress(CommitUnknownError):  # the next one tells: it is fenced if this one went through, and learned anew if not
            await training.commit()
        self._committed = monotonic()
        self._metrics.show_models(training.body.cards)

    # telling

    async def _tell(self, batch: TrainingBatch) -> None:
        topic = self.settings.topic(ALERTS)
        for alert in batch.alerts:
            log.warning("alert", action="alert", kind=alert.kind, subject=alert.subject, text=alert.text)
            await self._producer.send_and_wait(topic, encode_alert(alert_event(alert, self.settings.source)), partition=0)
        for publication in batch.published:
            log.info("model published", action="publish_model", model=publication.model, version=publication.version)
        for item, error in batch.refused:
            await self._refuse(item, error)

    async def _refuse(self, item: TrainingRecord, error: RefusedError) -> None:
        """A dead letter like any other, but not of the shard's story: a learner that starts again may say it again."""
        origin = Origin(EXAMPLES, item.shard, item.record.offset)
        letter = DeadLetter(error.reason, error.path, error.detail, origin, raw_text(item.record.value), time_text(item.record.arrival_ms))
        await self._producer.send_and_wait(self.settings.topic(DEAD_LETTERS), encode_dead_letter(letter), partition=item.shard)

    async def _tell_shards(self, training: TrainingLog) -> None:
        """Only what is committed: a learner that starts again must not come to something else than the shards were told. And nothing before
        it has learned what was said until it began: on the way there it comes to versions that the shards have left behind."""
        if training.is_behind:
            return
        for raw in await training.news():
            await send_control(self._producer, self.settings, raw, range(self.settings.shards))
