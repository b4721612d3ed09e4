"""Publishing, with the topic in memory: numbers, what is in force already, what a publisher that died leaves to the workers."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from streamer.deployment import manifest, publishing
from streamer.errors import SettingsError
from streamer.flow.checkpoint import CheckpointBody, encode_body
from streamer.flow.published import PLACE, Published, definitions_in
from streamer.flow.rules import STORY
from streamer.language.definitions import parse_definitions
from streamer.settings import Settings, load_settings
from streamer.signing import Keyring, Signer
from streamer.stores.base import Checkpoint, Commit, Holdings, Position
from streamer.stores.buckets import BUCKETS
from streamer.stores.memory import MemoryStore
from streamer.transports.kafka.definitions_topic import is_vouched
from streamer.transports.memory import CONTROL, MemoryLog
from streamer.wire import EVENTS, LogRecord, decode_control

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from aiokafka import AIOKafkaProducer

    from streamer.stores.base import Store

SHARDS = 2


class Topic:
    """The topic of definitions; it forgets nothing."""

    def __init__(self) -> None:
        self.records: list[bytes] = []
        self.published = Published()

    async def refresh(self) -> Published:
        for offset, raw in enumerate(self.records):
            self.published.take(LogRecord(offset, 0, raw))
        return self.published

    async def append(self, raw: bytes) -> int:
        self.records.append(raw)
        return len(self.records) - 1

    async def content(self, version: int) -> bytes | None:
        found = (await self.refresh()).at(version)
        return definitions_in(LogRecord(found.offset, 0, self.records[found.offset])) if found else None

    vouched = content


class Shop:
    """Topic, log and store; ``dies`` makes the publisher end before it has written into the shards."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.topic, self.log, self.store = Topic(), MemoryLog(SHARDS, lambda: 0), MemoryStore()
        self.settings = load_settings(shards=SHARDS)
        self.folder, self.dies = folder, False
        monkeypatch.setattr(publishing, "DefinitionsTopic", lambda *_: self.topic)
        monkeypatch.setattr(publishing, "send_control", self._send)
        monkeypatch.setattr(publishing, "LogInspector", lambda _: SimpleNamespace(look=self.log.look, read=self.log.read, stop=_nothing))

    async def _send(self, _client: AIOKafkaProducer, _settings: Settings, raw: bytes, shards: Iterable[int]) -> None:
        if self.dies:
            raise KeyboardInterrupt
        for shard in shards:
            self.log.append(EVENTS, shard, raw, headers=CONTROL)

    def file(self, name: str) -> Path:
        path = self.folder / f"{name}.yaml"
        path.write_text(f"segments: {{{name}: {{for: x, when: 'did(\"{name}\")'}}}}")
        return path

    async def publish(self, name: str) -> tuple[int, bool]:
        found = await self.propose(name)
        return found.publication.version, found.is_new

    async def propose(self, name: str, *, shadow: bool = False) -> publishing.Proposal:
        return await publishing.publish_definitions(self.settings, cast("Any", None), self.store, self.file(name), shadow=shadow)

    async def again(self, again: Callable[[Settings, AIOKafkaProducer, Store], Awaitable[publishing.Proposal]]) -> publishing.Proposal:
        return await again(self.settings, cast("Any", None), self.store)

    async def come_to(self, shard: int, version: int) -> None:
        """A shard that has a past obeys a version."""
        before = await self.store.acquire(shard)
        body = encode_body(CheckpointBody(version=version, counts={"accepted": 1}))
        await self.store.commit(shard, Commit(before, Position(before.position.offset + 1, 0), b"", body))

    def told(self, shard: int) -> list[int]:
        return [decode_control(record.value).version for record in self.log.records(EVENTS, shard)]


async def _nothing() -> None: ...


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shop:
    """Nothing published yet."""
    return Shop(monkeypatch, tmp_path)


async def test_what_was_published_before_has_a_new_number_and_what_is_in_force_none(shop: Shop) -> None:
    """A, B, A is 1, 2, 3; A again is nothing."""
    assert [await shop.publish(name) for name in "abaa"] == [(1, True), (2, True), (3, True), (3, False)]
    assert [shop.told(shard) for shard in range(SHARDS)] == [[1, 2, 3]] * SHARDS
    assert len(shop.topic.records) == 3


async def test_a_start_up_file_is_published_only_where_nothing_was(shop: Shop) -> None:
    """Redis came back empty: the old file over newer definitions would make members leave for good."""
    shop.settings = load_settings(shards=SHARDS, segments=shop.file("a"))
    for _ in range(2):
        await publishing.first_definitions(shop.settings, cast("Any", None), shop.store)
    await shop.publish("b")
    shop.store = MemoryStore()
    await publishing.first_definitions(shop.settings, cast("Any", None), shop.store)
    assert shop.told(0) == [1, 2]


