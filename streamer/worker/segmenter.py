"""The worker's loop over Kafka: fetch whole batches, let shards process them, publish what they say.

It owns the consumer and decides which shards run; what a record means is decided in ``flow``. A shard starts at the position its store
has, never at the consumer group's offset, which is committed only so that dashboards can show lag.

A shard is ``owned``, or ``waiting`` (it was fenced or its store is away; it is acquired anew in a while), or ``refolding`` (one customer of
it is folded anew from the log), or ``halted`` (a person must look). The others go on.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from time import monotonic, time
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError, OutOfOrderSequenceNumber
from mode import Service

from streamer import zones
from streamer.errors import (
    FencedError,
    HaltError,
    KeysLostError,
    ReleasedError,
    StoreError,
    StoreOlderError,
    StoreUnavailableError,
    StreamerError,
    UnreadableStateError,
    place_of,
)
from streamer.flow.refold import Log, refold
from streamer.flow.relay import Relay, Sink
from streamer.flow.same_log import View, look_again
from streamer.flow.shard import Entry, Limits, Plans, Shard, start_anew
from streamer.language.durations import format_duration
from streamer.settings import Settings
from streamer.stopping import at_most
from streamer.stores.base import Position, Store
from streamer.telemetry.metrics import Metrics
from streamer.transports.kafka.clients import LOG_APPEND_TIME, METADATA_MS, is_dead, log_record, reader
from streamer.transports.kafka.control import send_tick
from streamer.transports.kafka.journal import KafkaJournal, OpenJournal
from streamer.transports.kafka.lookout import Lookout
from streamer.transports.kafka.open_transactions import Held
from streamer.transports.kafka.topics import partitions_problems
from streamer.transports.this_worker import this_worker
from streamer.wire import DEAD_LETTERS, EVENTS, LogRecord

from .alerts import Alerts
from .broker_watch import ASK_SECONDS, BrokerWatch
from .clocks import AGAIN_SECONDS, Clocks, first_ahead
from .compiling import beside
from .completion import InForce
from .readiness import STILL_SECONDS, Readiness, Seen, ShardStatus, readiness, status_of
from .refusals import Refusals
from .shard_notes import WRITE_SECONDS, ShardNote, leave_note

log: Any = structlog.get_logger("streamer.segmenter")

POLL_MS: Final = 50
MAINTAIN_SECONDS: Final = 0.25
GROUP_COMMIT_SECONDS: Final = 5.0
FULL_SECONDS: Final = 2.0  # that a shard waits in the middle of a record for a broker that takes nothing
FULL_LOOK_SECONDS: Final = 0.05
LOOK_SECONDS: Final = 10.0  # between two looks at how Redis is set
WAIT_FENCED_SECONDS: Final = 5.0  # a zombie learns within two heartbeats that its shards are somebody else's
WAIT_STORE_SECONDS: Final = 1.0
FETCH_AGAIN_SECONDS: Final = 1.0
RELAY_AGAIN_SECONDS: Final = 0.2
SAY_AGAIN_SECONDS: Final = 60.0
ACQUIRE_AT_ONCE: Final = 3  # each reads the tails of the outputs with a consumer of its own
STOP_SECONDS: Final = 6.0  # SIGTERM to exit is promised within ten, and others have to stop too
LAST_NOTES_SECONDS: Final = 0.5


Mark = tuple[int, bytes, Position, bytes]


@dataclass(slots=True)
class Owned:
    """One assigned shard."""

    partition: TopicPartition
    state: str = "acquiring"
    again_at: float = 0.0
    why: str = ""
    since: float = field(default_factory=monotonic)  # when the state began
    busy_since: float | None = None  # when what is in hand was taken up
    noted: tuple[float, str] = (0.0, "")  # when the last note was left, and of what
    moved: tuple[Position | None, float] = (None, 0.0)  # the position as last seen, and when it was new
    shard: Shard | None = None
    relay: Relay | None = None
    journal: OpenJournal | None = None
    mark: Mark | None = None  # of the checkpoint when the shard was halted
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    last_tick: float = 0.0
    last_probe: float = 0.0
    broken_at: int | None = None  # the position at the last error that nobody foresaw
    refusals: Refusals = field(default_factory=Refusals)
    log_time_ms: int = 0  # as last seen, also while the shard is let go
    counted: Counter[str] = field(default_factory=Counter[str])
    arrivals: deque[tuple[int, int]] = field(
        default_factory=deque[tuple[int, int]]
    )  # (offset, arrival) of records with outputs still to publish
    relaying: asyncio.Task[None] | None = None
    relay_said: float = float("-inf")  # when it was last said that outputs are not published
    unpublished: tuple[float, str] | None = None  # since when the broker takes no outputs, and its word
    let_go_said: dict[str, float] = field(default_factory=dict[str, float])  # for what it was let go, and when that was said
    held: Held = field(default_factory=Held)
    broker_ahead_ms: int | None = None  # how far the broker's clock was ahead of ours at the last tick
    waits: str = ""  # for what time it does not read on
    waits_until: float = 0.0  # when it looks again

    def enter(self, state: str, why: str = "") -> None:
        """Be in a state from now on."""
        self.state, self.why, self.since, self.waits = state, why, monotonic(), ""
        self.moved = (None, self.since)

    def is_news(self, why: str) -> bool:
        """Whether it was not said within a minute that the shard is let go for this: while Redis is away it happens each second."""
        now = monotonic()
        self.let_go_said = {one: at for one, at in self.let_go_said.items() if now - at < SAY_AGAIN_SECONDS}
        return self.let_go_said.setdefault(why, now) == now

    def look(self) -> None:
        """Note whether the position moves."""
        position = self.shard.position if self.shard is not None else None
        if position != self.moved[0]:
            self.moved = (position, monotonic())

    def seen(self, end: int | None) -> Seen:
        """How the shard is doing now. ``end`` is where its log ends, as far as it is known."""
        self.look()
        now, shard, relay = monotonic(), self.shard, self.relay
        still = now - self.moved[1]
        return Seen(
            self.partition.partition,
            self.state,
            now - self.since,
            self.why,
            offset=shard.position.offset if shard is not None else None,
            end=end,
            undecided=self.held.records,
            log_time_ms=self.log_time_ms,
            busy=min(still, now - self.busy_since) if self.busy_since is not None else 0.0,
            still=still,
            outbox=relay.backlog if relay is not None else 0,
            is_full=relay is not None and relay.is_full,
            stalled=shard.stalled if shard is not None else "",
            held=(self.waits or self.held.problem(now)) if self.state == "owned" else "",
            unpublished=self.unpublished_why(now),
        )

    def unpublished_why(self, now: float) -> str:
        """Why what was committed does not reach the readers; empty for the first seconds, which may be an election of the broker's."""
        if self.unpublished is None or now - self.unpublished[0] < STILL_SECONDS:
            return ""
        since, why = self.unpublished
        waiting = self.relay.backlog if self.relay is not None else 0
        return f"outputs are not published for {format_duration(int(now - since) * 1_000)}: {why}; {waiting} wait"


