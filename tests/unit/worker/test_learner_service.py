"""The learner's service, on topics in memory: who learns, what is told to whom, and when."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from streamer.customers.features import FEATURES
from streamer.errors import FencedError, KeysLostError
from streamer.events.dead_letter import read_dead_letter
from streamer.examples import MARK_MS, Example, encode_example
from streamer.flow.learner_checkpoint import LearnerCheckpoint, decode_learner
from streamer.flow.published import GivenVersions
from streamer.flow.training import TrainingLog
from streamer.language.definitions import parse_definitions
from streamer.learning.reports.alerts import decode_alert
from streamer.settings import Settings
from streamer.stores.documents import LEARNER_SHARD, published_scorer_document
from streamer.stores.memory import MemoryStore
from streamer.telemetry.metrics import Metrics
from streamer.transports.kafka.control import CONTROL
from streamer.wire import ALERTS, DEAD_LETTERS, EVENTS, EXAMPLES, Control, decode_control, encode_control
from streamer.worker import learner_service as learner_module
from streamer.worker.learner_service import LearnerService
from streamer.worker.status.alerts import Alerts

SHARDS = 2
SETTINGS = Settings(shards=SHARDS, topic_prefix="shop", store="memory://")  # type: ignore[arg-type]
T0 = 1_767_225_600_000
DEFINITIONS = 'models: {behaviour: {kind: groups, groups: 2}}\nsegments: {a: {for: x, when: \'group("behaviour") == "x"\'}}'


class Topic:
    """The examples, as a consumer reads them."""

    def __init__(self) -> None:
        self.records: list[list[SimpleNamespace]] = [[] for _ in range(SHARDS)]
        self._known: list[int] | None = None

    def add(self, shard: int, value: bytes, headers: Sequence[Any] = ()) -> None:
        record = SimpleNamespace(offset=len(self.records[shard]), timestamp=T0, timestamp_type=1, key=None, value=value, headers=headers)
        self.records[shard].append(record)

    @property
    def known(self) -> list[int]:
        """Where the examples end when a learner begins."""
        return self._known or [len(found) for found in self.records]

    def come_later(self) -> None:
        """Whatever is added from here on is said while a learner learns."""
        self._known = self.known

    def minute(self, number: int, profiles: int, *, odd: bool = False) -> None:
        """Marks of a minute in all shards, then profiles."""
        at_ms = T0 + number * MARK_MS
        for shard in range(SHARDS):
            self.say(shard, Example("mark", shard, 0, 0, at_ms, definitions=1))
            for one in range(profiles):
                high = [not odd and (number + one + at) % 3 == 0 for at in range(len(FEATURES.features))]
                x = tuple(feature.high if up else feature.low for feature, up in zip(FEATURES.features, high, strict=True))
                self.say(shard, Example("profile", shard, 0, 0, at_ms, t_ms=at_ms, features=FEATURES.version, x=x))

    def say(self, shard: int, example: Example) -> None:
        example.offset = len(self.records[shard])
        self.add(shard, encode_example(example))


class Consumer:
    """Hands out a few records a call; ends the service's turn after so many calls."""

    def __init__(self, topic: Topic, *, step: int) -> None:
        self.topic, self.step, self.calls = topic, step, 0
        self.at: dict[TopicPartition, int] = {}
        self.held: set[TopicPartition] = set()

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.at = dict.fromkeys(partitions, 0)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.at[partition] = offset

    def assignment(self) -> set[TopicPartition]:
        return set(self.at)

    def paused(self) -> set[TopicPartition]:
        return set(self.held)

    def pause(self, partition: TopicPartition) -> None:
        self.held.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        self.held.discard(partition)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self.topic.known[partition.partition] for partition in partitions}

    async def position(self, partition: TopicPartition) -> int:
        return self.at[partition]

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[SimpleNamespace]]:
        self.calls += 1
        found: dict[TopicPartition, list[SimpleNamespace]] = {}
        for partition in sorted(self.at.keys() - self.held):
            end = self.at[partition] + self.step * (1 + partition.partition)  # shards are read at different speeds
            found[partition] = self.topic.records[partition.partition][self.at[partition] : end]
            self.at[partition] = min(end, len(self.topic.records[partition.partition]))
        return found

    @property
    def is_through(self) -> bool:
        return all(at == len(self.topic.records[partition.partition]) for partition, at in self.at.items())