async def test_a_shard_with_a_past_is_left_to_its_owner(shop: Shop) -> None:
    """The past is to be folded first: the record that publishing itself writes would make the shard wait for that."""
    shop.log.append(EVENTS, 1, b'{"event": "a"}')
    found = await shop.propose("a")
    assert (found.publication.version, found.is_new, found.waiting) == (1, True, [1])
    assert [shop.told(0), len(shop.log.records(EVENTS, 1))] == [[1], 1]


async def test_a_shard_whose_customers_are_known_has_a_past_though_its_log_is_read(shop: Shop) -> None:
    """Retention may have taken every event that lay there."""
    body = CheckpointBody(customers=[1] + [0] * (BUCKETS - 1))
    before = await shop.store.acquire(0)
    await shop.store.commit(0, Commit(before, Position(1, 0), b"", encode_body(body), {"c": b"x"}, holds=Holdings((1, *[0] * 63), 0, 0)))
    assert (await shop.propose("a")).waiting == [0]


async def test_nothing_overtakes_a_version_that_some_shards_obey_and_others_not_yet(shop: Shop) -> None:
    """Those that obey it wait for what the lanes of the others send towards it, which these would not do any more."""
    await shop.publish("a")
    for shard in range(SHARDS):
        await shop.come_to(shard, 1)
    assert (await shop.propose("b")).waiting == [0, 1]
    assert (await shop.propose("c")).publication.version == 3, "nobody has come to 2"
    await shop.come_to(1, 3)
    for again in (lambda: shop.propose("d"), lambda: shop.again(publishing.roll_back)):
        with pytest.raises(SettingsError, match="version 3 holds already in shard 1, and not yet in shard 0"):
            await again()
    assert (await shop.propose("d", shadow=True)).publication.is_shadow, "it overtakes nothing"
    await shop.come_to(0, 3)
    assert (await shop.again(publishing.give_up_shadow)).publication.version == 5


async def test_what_a_publisher_left_undone_is_published_and_not_published_again(shop: Shop) -> None:
    """It died between the topic and the shards: the number is given, and the owners of the shards do the rest."""
    await shop.publish("a")
    shop.dies = True
    with pytest.raises(KeyboardInterrupt):
        await shop.publish("b")
    shop.dies = False
    assert await shop.publish("b") == (2, False)
    assert shop.told(0) == [1]


async def test_a_shadow_is_written_into_no_shard_before_it_is_cut_over_to(shop: Shop) -> None:
    """It says nothing, and keeps its number when it is to hold."""
    await shop.publish("a")
    shadow = await shop.propose("b", shadow=True)
    assert (shadow.publication.version, shadow.publication.is_shadow, shadow.is_new) == (2, True, True)
    assert (await shop.propose("b", shadow=True)).is_new is False
    assert shop.told(0) == [1]
    assert (await shop.again(publishing.cut_over)).publication == shadow.publication._replace(is_shadow=False)
    assert shop.told(0) == [1, 2]
    with pytest.raises(SettingsError, match="no version is in shadow"):
        await shop.again(publishing.cut_over)


async def test_a_shadow_is_given_up_by_what_holds_published_once_more(shop: Shop) -> None:
    """Nobody need know which files held."""
    await shop.publish("a")
    with pytest.raises(SettingsError, match="no version is in shadow"):
        await shop.again(publishing.give_up_shadow)
    await shop.propose("b", shadow=True)
    given_up = await shop.again(publishing.give_up_shadow)
    assert (given_up.publication.version, given_up.publication.digest) == (3, shop.topic.published.upto(0).digest)
    assert shop.topic.published.shadow is None


async def test_to_roll_back_publishes_what_was_before_under_a_new_number(shop: Shop) -> None:
    """Numbers only rise, so readers and shards see it as the newest."""
    await shop.publish("a")
    with pytest.raises(SettingsError, match="nothing to go back to"):
        await shop.again(publishing.roll_back)
    await shop.publish("b")
    assert (await shop.again(publishing.roll_back)).publication.version == 3
    assert (await shop.again(publishing.roll_back)).publication.version == 4
    digests = [one.digest for version in (1, 2, 3, 4) if (one := shop.topic.published.at(version)) is not None]
    assert digests == [digests[0], digests[1]] * 2


async def test_to_roll_back_passes_over_what_no_shard_ever_obeyed(shop: Shop) -> None:
    """Whoever has cancelled a version does not expect it back; nor one that was published over before it held."""
    await shop.publish("a")
    for shard in range(SHARDS):
        await shop.come_to(shard, 1)
    b = (await shop.propose("b")).publication
    for shard in range(SHARDS):
        await shop.come_to(shard, b.version)
    await shop.publish("c")
    back = (await shop.again(publishing.cancel)).publication
    assert (back.version, back.digest) == (4, b.digest)
    for shard in range(SHARDS):
        await shop.come_to(shard, 4)
    await shop.publish("d")
    await shop.publish("e")
    back = (await shop.again(publishing.cancel)).publication
    assert (back.version, back.digest) == (7, b.digest), "d held nowhere"
    back = (await shop.again(publishing.roll_back)).publication
    assert (back.version, back.digest) == (8, shop.topic.published.upto(0).digest)


