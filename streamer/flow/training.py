"""From the examples of all shards to one order, and from the order to a learner that goes on where it was.

The learner is a function of the examples in the order of ``merge_key``. A minute is handed over once every shard has said something of a
later one, so how fetches fell cannot change it. Its checkpoint is kept like a shard's: fenced by an epoch, with the position in every
partition inside it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from streamer.customers.features import FEATURES
from streamer.errors import HaltError, KeysLostError, RefusedError, SettingsError
from streamer.examples import MARK_MS, Example, ModelSpec, decode_example
from streamer.language.definitions import content_digest
from streamer.learning.reports.model_card import Card
from streamer.learning.reports.outputs import Alert, ModelPublished, ModelWithdrawn
from streamer.segments.feature_leakage import excluded_features
from streamer.signing import CONTROL, NO_KEYS, Keyring, SignedPlace, Trust, check_control
from streamer.stores.base import Checkpoint, Commit, Position, Store
from streamer.stores.documents import LEARNER_SHARD, published_scorer_document
from streamer.wire import EXAMPLES, Control, LogRecord, decode_control, model_control, withdraw_control

from .catalog import read_definitions
from .published import Versions

if TYPE_CHECKING:
    from streamer.learning.learner import Learner

VERSIONS_KEPT: Final = 10  # of a model's scorers, to go back to


class LearnerCheckpoint(msgspec.Struct, array_like=True):
    """The body of the learner's checkpoint.

    ``offsets``: the next example to read, by partition. ``current``: what serves, by model, as version and digest; without a digest that
    version was withdrawn and none serves. ``cards``: for whoever asks how good the models are, without a learner. ``places``: by partition
    the highest place whose example was taken; what is not above it is said again, by a relay that crashed or a former owner. ``target``:
    by partition the end of the examples when everything was begun anew, until that is reached; then empty. ``trust``: which keys hold for
    what people say to the learner.
    """

    version: int = 0
    offsets: list[int] = []
    learner: bytes = b""
    current: dict[str, tuple[int, str]] = {}
    cards: dict[str, Card] = {}
    learned: int = 0
    places: list[tuple[int, int, int]] = []
    target: list[int] = []
    trust: Trust = msgspec.field(default_factory=Trust)


encode_learner: Final = msgspec.msgpack.Encoder().encode
decode_learner: Final = msgspec.msgpack.Decoder(LearnerCheckpoint).decode


async def read_learner(store: Store) -> LearnerCheckpoint:
    """What the learner has committed last. SettingsError where nothing was learned yet."""
    checkpoint = await store.checkpoint(LEARNER_SHARD)
    if not checkpoint.body:
        raise SettingsError("nothing was learned yet: no definitions with models were published, or no worker has run since")
    return decode_learner(checkpoint.body)


def card_of(learner: LearnerCheckpoint, model: str) -> Card:
    """The card of a model. SettingsError where there is no such model."""
    card = learner.cards.get(model)
    if card is None:
        raise SettingsError(f"there is no model {model!r}; there are {', '.join(sorted(learner.cards)) or 'none'}")
    return card


class TrainingRecord(NamedTuple):
    """One record of the examples, decoded: an example, a command, or why it is neither."""

    shard: int
    record: LogRecord
    what: Example | Control | RefusedError


def read_training_record(shard: int, record: LogRecord) -> TrainingRecord:
    """Decode a record of the examples topic."""
    try:
        return TrainingRecord(shard, record, decode_control(record.value) if record.control else decode_example(record.value, FEATURES))
    except RefusedError as error:
        return TrainingRecord(shard, record, error)


class MinuteOrder:
    """Puts the items of all shards into one order, a minute at a time."""

    def __init__(self, shards: int) -> None:
        self._queues: list[deque[tuple[int, TrainingRecord]]] = [deque() for _ in range(shards)]
        self._newest = [-1] * shards

    def add(self, items: Sequence[TrainingRecord]) -> None:
        """Items of one shard or several, each shard's in its order. What is no example belongs to the minute of the one before it."""
        for item in items:
            if isinstance(item.what, Example):
                self._newest[item.shard] = max(self._newest[item.shard], item.what.at_ms // MARK_MS)
            self._queues[item.shard].append((self._newest[item.shard], item))

    @property
    def waiting(self) -> int:
        """Items whose minute is not over in every shard."""
        return sum(len(queue) for queue in self._queues)

    def waits_for(self, minutes: int) -> int | None:
        """The shard that holds the others back by at least so many minutes; None where none does."""
        oldest = min(self._newest)
        return self._newest.index(oldest) if max(self._newest) - oldest >= minutes else None

    def is_full(self, shard: int, most: int) -> bool:
        """Whether a shard is so far ahead of the others that no more of it should be read."""
        return len(self._queues[shard]) > most

    def ready(self) -> list[TrainingRecord]:
        """Everything of the minutes that are over in every shard."""
        over = min(self._newest)
        found: list[tuple[int, int, int, TrainingRecord]] = []
        for shard, queue in enumerate(self._queues):
            while queue and queue[0][0] < over:
                minute, item = queue.popleft()
                found.append((minute, shard, item.record.offset, item))
        return [item for *_, item in sorted(found, key=lambda entry: entry[:3])]


class TrainingBatch(NamedTuple):
    """What came of a stretch of examples: scorers to switch to, alerts, and records that are none."""

    published: list[ModelPublished]
    alerts: list[Alert]
    refused: list[tuple[TrainingRecord, RefusedError]]


class TrainingLog:
    """The learner of one deployment, under one epoch."""

    def __init__(
        self, store: Store, versions: Versions, checkpoint: Checkpoint, body: LearnerCheckpoint, shards: int, keyring: Keyring = NO_KEYS
    ) -> None:
        self.checkpoint = checkpoint
        self._versions = versions
        self.body = body
        self._store = store
        self._keyring = keyring
        self._learner: Learner | None = None
        self._specs: dict[str, ModelSpec] = {}
        self._announced: dict[str, tuple[int, str]] = {}
        self.order = MinuteOrder(shards)
        self.is_behind = True  # of what was said before it was acquired; the shards know already what came of that
        self._ends: list[int] = []

    @classmethod
    async def acquire(cls, store: Store, versions: Versions, shards: int, keyring: Keyring = NO_KEYS) -> TrainingLog:
        """Become the one learner: whoever was it before is fenced. HaltError where that cannot be gone on from, or a key
        that holds is not in ``keyring``."""
        checkpoint = await store.acquire(LEARNER_SHARD)
        body = decode_learner(checkpoint.body) if checkpoint.body else LearnerCheckpoint()
        body.offsets = body.offsets or [0] * shards
        body.places = body.places or [(0, -1, -1)] * shards
        if len(body.offsets) != shards:
            raise HaltError(f"the learner read {len(body.offsets)} shards of examples, the settings say {shards}")
        keyring.require(body.trust.keys)
        training = cls(store, versions, checkpoint, body, shards, keyring)
        if body.version:
            await training._teach(body.version)
        return training

    def aim(self, ends: Sequence[int]) -> None:
        """Where the examples end, by partition, as learning begins: what was said up to there is learned before anything is told."""
        self._ends = list(ends)
        if not self.body.learned and any(ends):
            self.body.target = list(ends)

    def reach(self, positions: Sequence[int]) -> None:
        """Everything below these positions was read, and learned where its minute is over."""
        if _is_beyond(positions, self._ends):
            self.is_behind = False
        if _is_beyond(positions, self.body.target):
            self.body.target = []

    @property
    def progress(self) -> tuple[int, int] | None:
        """Examples learned of those to be learned anew; None where the learner goes on from what it knows."""
        target = self.body.target
        return (sum(map(min, self.body.offsets, target)), sum(target)) if target else None

    async def take(self, items: Sequence[TrainingRecord]) -> TrainingBatch:
        """Learn from items in order; nothing is kept before ``commit``."""
        batch = TrainingBatch([], [], [])
        for item in items:
            self.body.offsets[item.shard] = item.record.offset + 1
            self.body.learned += 1
            if isinstance(item.what, RefusedError):
                batch.refused.append((item, item.what))
            elif isinstance(item.what, Control):
                if (error := self._refusal(item, item.what)) is not None:
                    batch.refused.append((item, error))
                else:
                    await self._obey(item.what)
            elif self._is_new(item.shard, item.what):
                if item.what.kind == "mark" and item.what.definitions > self.body.version:
                    await self._teach(item.what.definitions)
                await self._learn(item.what, batch)
        return batch

    def _is_new(self, shard: int, example: Example) -> bool:
        place = (example.generation, example.offset, example.ordinal)
        if place <= self.body.places[shard]:
            return False
        self.body.places[shard] = place
        return True

    async def _learn(self, example: Example, batch: TrainingBatch) -> None:
        if self._learner is None:
            return
        for said in self._learner.take(example):
            if isinstance(said, Alert):
                batch.alerts.append(said)
                continue
            if isinstance(said, ModelWithdrawn):
                self.body.current[said.model] = (said.version, "")
                continue
            kept = await self._store.put_document(published_scorer_document(said.model, said.version), said.scorer)
            self.body.current[said.model] = (
                said.version,
                content_digest(kept),
            )  # of another release that learned the same before, if any
            batch.published.append(said)
            await self._drop_old(said)

    async def _drop_old(self, newest: ModelPublished) -> None:
        """Of scorers only the last few are kept; while somebody pins an old one nothing newer is published."""
        old = newest.version - VERSIONS_KEPT
        if old >= 1:
            await self._store.drop_document(published_scorer_document(newest.model, old))

    def _refusal(self, item: TrainingRecord, control: Control) -> RefusedError | None:
        """Why a record may not say what it says; None where it may. Which keys hold is kept. HaltError when this worker lacks one."""
        place = SignedPlace(CONTROL, EXAMPLES, item.shard)
        try:
            self.body.trust = check_control(self.body.trust, self._keyring, control, item.record, place)
        except RefusedError as error:
            return error
        return None

    async def _obey(self, control: Control) -> None:
        """Somebody keeps a model at a version, or lets it go on."""
        if control.control not in ("pin", "unpin") or self._learner is None or control.model not in self._learner.trainers:
            return
        if control.control == "unpin":
            self._learner.unpin(control.model)
            return
        content = await self._store.get_document(published_scorer_document(control.model, control.version))
        if content is not None:
            self._learner.pin(control.model, control.version)
            self.body.current[control.model] = (control.version, content_digest(content))

    async def news(self) -> list[bytes]:
        """Control records for the shards: what serves by now, as far as it is not what this said before. At first that is everything, which
        is harmless to repeat. KeysLostError when a scorer is not in the store."""
        found: list[bytes] = []
        for model, (version, digest) in sorted(self.body.current.items()):
            if self._announced.get(model) == (version, digest):
                continue
            found.append(await self._record(model, version, digest))
            self._announced[model] = (version, digest)
        return found

    async def _record(self, model: str, version: int, digest: str) -> bytes:
        if not digest:
            return withdraw_control(model, version)
        content = await self._store.get_document(published_scorer_document(model, version))
        if content is None:
            raise KeysLostError(f"version {version} of the model {model!r} is not in the store")
        return model_control(model, content, digest, version)

    async def _teach(self, version: int) -> None:
        """Take up the definitions of a version: models that are still the same go on as they were."""
        content = await self._versions.content(version)
        if content is None:
            raise HaltError(f"an example names version {version} of the definitions, and the topic of definitions does not have it")
        # It takes a second and 100 MB: a worker that only scores needs none of it, and the shards share the loop.
        learner: type[Learner] = (await asyncio.to_thread(import_module, "streamer.learning.learner")).Learner

        definitions = read_definitions(content)
        specs, out = definitions.models, excluded_features(definitions, FEATURES)
        dumped = self._learner.dump() if self._learner is not None else self.body.learner
        if dumped:
            self._learner = learner.restore(specs, FEATURES, dumped, zone=definitions.clock, left_out=out)
        else:
            self._learner = learner(specs, FEATURES, zone=definitions.clock, left_out=out)
        same = {spec.name for spec in specs if not self._specs or self._specs.get(spec.name) == spec}  # at first all: nothing was different
        self._specs = {spec.name: spec for spec in specs}
        self.body.version = version
        self.body.current = {name: named for name, named in self.body.current.items() if name in same}
        self._announced = {name: named for name, named in self._announced.items() if name in same}

    def cards(self) -> dict[str, Card]:
        """How good each model is by now."""
        return self._learner.cards() if self._learner is not None else {}

    async def commit(self) -> None:
        """Keep everything learned so far; nothing if there is nothing new. Raises FencedError when another learner is at work."""
        position = Position(sum(self.body.offsets), 0)
        if position <= self.checkpoint.position:
            return
        if self._learner is not None:
            self.body.learner, self.body.cards = self._learner.dump(), self._learner.cards()
        commit = Commit(self.checkpoint, position, self.checkpoint.output_digest, encode_learner(self.body))
        await self._store.commit(LEARNER_SHARD, commit)
        self.checkpoint = commit.checkpoint


def _is_beyond(positions: Sequence[int], ends: Sequence[int]) -> bool:
    return all(position >= end for position, end in zip(positions, ends, strict=False))