class Producer:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, bytes]] = []

    async def send_and_wait(self, topic: str, value: bytes, *, partition: int, **_: Any) -> None:
        self.sent.append((topic, partition, value))

    async def send(self, topic: str, value: bytes, *, partition: int, **more: Any) -> Any:
        await self.send_and_wait(topic, value, partition=partition, **more)

        async def acknowledged() -> None: ...

        return acknowledged()

    def to(self, suffix: str) -> list[tuple[int, bytes]]:
        return [(partition, value) for topic, partition, value in self.sent if topic == SETTINGS.topic(suffix)]

    @property
    def told(self) -> list[tuple[int, str, int]]:
        """Shard, kind and version of the control records of ``behaviour``."""
        controls = [(shard, decode_control(value)) for shard, value in self.to(EVENTS)]
        return [(shard, control.control, control.version) for shard, control in controls]


class World:
    """A topic, a store, and services that come and go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.topic, self.store, self.producer, self.metrics = Topic(), MemoryStore(), Producer(), Metrics()
        self.versions = GivenVersions({1: parse_definitions(DEFINITIONS).content()})
        self.alerts = Alerts(self._publish, self.metrics, "/shop")
        self.consumer = Consumer(self.topic, step=50)
        monkeypatch.setattr(learner_module, "reader", lambda *_, **_more: self.consumer)

    async def _publish(self, _raw: bytes) -> None:
        """Nobody listens."""

    async def learn(self, *, until: Callable[[], bool] | None = None, step: int = 50) -> None:
        """One worker that owns shard 0 until it does not."""
        consumer = self.consumer = Consumer(self.topic, step=step)
        is_over = until or (lambda: consumer.calls > 0 and consumer.is_through)
        producer: Any = self.producer
        service = self.service = LearnerService(
            SETTINGS, self.store, self.versions, producer, self.metrics, lambda: not is_over(), self.alerts
        )
        await service._learn()

    async def body(self) -> LearnerCheckpoint:
        return decode_learner((await self.store.checkpoint(LEARNER_SHARD)).body)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Definitions, and enough profiles for groups."""
    found = World(monkeypatch)
    for number in range(30):
        found.topic.minute(number, 20)
    return found


async def test_what_is_published_is_told_to_every_shard(world: World) -> None:
    """Each switches at a place of its own log."""
    await world.learn()
    assert world.producer.told == [(shard, "model", 1) for shard in range(SHARDS)]
    assert (await world.body()).current["behaviour"][0] == 1


async def test_the_next_worker_goes_on_where_the_last_one_stopped_and_tells_again(world: World) -> None:
    """What is in force is written again, since a worker may die between deciding and telling; a repeated record is nothing."""
    await world.learn(until=lambda: world.consumer.calls > 4)
    half = await world.body()
    assert 0 < half.learned < 600
    assert world.producer.told == []
    await world.learn(step=7)
    assert world.producer.told == [(shard, "model", 1) for shard in range(SHARDS)]
    await world.learn()
    assert world.producer.told == [(shard, "model", 1) for shard in range(SHARDS)] * 2
    disturbed, world.store = await world.body(), MemoryStore()
    await world.learn(step=1_000)
    assert await world.body() == disturbed


async def test_a_learner_that_begins_anew_tells_only_what_it_comes_to_in_the_end(world: World) -> None:
    """Redis came back empty: on the way it comes by versions that the shards have left behind long ago."""
    for number in (30, 31, 32, 1_441, 1_442, 1_443):
        world.topic.minute(number, 150, odd=number < 1_443)  # other people, so that the groups move over night
    await world.learn(step=10)
    before = await world.body()
    assert [told for told in world.producer.told if told[0] == 1] == [(1, "model", 2)]
    world.store, world.producer = MemoryStore(), Producer()
    await world.learn(step=10)
    assert [told for told in world.producer.told if told[0] == 1] == [(1, "model", 2)]
    assert await world.body() == before


