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
from streamer.flow.training import TrainingBatch, TrainingLog, TrainingRecord, read_training_record
from streamer.learning.reports.alerts import alert_event, encode_alert
from streamer.settings import Settings
from streamer.stopping import at_most
from streamer.stores.base import Store
from streamer.stores.documents import LEARNER_SHARD
from streamer.telemetry.metrics import Metrics
from streamer.transports.kafka.clients import log_record, reader
from streamer.transports.kafka.control import send_control
from streamer.values import time_text
from streamer.wire import ALERTS, DEAD_LETTERS, EXAMPLES, DeadLetter, Origin, encode_dead_letter, raw_text

from .status.alerts import Alerts

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.learner")

COMMIT_SECONDS: Final = 15.0  # of learning that a crash makes the next learner do again
AGAIN_SECONDS: Final = 5.0
PROGRESS_SECONDS: Final = 10.0  # between two lines about how far a learner is that begins anew
HALTED_SECONDS: Final = 60.0
IDLE_SECONDS: Final = 1.0
STOP_SECONDS: Final = 2.0  # of the ten within which a worker ends
SLICE: Final = 200  # examples between two looks at the event loop: a few take a tenth of a millisecond each
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
                try:
                    self._idle.clear()
                    await self._learn()
                except FencedError as error:
                    log.warning("learner let go", action="let_go", why=str(error))
                except KeysLostError as error:
                    log.warning("learner begins anew", action="relearn", why=str(error))
                    await self._begin_anew()
                except HaltError as error:
                    await self._halt(str(error))
                except (StoreError, KafkaError, TimeoutError) as error:
                    self.problem = f"waits: {type(error).__name__}: {error}"
                    log.warning("learner waits", action="wait", why=f"{type(error).__name__}: {error}")
                except Exception as error:  # a fault of the learner must not end a worker, and after it the next one
                    await self._halt(f"unexpected {type(error).__name__} in {place_of(error)}")
                finally:
                    self._idle.set()
                self._training = None
                await self.sleep(AGAIN_SECONDS)
            else:
                self.problem = ""
            await self.sleep(IDLE_SECONDS)

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
        training = self._training = await TrainingLog.acquire(self._store, self._versions, self.settings.shards, self.settings.keyring)
        consumer = reader(self.settings, enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=200)
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

    async def _turn(self, consumer: AIOKafkaConsumer, training: TrainingLog) -> None:
        self._balance(consumer, training)
        for partition, records in (await consumer.getmany(timeout_ms=200, max_records=2_000)).items():
            training.order.add([read_training_record(partition.partition, log_record(record)) for record in records])
        items, before = training.order.ready(), dict(training.body.current)
        for start in range(0, len(items), SLICE):
            batch = await training.take(items[start : start + SLICE])
            await self._tell(batch)
            await asyncio.sleep(0)
        was_behind = training.is_behind
        training.reach([await consumer.position(partition) for partition in sorted(consumer.assignment())])
        self._show_progress(training)
        self._name_the_slowest(training.order.waits_for(BEHIND_MINUTES), monotonic())
        if was_behind != training.is_behind or training.body.current != before or monotonic() - self._committed > COMMIT_SECONDS:
            await self._commit(training)
            await self._tell_shards(training)

    def _show_progress(self, training: TrainingLog) -> None:
        """Once in a while, while it learns anew what it had learned before the store lost it."""
        done, total = training.progress or (0, 0)
        self._metrics.relearning.set(total - done)
        if total and monotonic() - self._said > PROGRESS_SECONDS:
            self._said = monotonic()
            log.info("learning anew", action="relearn", learned=done, of=total)

    def _name_the_slowest(self, shard: int | None, now: float) -> None:
        """Nothing is learned of a minute before every shard has said something of a later one: a halted shard must not do that in
        silence."""
        before, since = self._behind
        if shard != before:
            self._behind = (shard, now)
        elif shard is not None and now - since >= BEHIND_SECONDS:
            self._behind = (shard, now)
            text = f"the learner waits for shard {shard}, which is {BEHIND_MINUTES} minutes or more behind; `streamer shards` says why"
            self._alerts.say("learner_waits", text, shard=shard)

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