class Segmenter(Service):
    """The segmenter as a service of the worker."""

    def __init__(
        self, settings: Settings, store: Store, producer: AIOKafkaProducer, sink: Sink, metrics: Metrics, alerts: Alerts, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self.metrics = metrics
        self.alerts = alerts
        self.owned: dict[TopicPartition, Owned] = {}
        self._store = store
        self._producer = producer
        self._sink = sink
        self._keyring = settings.keyring
        self._plans = Plans(store, settings.rules, compile_by=beside)
        self.finished = asyncio.Event()  # stopped, with nothing left in hand
        self._idle = asyncio.Event()  # no batch in hand
        self._idle.set()
        self._wake_relay = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None
        self._lookout = Lookout(settings)
        self._log_problems: list[str] = []  # of the topic of events as a whole
        self._last_group_commit = 0.0
        self._last_look = 0.0
        self._dangers: list[str] = []
        self._stopping = False
        self._numbering_lost = False  # after a batch that the broker refused for good, it takes nothing more of this producer there
        self._dealt = False
        self._watch = BrokerWatch(settings.kafka)
        self.open_journal: Callable[[int], Awaitable[OpenJournal]] = lambda number: KafkaJournal.open(settings, number)
        self._acquiring = asyncio.Semaphore(ACQUIRE_AT_ONCE)
        self._beside: set[asyncio.Task[None]] = set()

    # life

    async def on_start(self) -> None:
        """Join the group."""
        self._consumer = reader(
            self.settings,
            group_id=f"{self.settings.group}-segmenter",
            enable_auto_commit=False,
            auto_offset_reset="none",  # a position that the log does not have is an error: nothing is skipped in silence
            max_partition_fetch_bytes=1 << 20,
            fetch_max_wait_ms=20,
            metadata_max_age_ms=METADATA_MS,  # by default the group would not see for five minutes that a topic is back
            session_timeout_ms=self.settings.session_timeout,
            heartbeat_interval_ms=max(100, min(3_000, self.settings.session_timeout // 10)),
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
        )
        self._consumer.subscribe([self.settings.topic(EVENTS)], listener=_Listener(self))
        await self._consumer.start()

    async def on_stop(self) -> None:
        """Finish the batch in hand, publish what it said, leave the group."""
        self._stopping = True
        await at_most(STOP_SECONDS / 2, self._idle.wait())
        await at_most(STOP_SECONDS / 4, self._relay_all())
        await at_most(LAST_NOTES_SECONDS, self._give_up_shards())
        for task in self._beside:
            task.cancel()
        log.info("segmenter stopped", action="stop", shards=len(self.owned))
        closing = [client.stop() for client in (self._consumer, self._lookout) if client is not None]
        await at_most(STOP_SECONDS / 4, _all(closing))
        self.finished.set()

    async def _give_up_shards(self) -> None:
        """Whoever looks from outside must not read for half a minute that a worker which has ended is at work. What is halted stays so."""
        for owned in self.owned.values():
            if owned.state != "halted":
                owned.enter("released", "its worker was stopped, and no other has taken it up yet")
        await self._note_all()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run beside the loops, until it ends or the service stops."""
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    # fetching

    @Service.task
    async def _run(self) -> None:
        assert self._consumer is not None
        self._idle.clear()
        try:
            while not self.should_stop and not self._stopping:
                self._balance_fetch()
                try:
                    batches = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=2 * self.settings.batch_records)
                except OffsetOutOfRangeError as error:
                    await self._halt_out_of_range(error)
                    continue
                except KafkaError as error:  # of one partition: not authorized, or what the broker has there is damaged
                    log.warning("nothing fetched", action="fetch", why=f"{type(error).__name__}: {error}")
                    self._seek_back()
                    await self.sleep(FETCH_AGAIN_SECONDS)
                    continue
                for partition, shard, records in [(at, self._shard_of(at), records) for at, records in batches.items()]:
                    await self._process(partition, shard, [log_record(record) for record in records])
        except ConsumerStoppedError:
            pass
        finally:
            self._idle.set()

    def _seek_back(self) -> None:
        """Fetch again from where the shards are: with an error the client drops what it had ready, of other partitions too."""
        assert self._consumer is not None
        for partition in self._consumer.assignment():
            if (shard := self._shard_of(partition)) is not None:
                self._consumer.seek(partition, shard.position.offset)

    async def _halt_out_of_range(self, error: OffsetOutOfRangeError) -> None:
        """Halt the shards whose position their log does not have."""
        self._seek_back()
        for partition in error.args[0]:
            if (owned := self.owned.get(partition)) is not None:
                await self._look_at(owned)

    def _shard_of(self, partition: TopicPartition) -> Shard | None:
        owned = self.owned.get(partition)
        return owned.shard if owned is not None else None

    def _balance_fetch(self) -> None:
        """Fetch only for shards that can take more."""
        assert self._consumer is not None
        paused = self._consumer.paused()
        for partition in self._consumer.assignment():
            owned = self.owned.get(partition)
            ready = owned is not None and owned.state == "owned" and owned.relay is not None and not owned.relay.is_full
            ready = ready and owned is not None and monotonic() >= owned.waits_until
            if ready and partition in paused:
                self._consumer.resume(partition)
            elif not ready and partition not in paused:
                self._consumer.pause(partition)

    async def _process(self, partition: TopicPartition, shard: Shard | None, records: Sequence[LogRecord]) -> None:
        """Process what was fetched for ``shard``. If the shard was let go and acquired anew since then, perhaps at an older position, the
        records are dropped: some would be left out, and they will be fetched again."""
        owned = self.owned.get(partition)
        if owned is None or shard is None:
            return
        async with owned.lock:
            if owned.shard is not shard or owned.state != "owned":
                return
            timely = self._timely(owned, shard, records)
            if timely:
                await self._guarded(owned, lambda: self._process_fresh(owned, shard, timely))
            next_fetched = records[-1].offset + 1
            if shard.position.offset != next_fetched and owned.shard is shard and self._consumer is not None:
                self._consumer.seek(partition, shard.position.offset)  # it waits with a record, or passed over some by an amendment

    def _timely(self, owned: Owned, shard: Shard, records: Sequence[LogRecord]) -> Sequence[LogRecord]:
        """The records up to the first that the broker's clock has put into the future; the shard looks at that one again in a while."""
        clocks = Clocks(int(time() * 1_000), shard.step.body.log_time_ms, owned.broker_ahead_ms)
        ahead = first_ahead([record._replace(arrival_ms=shard.arrival_ms(record)) for record in records], clocks, self.settings.skew)
        waits = ahead.why if ahead is not None and ahead.waits else ""
        if ahead is not None and waits != owned.waits:
            self.alerts.say("clock_ahead", ahead.why, shard=owned.partition.partition)
        owned.waits = waits
        if ahead is None or not ahead.waits:
            return records
        owned.waits_until = monotonic() + AGAIN_SECONDS
        return records[: ahead.at]

    async def _process_fresh(self, owned: Owned, shard: Shard, records: Sequence[LogRecord]) -> None:
        refused: list[Entry] = []
        arrivals = {record.offset: record.arrival_ms for record in records}

        async def hand_over(entry: Entry) -> None:
            place, outputs = entry
            if letters := [output for output in outputs if output.topic == DEAD_LETTERS]:
                refused.append((place, letters))
            said = sorted({output.offset for output in outputs})
            owned.arrivals += [(offset, arrivals[offset]) for offset in said if offset in arrivals]
            await self._publish_slice(owned, entry)

        with self.metrics.batch.labels("process").time():
            try:
                await shard.process(records, hand_over)  # committed before an error, the next owner's relay finds it in the outbox
            finally:
                self._tell_faults(owned, shard)
        owned.refusals.see(len(records), refused)
        self._say_times(owned, records)
        self._show(owned, shard)

    async def _publish_slice(self, owned: Owned, entry: Entry) -> None:
        """Queue what was just committed, and wait while the broker has enough; ReleasedError when the shard is to be let go."""
        relay = owned.relay
        assert relay is not None
        relay.add([entry])
        self._wake_relay.set()
        before, until = relay.published, monotonic() + FULL_SECONDS
        while relay.is_full and not self._is_to_go(owned):
            await asyncio.sleep(FULL_LOOK_SECONDS)
            if relay.published != before:
                before, until = relay.published, monotonic() + FULL_SECONDS
            elif monotonic() > until:  # the other shards have waited long enough; this one goes on once its outbox is published
                self._let_go(owned, "waiting", "the outbox is full, and the broker takes nothing", WAIT_STORE_SECONDS)
        if self._is_to_go(owned):
            raise ReleasedError(f"shard {relay.shard} is let go")

    def _is_to_go(self, owned: Owned) -> bool:
        return self._stopping or owned.state != "owned" or self.owned.get(owned.partition) is not owned

    def _tell_faults(self, owned: Owned, shard: Shard) -> None:
        """What our own code failed at and what was passed over for it: its place is for the log alone."""
        number = owned.partition.partition
        for fault in shard.faults:
            self.metrics.faults.labels(fault.what).inc()
            log.error("our own code failed", action=fault.what, shard=number, offset=fault.offset, error=fault.error, place=fault.place)
            self.alerts.say(fault.what, fault.in_words(), shard=number)
        shard.faults.clear()
        self.metrics.set_aside.labels(number).set(shard.step.body.aside)

    def _say_times(self, owned: Owned, records: Sequence[LogRecord]) -> None:
        """Tell people that records carry their producers' time, which moves none."""
        if not self.settings.trust_producer_time and (count := sum(not record.broker_time for record in records)):
            text = (
                f"{count} of {len(records)} records have their producer's time, which moves no time here; set message.timestamp.type "
                f"of {owned.partition.topic} to LogAppendTime, or start anew with STREAMER_TRUST_PRODUCER_TIME=true"
            )
            self.alerts.say("producer_time", text, shard=owned.partition.partition)

    async def _guarded(self, owned: Owned, work: Callable[[], Awaitable[None]]) -> None:
        """Do something with a shard; on any error let go of it, in the way that the error asks for."""
        owned.busy_since = monotonic()
        try:
            await work()
        except ReleasedError:  # whoever asked for it does the rest
            pass
        except FencedError as error:
            self.metrics.fenced.inc()
            if isinstance(error, StoreOlderError):
                self.alerts.say("store_older", f"{error}; the rest is told again from the log", shard=owned.partition.partition)
            self._let_go(owned, "waiting", str(error), WAIT_FENCED_SECONDS)
        except KeysLostError as error:
            why = str(error)
            await self._guarded(owned, lambda: self._tell_anew(owned, why))  # one level deep: a reset finds nothing lost
        except UnreadableStateError as error:
            self._begin_refold(owned, error)
        except HaltError as error:
            self._halt(owned, str(error))
        except StoreUnavailableError as error:
            self.metrics.store_errors.inc()
            self._let_go(owned, "waiting", str(error), WAIT_STORE_SECONDS)
        except (TimeoutError, StoreError, KafkaError, OSError) as error:
            self._let_go(owned, "waiting", f"{type(error).__name__}: {error}", WAIT_STORE_SECONDS)
        except Exception as error:  # a fault of ours: it would end every worker in turn that gets this shard
            self._broken(owned, f"unexpected {type(error).__name__} in {place_of(error)}")  # its text may quote a customer's data
        finally:
            owned.busy_since = None

    def _broken(self, owned: Owned, why: str) -> None:
        """An error that nobody foresaw: once may be chance, twice at the same position is the record, and each further try in vain."""
        at = owned.shard.position.offset if owned.shard is not None else -1
        if owned.broken_at != at:
            owned.broken_at = at
            self._let_go(owned, "waiting", why, WAIT_STORE_SECONDS)
            return
        number = owned.partition.partition
        self._halt(
            owned,
            f"{why}; report it; `streamer shards resume {number} --skip --why TEXT` passes over the next record, "
            f"`streamer shards rebuild {number}` tells the shard anew from its log",
        )

    def _halt(self, owned: Owned, why: str) -> None:
        log.error("shard halted", action="halt", shard=owned.partition.partition, why=why)
        self.alerts.say("halted", why, shard=owned.partition.partition)
        self._let_go(owned, "halted", why, 0)

    async def _tell_anew(self, owned: Owned, why: str) -> None:
        """Redis has lost keys of a shard: empty it and begin again at the beginning of the log, where that is still there."""
        assert self._consumer is not None
        number, shard = owned.partition.partition, owned.shard
        before = shard.checkpoint if shard is not None else await self._store.checkpoint(number)
        begins = await self._consumer.beginning_offsets([owned.partition])
        await start_anew(number, self._store, before, begins[owned.partition])
        self.alerts.say("keys_lost", f"{why}; the shard is told anew from the log", shard=number)
        self._let_go(owned, "waiting", f"{why}; it is told anew from the log", 0)

    # one state that cannot be read

    def _begin_refold(self, owned: Owned, error: UnreadableStateError) -> None:
        """Have one customer folded anew beside the loop: only their shard waits for it."""
        shard = owned.shard
        if shard is None or owned.state == "refolding":  # or folding them anew did not help
            self._halt(owned, str(error))
            return
        log.warning("one customer is folded anew", action="refold", shard=shard.shard, offset=shard.position.offset, why=error.why)
        owned.enter("refolding", f"the state of a customer cannot be read ({error.why}); it is folded anew from the log")
        self.metrics.show_state(shard.shard, "refolding")
        self._spawn(self._refold(owned, shard, error.customer))

    async def _refold(self, owned: Owned, shard: Shard, customer: str) -> None:
        """Without the shard's lock, as a rebalance must not wait for it; until it is over nobody else works on the shard."""
        before = shard.position
        await self._guarded(owned, lambda: refold(shard, customer, _WhileOwned(self._lookout, lambda: owned.shard is shard)))
        if owned.shard is shard and shard.position != before and self._consumer is not None:
            self.metrics.refolded.inc()
            text = "the state of a customer could not be read; it was folded anew from the log, and nothing was said twice"
            self.alerts.say("refolded", text, shard=shard.shard)
            owned.enter("owned")
            self.metrics.show_state(shard.shard, "owned")
            self._consumer.seek(owned.partition, shard.position.offset)

    def _let_go(self, owned: Owned, state: str, why: str, seconds: float) -> None:
        """Drop everything held of a shard; its truth is in the store."""
        if state == "waiting" and owned.is_news(why):
            log.warning("shard let go", action="let_go", shard=owned.partition.partition, why=why)
        owned.enter(state, why)
        owned.again_at = time() + seconds
        owned.shard = owned.relay = None
        owned.arrivals.clear()
        owned.mark = None
        self._close_journal(owned)
        if self.owned.get(owned.partition) is not owned:
            return  # revoked meanwhile: how the shard is doing is another worker's to show
        self.metrics.show_state(owned.partition.partition, state)
        if self._consumer is not None and owned.partition in self._consumer.assignment():
            self._consumer.pause(owned.partition)

    # owning

    async def _acquire(self, owned: Owned) -> None:
        """Become the owner of an assigned shard and go to its position."""
        assert self._consumer is not None
        number = owned.partition.partition
        owned.journal = journal = await self.open_journal(number)  # before the epoch is raised: what a former owner amended is then whole
        shard = await Shard.acquire(
            number,
            self._store,
            self._plans,
            self.settings.rules,
            limits=self._limits,
            journal=journal,
            pause=asyncio.sleep,
            keyring=self._keyring,
        )
        at = shard.position.offset
        if (chosen := await shard.resume_where_chosen()) is not None:
            log.warning("shard goes on where a person chose", action="resume", shard=number, at=at, to=chosen)
        await look_again(self._lookout.look, number, shard.position.offset, shard.step.body.last, asyncio.sleep)
        relay = Relay(number, self._store, self._sink)
        await relay.start()
        if self.owned.get(owned.partition) is not owned or owned.partition not in self._consumer.assignment():
            return
        self._consumer.seek(owned.partition, shard.position.offset)
        owned.shard, owned.relay = shard, relay
        owned.enter("owned")
        owned.counted = Counter(shard.step.body.counts)
        owned.log_time_ms = shard.step.body.log_time_ms
        owned.last_probe = time()
        self._wake_relay.set()
        self._consumer.resume(owned.partition)
        self.metrics.show_state(number, "owned")
        self.metrics.show_definitions(number, (shard.step.body.version, shard.step.body.digest))
        log.info("shard acquired", action="acquire", shard=number, epoch=shard.checkpoint.epoch, offset=shard.position.offset)

    def _close_journal(self, owned: Owned) -> None:
        if owned.journal is not None:
            self._spawn(owned.journal.close())
            owned.journal = None

    @property
    def _limits(self) -> Limits:
        return Limits(records=self.settings.batch_records)

    def pause_now(self, partitions: Collection[TopicPartition]) -> None:
        """Stop delivery of partitions at once. They get a position of no meaning: without one the client looks for the group's."""
        assert self._consumer is not None
        self._consumer.pause(*partitions)
        for partition in partitions:
            self._consumer.seek(partition, 0)

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """Begin to own the shards dealt to this worker. Nothing is awaited: while the group waits for us there are no heartbeats."""
        self.metrics.rebalances.inc()
        self._dealt = True
        for partition in partitions:
            owned = self.owned[partition] = Owned(partition)
            if partition.partition < self.settings.shards:
                self._spawn(self._own(owned))
            else:
                self._halt(owned, "the log has no such shard: the partition was added to its topic")

    async def _own(self, owned: Owned) -> None:
        async with self._acquiring, owned.lock:
            if owned.state == "acquiring":  # it may have been revoked while we waited; to acquire it would fence the new owner
                await self._guarded(owned, lambda: self._acquire(owned))

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """Let the batch in hand finish, publish what it said, and forget the shards."""
        gone = [self.owned.pop(partition) for partition in partitions if partition in self.owned]
        await asyncio.gather(*(self._release(owned) for owned in gone))

    async def _release(self, owned: Owned) -> None:
        async with owned.lock:
            if owned.relay is not None:
                with suppress(KafkaError, StreamerError, OSError, asyncio.TimeoutError):
                    await asyncio.wait_for(_relay_until_empty(owned.relay), 2)
            owned.shard = owned.relay = None
            self._close_journal(owned)
            owned.enter("released")
            self._watch.forget(owned.partition.partition)
            self.metrics.show_state(owned.partition.partition, "released")

    # publishing

    @Service.task
    async def _relay(self) -> None:
        while not self.should_stop:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake_relay.wait(), 0.5)
            self._wake_relay.clear()
            for owned in self.owned.values():  # each by itself: an output partition without a leader holds up nobody else
                if owned.relay is not None and (owned.relaying is None or owned.relaying.done()):
                    owned.relaying = self._spawn(self._relay_one(owned))

    async def _relay_all(self) -> None:
        await asyncio.gather(*(self._relay_one(owned) for owned in list(self.owned.values()) if owned.relay is not None))

    async def _relay_one(self, owned: Owned) -> None:
        relay = owned.relay
        try:
            while relay is not None and relay is owned.relay:
                before = relay.published
                more = await relay.turn()
                owned.unpublished = None
                if not more:
                    return
                self.metrics.published.inc(relay.published - before)
                self._observe_latency(owned)
        except (TimeoutError, KafkaError, StoreError, OSError) as error:
            owned.unpublished = owned.unpublished or (monotonic(), type(error).__name__)
            self._numbering_lost = self._numbering_lost or isinstance(error, OutOfOrderSequenceNumber)
            if monotonic() - owned.relay_said >= SAY_AGAIN_SECONDS:  # it is tried five times a second
                owned.relay_said = monotonic()
                log.warning("outputs not published yet", action="relay", shard=owned.partition.partition, why=type(error).__name__)
                if why := owned.unpublished_why(monotonic()):
                    self.alerts.say("not_published", why, shard=owned.partition.partition)
            await asyncio.sleep(RELAY_AGAIN_SECONDS)
            self._wake_relay.set()
        except Exception as error:
            found = error  # sorted out by _guarded, as whatever else happens to a shard
            async with owned.lock:
                if relay is owned.relay:
                    await self._guarded(owned, lambda: _raise(found))

    def _observe_latency(self, owned: Owned) -> None:
        now_ms, upto = time() * 1_000, owned.relay.upto if owned.relay is not None else None
        while upto is not None and owned.arrivals and owned.arrivals[0][0] <= upto.offset:
            _, arrival_ms = owned.arrivals.popleft()
            self.metrics.latency.observe(max(0.0, (now_ms - arrival_ms) / 1_000))

    # once in a while

    @Service.task
    async def _maintain(self) -> None:
        while not self.should_stop:
            began = time()
            await asyncio.sleep(MAINTAIN_SECONDS)
            self.metrics.loop_lag.set(max(0.0, time() - began - MAINTAIN_SECONDS))
            if is_dead(self._producer) or self._numbering_lost:
                raise HaltError("the Kafka producer gave up and can publish nothing any more; start the worker again")
            for owned in list(self.owned.values()):
                await self._maintain_one(owned)
            if time() - self._last_look >= LOOK_SECONDS:
                self._last_look = time()
                self._spawn(self._look_at_store())
            await self._commit_group()

    async def _look_at_store(self) -> None:
        """What was right at the start may be changed under a running worker: an eviction policy above all."""
        with suppress(StoreError):  # that it is away is noticed elsewhere
            self._dangers = await self._store.dangers()
        for danger in self._dangers:
            self.alerts.say("redis", danger)

    async def _maintain_one(self, owned: Owned) -> None:
        now = time()
        if self.owned.get(owned.partition) is not owned:
            return  # revoked since the round began
        owned.look()
        if owned.state == "waiting" and now >= owned.again_at:
            owned.enter("acquiring", owned.why)
            self._spawn(self._own(owned))
        elif owned.state == "halted" and now - owned.last_probe >= self.settings.probe / 1_000:
            owned.last_probe = now
            if owned.partition.partition < self.settings.shards:
                self._spawn(self._look_at_halted(owned))
        elif owned.state == "owned" and owned.shard is not None:
            self._see_held(owned)
            if now - owned.last_tick >= self.settings.tick / 1_000:
                owned.last_tick = now
                with suppress(KafkaError):
                    (await send_tick(self._producer, self.settings, owned.partition.partition)).add_done_callback(
                        lambda acknowledged: self._tick_ended(owned, acknowledged)
                    )
            if now - owned.last_probe >= self.settings.probe / 1_000 and not owned.lock.locked():  # each commit looks as well as a probe
                owned.last_probe = now
                async with owned.lock:
                    if owned.shard is not None:  # pyright: ignore[reportUnnecessaryComparison] - it may have gone while we waited
                        await self._guarded(owned, owned.shard.probe)

    def _see_held(self, owned: Owned) -> None:
        """Whether an open transaction holds the log; each fetch says how far the log reaches and how far it is decided."""
        if self._consumer is not None and owned.partition in self._consumer.assignment():
            end, stable = self._consumer.highwater(owned.partition), self._consumer.last_stable_offset(owned.partition)
            owned.held.see(end, stable, monotonic())
            if problem := owned.held.problem(monotonic()):
                self.alerts.say("open_transaction", problem, shard=owned.partition.partition)

    async def _look_at_halted(self, owned: Owned) -> None:
        """A halted shard is taken up again when a person has done something about it: each such command changes its checkpoint's mark.
        Until then what was committed is published all the same."""
        number = owned.partition.partition
        try:
            mark = (await self._store.checkpoint(number)).mark
            if owned.mark is None:
                owned.mark = mark
            elif owned.mark != mark and owned.state == "halted":
                log.info("shard is taken up again", action="resume", shard=number)
                owned.enter("acquiring", owned.why)
                await self._own(owned)
                return
            if owned.relay is None:
                relay = Relay(number, self._store, self._sink)
                await relay.start()
                if owned.state == "halted" and owned.relay is None:
                    owned.relay = relay
                    self._wake_relay.set()
        except (StreamerError, KafkaError, OSError, TimeoutError) as error:  # the next look comes soon
            log.debug("halted shard", action="look", shard=number, why=type(error).__name__)

    def _tick_ended(self, owned: Owned, acknowledged: asyncio.Future[Any]) -> None:
        """A lost tick is no loss, the next one follows; but asyncio complains of errors that nobody looked at."""
        if not acknowledged.cancelled() and acknowledged.exception() is None:
            self._watch.answered()
            told = acknowledged.result()
            if told.timestamp_type == LOG_APPEND_TIME:
                owned.broker_ahead_ms = told.timestamp - int(time() * 1_000)

    @Service.task
    async def _leave_notes(self) -> None:
        """Tell whoever looks from outside how the shards are doing: at once when it changes, else now and then."""
        while not self.should_stop:
            await self._note_all()
            await self.sleep(ASK_SECONDS)

    async def _note_all(self) -> None:
        for status in self.statuses():
            owned = self.owned.get(TopicPartition(self.settings.topic(EVENTS), status.shard))
            if owned is not None:
                with suppress(StoreError, OSError):  # the next one is due in a second
                    await self._leave_note(owned, status)

    async def _leave_note(self, owned: Owned, status: ShardStatus) -> None:
        news = f"{status.state} {owned.why}" if status.problem else status.state
        at, before = owned.noted
        if monotonic() - at < WRITE_SECONDS and news == before:
            return
        note = ShardNote(int(time() * 1_000), this_worker(), status, zones.version(), owned.refusals.ratio)
        await leave_note(self._store, note)
        owned.noted = (monotonic(), news)

    @Service.task
    async def _watch_broker(self) -> None:
        while not self.should_stop:
            await self._watch.look(self._ends)
            await self.sleep(ASK_SECONDS)

    async def _ends(self) -> dict[int, int]:
        """Where the log ends; a worker without shards asks all the same, as it has no other sign that the broker is there."""
        assert self._consumer is not None
        asked = list(self.owned) or [TopicPartition(self.settings.topic(EVENTS), 0)]
        found = await self._consumer.end_offsets(asked)
        return {partition.partition: end for partition, end in found.items() if partition in self.owned}

    # the log as a whole

    @Service.task
    async def _watch_log(self) -> None:
        while not self.should_stop:
            await self.sleep(self.settings.probe / 1_000)
            await self._look_at_topic()
            for owned in list(self.owned.values()):
                await self._look_at(owned)

    async def _look_at(self, owned: Owned) -> None:
        """Halt a shard whose log is no longer the one that it has read. A log that does not answer says nothing."""
        shard = owned.shard
        if shard is None:
            return
        try:
            number, last = owned.partition.partition, shard.step.body.last
            await look_again(self._lookout.look, number, shard.position.offset, last, asyncio.sleep)
        except HaltError as error:
            found = error
            async with owned.lock:
                if owned.shard is shard:
                    await self._guarded(owned, lambda: _raise(found))
        except (TimeoutError, KafkaError, ConsumerStoppedError, OSError) as error:
            log.debug("the log was not looked at", action="look", shard=owned.partition.partition, why=type(error).__name__)

    async def _look_at_topic(self) -> None:
        """Say it at once when the topic of events has another number of partitions than the log has shards."""
        try:
            partitions = await self._lookout.partitions()
        except (TimeoutError, KafkaError, ConsumerStoppedError, OSError):
            return
        problems = partitions_problems(self.settings, partitions)
        for problem in problems:
            if problem not in self._log_problems:
                log.error("the log changed", action="look", why=problem)
                self.alerts.say("log_changed", problem)
        self._log_problems = problems

    async def _commit_group(self) -> None:
        """Tell the group where the shards are: for dashboards only."""
        assert self._consumer is not None
        if time() - self._last_group_commit < GROUP_COMMIT_SECONDS:
            return
        self._last_group_commit = time()
        offsets = {owned.partition: owned.shard.position.offset for owned in self.owned.values() if owned.shard is not None}
        with suppress(KafkaError, ValueError):
            if offsets:
                await self._consumer.commit(offsets)

    # showing

    def _show(self, owned: Owned, shard: Shard) -> None:
        body, number = shard.step.body, owned.partition.partition
        counts = Counter(body.counts)
        self.metrics.count(counts - owned.counted)
        owned.counted = counts
        for (segment, change), times in shard.take_change_counts().items():
            self.metrics.changes.labels(segment, change.removeprefix("segment.")).inc(times)
        owned.log_time_ms = body.log_time_ms
        self.metrics.show_definitions(number, (body.version, body.digest))
        self._show_refusals(owned)

    def statuses(self) -> list[ShardStatus]:
        """How each shard of this worker is doing, at this moment."""
        now_ms = int(time() * 1_000)
        seen = [owned.seen(self._watch.end(owned.partition.partition)) for owned in self.owned.values()]
        return [status_of(one, now_ms=now_ms, tick_ms=self.settings.tick) for one in sorted(seen, key=lambda one: one.shard)]

    def show_now(self) -> None:
        """Bring the metrics up to this moment: called for each scrape, so that none is older than it looks."""
        self.metrics.show_members(self.sizes())
        self.metrics.kafka_silent.set(self._watch.silent_seconds)
        for status in self.statuses():
            self.metrics.show_shard(
                status.shard,
                works=not status.problem,
                outbox=status.outbox,
                lag_records=status.lag_records,
                lag_seconds=status.lag_seconds,
                log_time_ms=status.log_time_ms,
            )

    def readiness(self, learner: str = "") -> Readiness:
        """Whether this worker does its work; ``learner`` says why its learner does not."""
        silent, address = self._watch.silent_seconds, self.settings.kafka
        away = f"Kafka at {address} has not answered for {silent:.0f} s" if self._watch.is_away else ""
        dealt = self._consumer is not None and self._dealt
        others = [*self._log_problems, *self._unheard(), *(f"Redis: {danger}" for danger in self._dangers)]
        others += [f"learner: {learner}"] if learner else []
        return readiness(self.statuses(), dealt=dealt, away=away, others=others, kafka_silent_seconds=silent)

    def _unheard(self) -> list[str]:
        """Shards that refuse what this worker signs: keys were changed, and its first key is not one of those that hold."""
        shards = [owned.shard for owned in self.owned.values() if owned.shard is not None]
        refusals = {shard.shard: self._keyring.refusal(shard.step.body.trust.keys) for shard in shards}
        return [f"shard {number} refuses what this worker signs: {why}" for number, why in sorted(refusals.items()) if why]

    def _show_refusals(self, owned: Owned) -> None:
        ratio = owned.refusals.ratio
        self.metrics.refused_ratio.labels(owned.partition.partition).set(ratio)
        if ratio > self.settings.refused_ratio_alert:
            self.alerts.say("refused_records", owned.refusals.in_words(), shard=owned.partition.partition)

    def sizes(self) -> Counter[str]:
        """Members by segment over the shards of this worker."""
        found: Counter[str] = Counter()
        for owned in self.owned.values():
            if owned.shard is not None:
                found.update(owned.shard.sizes)
        return found

    def in_force(self) -> list[InForce]:
        """Which definitions hold in the shards of this worker that are at work."""
        bodies = [(owned.shard.shard, owned.shard.step.body) for owned in self.owned.values() if owned.shard is not None]
        return [InForce(number, body.version, body.log_time_ms) for number, body in bodies]

    def owns(self, shard: int) -> bool:
        """Whether a shard is this worker's, and at work."""
        return any(owned.partition.partition == shard and owned.state == "owned" for owned in self.owned.values())

    def problems(self) -> list[str]:
        """Why this worker is not ready; nothing when it is."""
        return self.readiness().problems


class _WhileOwned:
    """The log of a shard, for as long as the shard is ours; then ReleasedError."""

    def __init__(self, log: Log, is_ours: Callable[[], bool]) -> None:
        self._log = log
        self._is_ours = is_ours

    async def look(self, shard: int, offset: int) -> View:
        """See ``Log``."""
        return await self._log.look(shard, offset)

    async def read(self, shard: int, offset: int, limit: int) -> AsyncGenerator[Sequence[LogRecord]]:
        """See ``Log``."""
        async with aclosing(self._log.read(shard, offset, limit)) as batches:
            async for records in batches:
                if not self._is_ours():
                    raise ReleasedError(f"shard {shard} was let go")
                yield records


class _Listener(ConsumerRebalanceListener):
    """Called by the consumer around a rebalance."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Before anything is awaited: else records from the group's offset would slip in first.
        self._segmenter.pause_now(assigned)
        await self._segmenter.assigned(sorted(assigned))

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        await self._segmenter.revoked(sorted(revoked))


async def _relay_until_empty(relay: Relay) -> None:
    while await relay.turn():
        pass


async def _all(works: Sequence[Awaitable[None]]) -> None:
    await asyncio.gather(*works)


async def _raise(error: Exception) -> None:
    raise error