async def test_there_is_nothing_to_roll_back_to_where_only_a_cancelled_version_was_before(shop: Shop) -> None:
    """It is refused rather than folded anew and brought into force."""
    await shop.publish("a")
    for shard in range(SHARDS):
        await shop.come_to(shard, 1)
    await shop.publish("b")
    await shop.again(publishing.cancel)
    with pytest.raises(SettingsError, match=r"no other version held before .*nothing to go back to; `streamer segments publish FILES`"):
        await shop.again(publishing.roll_back)
    assert len(shop.topic.records) == 3


def test_where_keys_are_only_what_is_signed_by_one_is_written_in_a_workers_name() -> None:
    """Whoever may write into the topic of definitions must not get a worker to sign for them."""
    ring = Keyring("shop", {"k1": b"x" * 32})
    by = Signer(ring, "k1", "a1", lambda: 1)
    signed = LogRecord(0, 0, b"{}", headers=by.sign(PLACE, b"{}"))
    assert is_vouched(signed, ring)
    assert not is_vouched(signed._replace(value=b"{ }"), ring)
    assert not is_vouched(signed._replace(headers=()), ring)
    assert not is_vouched(signed, Keyring("shop", {"k2": b"x" * 32}))
    assert is_vouched(signed._replace(headers=()), Keyring())


async def test_other_settings_do_not_start_though_redis_is_empty(shop: Shop) -> None:
    """The manifest is in Kafka, where the log is."""
    await manifest.check_manifest(shop.settings, cast("Any", shop.topic))
    await manifest.check_manifest(shop.settings, cast("Any", shop.topic))
    assert len(shop.topic.records) == 1
    with pytest.raises(SettingsError, match="lateness_ms was 86400000, is 1000"):
        await manifest.check_manifest(load_settings(shards=SHARDS, lateness=1_000), cast("Any", shop.topic))


async def test_a_slip_in_the_namespace_begins_no_second_state(shop: Shop) -> None:
    """Its workers would tell the whole log again, beside those of the state that is there."""
    await manifest.check_manifest(shop.settings, cast("Any", shop.topic))
    other = {"shards": SHARDS, "namespace": "streamr"}
    with pytest.raises(SettingsError, match="STREAMER_NAMESPACE: the state of this log is kept under 'streamer', not 'streamr'"):
        await manifest.check_manifest(load_settings(**other), cast("Any", shop.topic))
    await manifest.check_manifest(load_settings(create=True, **other), cast("Any", shop.topic))


async def test_another_story_version_says_what_an_upgrade_does(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told on by another step, the log would say something else under the same positions, and readers would not see it."""
    await manifest.check_manifest(shop.settings, cast("Any", shop.topic))
    manifest_of = manifest.manifest_of
    monkeypatch.setattr(manifest, "manifest_of", lambda *given: SimpleNamespace(story=99) if manifest_of(*given) else None)
    with pytest.raises(SettingsError, match=rf"tells story version {STORY}, this one tells 99: .*STREAMER_TOPIC_PREFIX"):
        await manifest.check_manifest(shop.settings, cast("Any", shop.topic))


async def test_what_was_made_of_an_older_version_is_not_published_over_a_newer_one(shop: Shop) -> None:
    """Whoever looked at what would change looked at another change."""
    definitions = parse_definitions('segments: {a: {for: x, when: did("a")}}')

    async def propose(over: int) -> publishing.Proposal:
        return await publishing.propose(shop.settings, cast("Any", None), shop.store, definitions, over=over)

    await shop.publish("b")
    with pytest.raises(SettingsError, match="something else was published meanwhile"):
        await propose(0)
    assert shop.told(0) == [1]
    assert (await propose(1)).publication.version == 2


async def test_what_not_every_shard_obeys_yet_can_be_given_up(shop: Shop) -> None:
    """What held before is published once more; where all obey, that is a rollback, and another command."""
    before = (await shop.propose("a")).publication
    await shop.publish("b")
    found = await shop.again(publishing.cancel)
    assert (found.publication.version, found.publication.digest, found.is_new) == (3, before.digest, True)
    for shard in range(SHARDS):
        owned = await shop.store.acquire(shard)
        await shop.store.commit(shard, Commit(owned, Position(1, 0), b"", encode_body(CheckpointBody(version=3)), {}))
    with pytest.raises(SettingsError, match="there is nothing to cancel"):
        await shop.again(publishing.cancel)


async def test_each_shard_is_asked_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read a second time costs a round trip a shard, and may say something else than the first."""
    await shop.publish("a")
    asked, checkpoint = list[int](), shop.store.checkpoint

    async def counted(shard: int) -> Checkpoint:
        asked.append(shard)
        return await checkpoint(shard)

    monkeypatch.setattr(shop.store, "checkpoint", counted)
    for work in (shop.propose("b"), shop.propose("c", shadow=True), shop.again(publishing.cancel), shop.again(publishing.roll_back)):
        assert (await work).is_new
        assert asked == list(range(SHARDS))
        asked.clear()