async def test_a_learner_that_begins_anew_says_how_far_it_is(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """It may take an hour, and until then the card of a model is not what it was."""
    await world.learn(until=lambda: world.consumer.calls > 3, step=40)
    body = await world.body()
    total = sum(len(found) for found in world.topic.records)
    assert sum(body.target) == total > sum(body.offsets) > 0
    assert 0 < (world.metrics.registry.get_sample_value("segmenter_relearning_examples") or 0) < total
    assert "learning anew" in capsys.readouterr().out
    await world.learn()
    assert (await world.body()).target == []
    assert world.metrics.registry.get_sample_value("segmenter_relearning_examples") == 0


async def test_a_scorer_that_redis_lost_is_learned_anew(world: World) -> None:
    """Halted for ever, the learner waited for a document that nobody could bring."""
    await world.learn()
    before = await world.body()
    await world.store.drop_document(published_scorer_document("behaviour", 1))
    with pytest.raises(KeysLostError):
        await world.learn()
    await world.service._begin_anew()
    await world.learn()
    assert await world.body() == before
    assert await world.store.get_document(published_scorer_document("behaviour", 1)) is not None


async def test_a_learner_that_was_followed_by_another_tells_the_shards_nothing(world: World) -> None:
    """It was paused past its session: what it thinks by now is not what holds."""

    async def follow() -> None:
        await TrainingLog.acquire(world.store, world.versions, SHARDS)

    fetch, acquired = Consumer.getmany, list[bool]()

    async def getmany(self: Consumer, **more: Any) -> Any:
        if self.calls == 2:
            await follow()
            acquired.append(True)
        return await fetch(self, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Consumer, "getmany", getmany)
        with pytest.raises(FencedError):
            await world.learn()
    assert acquired
    assert world.producer.told == []


async def test_a_version_pinned_by_hand_is_told_after_a_newer_one_was(world: World) -> None:
    """The command may be read after a newer version was told to the shards: the last word must be the pinned one."""
    world.topic.come_later()
    for number in (30, 31, 32, 1_441, 1_442):
        world.topic.minute(number, 150, odd=True)  # other people, so that the groups move over night
    world.topic.add(0, encode_control(Control("pin", version=1, model="behaviour")), CONTROL)
    for number in range(1_443, 1_446):
        world.topic.minute(number, 1)
    await world.learn(step=10)
    assert [told for told in world.producer.told if told[0] == 1] == [(1, "model", 1), (1, "model", 2), (1, "model", 1)]
    assert (await world.body()).current["behaviour"][0] == 1


async def test_a_record_that_is_no_example_becomes_a_dead_letter_with_its_place(world: World) -> None:
    """Somebody must be able to find it, and nothing may stop for its sake."""
    world.topic.add(1, b'{"kind":')
    for number in range(30, 33):
        world.topic.minute(number, 1)
    await world.learn()
    ((shard, value),) = world.producer.to(DEAD_LETTERS)
    letter = read_dead_letter(value)
    assert letter.origin is not None
    assert (shard, letter.reason, letter.origin.topic, letter.origin.partition) == (1, "bad_example", EXAMPLES, 1)
    assert letter.origin.offset == next(at for at, record in enumerate(world.topic.records[1]) if record.value == b'{"kind":')


async def test_alerts_go_to_a_topic_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As CloudEvents that say before and after."""
    world = World(monkeypatch)
    for minute in range(6 * 7 * 24 * 6):
        size = 300 if minute > 6_000 else 100 + minute % 3
        for shard in range(SHARDS):
            mark = Example("mark", shard, 0, 0, T0 + minute * 10 * MARK_MS, sizes={"a": size}, definitions=1)
            world.topic.say(shard, mark)
    await world.learn(step=2_000)
    found = [decode_alert(value) for _, value in world.producer.to(ALERTS)]
    assert found
    assert {event.subject for event in found} == {"a"}
    assert all(event.data.after > event.data.before for event in found if event.data.after is not None and event.data.before is not None)


async def test_a_shard_far_ahead_of_the_others_is_read_no_further(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a shard without an owner would fill the memory with what the others say."""
    monkeypatch.setattr(learner_module, "AHEAD_MAX", 60)
    mine = world.topic.records[1]
    world.topic.records[1] = []
    await world.learn(until=lambda: world.consumer.calls > 12)
    assert world.consumer.held == {TopicPartition(SETTINGS.topic(EXAMPLES), 0)}
    assert world.consumer.at[TopicPartition(SETTINGS.topic(EXAMPLES), 0)] < 200
    world.topic.records[1] = mine
    await world.learn()
    assert world.producer.told


async def test_a_connection_that_breaks_costs_seconds_and_a_fault_of_ours_a_minute(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner that stood still for a minute because a socket was closed would have let a whole shop wait."""
    slept = list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await world.learn()
    monkeypatch.setattr(world.service, "sleep", sleep)
    for error, problem in (
        (ConnectionResetError("gone"), "waits: ConnectionResetError: gone"),
        (ValueError("x"), "halted: unexpected ValueError"),
    ):

        async def fail(error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(world.service, "_learn", fail)
        await world.service._learn_until_error()
        assert world.service.problem.startswith(problem)
    assert slept == [learner_module.HALTED_SECONDS]


async def test_a_shard_that_holds_the_learner_back_is_named_every_two_minutes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A halted shard would stop all learning in silence; one that is late for a moment is not worth a word."""
    await world.learn()
    world.service._behind = (None, 0.0)
    for shard, now in ((1, 0.0), (None, 100.0), (1, 110.0), (1, 229.0), (1, 231.0), (1, 300.0), (1, 352.0)):
        world.service._name_the_slowest(None if shard is None else (shard, ", which is late"), now)
    assert "the learner waits for shard 1" in capsys.readouterr().out
    assert world.metrics.registry.get_sample_value("streamer_alerts_total", {"kind": "learner_waits"}) == 2
