"""From the examples of all shards to one order, and from the order to a learner that goes on where it was.

The learner is a function of the examples in the order of ``merge_key``. A minute is handed over once every shard has said something of a
later one, so how fetches fell cannot change it. Its checkpoint is kept like a shard's: fenced by an epoch, with the position in every
partition inside it.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from streamer.errors import HaltError, KeysLostError, RefusedError
from streamer.examples import MARK_MS, Example, ModelSpec
from streamer.language.definitions import content_digest
from streamer.learning.reports.model_card import Card
from streamer.learning.reports.outputs import Alert, LearnerOutput, ModelPublished, ModelWithdrawn
from streamer.signing import CONTROL, NO_KEYS, Keyring, SignedPlace, check_control
from streamer.stores.base import Checkpoint, Commit, Position, Store
from streamer.stores.documents import LEARNER_SHARD, published_scorer_document
from streamer.wire import EXAMPLES, Control, model_control, withdraw_control

from .learner_checkpoint import LearnerCheckpoint, decode_learner, encode_learner
from .learner_source import LearnerSource
from .past_examples import BEFORE_ALL, ExamplesTopic, PastBody, PastExamples
from .published import Versions
from .training_order import MinuteOrder, TrainingRecord

if TYPE_CHECKING:
    from streamer.learning.learner import Learner

VERSIONS_KEPT: Final = 10  # of a model's scorers, to go back to


class TrainingBatch(NamedTuple):
    """What came of a stretch of examples: scorers to switch to, alerts, and records that are none. Of the past nothing is said."""

    published: list[ModelPublished]
    alerts: list[Alert]
    refused: list[tuple[TrainingRecord, RefusedError]]


@dataclass(slots=True)
class _LearningPast:
    """A past, and who learns it: None once the rest does."""

    body: PastBody
    examples: PastExamples
    learner: Learner | None


class TrainingLog:
    """The learner of one deployment, under one epoch."""

    def __init__(
        self,
        store: Store,
        versions: Versions,
        checkpoint: Checkpoint,
        body: LearnerCheckpoint,
        shards: int,
        keyring: Keyring = NO_KEYS,
        topic: ExamplesTopic | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self._topic = topic
        self._todo: deque[TrainingRecord] = deque()
        self._minute = -1  # of the newest example taken
        self._pasts: list[_LearningPast] = []
        self._source = LearnerSource(versions)
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
    async def acquire(
        cls, store: Store, versions: Versions, shards: int, keyring: Keyring = NO_KEYS, topic: ExamplesTopic | None = None
    ) -> TrainingLog:
        """Become the one learner: whoever was it before is fenced. HaltError where that cannot be gone on from, or a key
        that holds is not in ``keyring``. From ``topic`` new models learn the past; without it there is none."""
        checkpoint = await store.acquire(LEARNER_SHARD)
        body = decode_learner(checkpoint.body) if checkpoint.body else LearnerCheckpoint()
        body.offsets = body.offsets or [0] * shards
        body.places = body.places or [BEFORE_ALL] * shards
        body.under = body.under or [0] * shards
        if len(body.offsets) != shards:
            raise HaltError(f"the learner read {len(body.offsets)} shards of examples, the settings say {shards}")
        keyring.require(body.trust.keys)
        training = cls(store, versions, checkpoint, body, shards, keyring, topic)
        if body.version:
            await training._teach(body.version)
        for past in body.pasts if topic is not None else ():
            await training._go_on_with(past)
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

    @property
    def has_todo(self) -> bool:
        """Whether something that was taken is not learned yet."""
        return bool(self._todo)

    @property
    def learns_past(self) -> bool:
        """Whether what comes next is of the past of new models, which nobody is told of before all of it is learned."""
        return any(past.learner is not None for past in self._pasts)

    @property
    def lacks(self) -> tuple[int, int] | None:
        """A shard, and the version of the definitions that it has to come to before anything more is learned; None where it is not so."""
        found = ((past.examples.lacking, past.body.version) for past in self._pasts)
        return next(((shard, version) for shard, version in found if shard is not None), None) if self._todo else None

    async def take(self, items: Sequence[TrainingRecord], most: int = sys.maxsize) -> TrainingBatch:
        """Learn at most so many examples, of the past included, of these items and those that were taken before, in order; nothing is kept
        before ``commit``. Stops where a shard ``lacks`` definitions; it is to be called again then."""
        self._todo.extend(items)
        batch, done = TrainingBatch([], [], []), 0
        while self._todo and done < most:
            item = self._todo[0]
            learned = await self._learn_pasts_before(item, most - done, batch)
            if learned is None:
                break
            if not learned:
                self._todo.popleft()
                await self._take(item, batch)
            done += learned or 1
        return batch

    async def _take(self, item: TrainingRecord, batch: TrainingBatch) -> None:
        self.body.offsets[item.shard] = item.record.offset + 1
        self.body.learned += 1
        what = item.what
        if isinstance(what, RefusedError):
            batch.refused.append((item, what))
        elif isinstance(what, Control):
            if (error := self._refusal(item, what)) is not None:
                batch.refused.append((item, error))
            else:
                await self._obey(what)
        elif self._is_new(item.shard, what):
            self._minute = max(self._minute, what.at_ms // MARK_MS)
            if what.kind in ("mark", "switch"):
                await self._come_under(item.shard, what, batch)
            if what.kind != "switch" and self._learner is not None:
                await self._keep(self._learner.take(what, self._not_yet_in(item.shard)), batch)

    async def _come_under(self, shard: int, example: Example, batch: TrainingBatch) -> None:
        """A shard says which definitions it is under: perhaps the first to say so."""
        if example.definitions > self.body.version:
            await self._teach(example.definitions)
            for past in self._pasts:
                if not past.body.has_joined:
                    await self._join(past, example.at_ms, batch)
        if example.definitions > self.body.under[shard]:
            self.body.under[shard] = example.definitions
            behind = min(self.body.under)
            self._pasts = [past for past in self._pasts if past.body.version > behind]
            self.body.pasts = [past.body for past in self._pasts]
            self.body.born = {model: version for model, version in self.body.born.items() if version > behind}

    def _not_yet_in(self, shard: int) -> frozenset[str]:
        """The models that a shard does not know yet: what it says of their names is of others, and their own examples are its lane's."""
        under = self.body.under[shard]
        return frozenset([model for model, version in self.body.born.items() if version > under]) if self.body.born else frozenset()

    # the past

    async def _learn_pasts_before(self, item: TrainingRecord, most: int, batch: TrainingBatch) -> int | None:
        """Learn at most so many examples of pasts that come before an item; how many that were, None where a shard lacks definitions."""
        what = item.what
        if not isinstance(what, Example):
            return 0
        if what.kind == "switch" and what.definitions > self.body.version:
            await self._begin_past(what.definitions)
        for past in self._pasts:
            if not await past.examples.has_ends():
                return None
            items = await past.examples.next(max(self._minute, what.at_ms // MARK_MS), item.shard, most)
            if items:
                await self._learn_past(past, items, batch)
                return len(items)
        return 0

    async def _begin_past(self, version: int) -> None:
        """Where the first shard has come to other definitions, before anything more is learned: their new models learn the past."""
        if self._topic is None or any(past.body.version == version for past in self._pasts):
            return
        specs = (await self._source.definitions(version)).models
        new = [spec.name for spec in specs if self._specs.get(spec.name) != spec]
        if new:
            self.body.pasts = [*self.body.pasts, PastBody.begin(version, new, self.body.offsets)]
            await self._go_on_with(self.body.pasts[-1])

    async def _go_on_with(self, body: PastBody) -> None:
        assert self._topic is not None, "there is no past without it"
        learner: Learner | None = None
        if not body.has_joined:
            beside = self._learner.dump() if self._learner is not None else b""
            learner = await self._source.of_the_past(body.version, body.models, dumped=body.learner, beside=beside)
        self._pasts.append(_LearningPast(body, PastExamples(body, self._topic), learner))

    async def _learn_past(self, past: _LearningPast, items: Sequence[TrainingRecord], batch: TrainingBatch) -> None:
        """Before the first shard has switched by themselves, and after that among the others."""
        self.body.learned += len(items)
        learner = past.learner or self._learner
        assert learner is not None, "whoever has joined somebody has joined"
        for item in items:
            assert isinstance(item.what, Example), "nothing else is of a lane"
            said = learner.take_past(item.what, past.body.models)
            if past.learner is None:
                await self._keep(said, batch)
            else:
                past.body.current |= await self._published([one for one in said if not isinstance(one, Alert)])

    async def _join(self, past: _LearningPast, at_ms: int, batch: TrainingBatch) -> None:
        """The models of a past are among the others from here on."""
        learner = past.learner
        assert self._learner is not None, "it was taught"
        assert learner is not None, "it has not joined"
        self.body.current |= past.body.current
        await self._keep(self._learner.join(learner, at_ms), batch)
        self.body.born |= dict.fromkeys(past.body.models, past.body.version)
        past.learner, past.body.learner, past.body.current, past.body.has_joined = None, b"", {}, True

    def _is_new(self, shard: int, example: Example) -> bool:
        place = (example.generation, example.offset, example.ordinal)
        if place <= self.body.places[shard]:
            return False
        self.body.places[shard] = place
        return True

    async def _keep(self, said: Sequence[LearnerOutput], batch: TrainingBatch) -> None:
        """Keep what was published, and hand on what people are to hear."""
        batch.alerts.extend(one for one in said if isinstance(one, Alert))
        batch.published.extend(one for one in said if isinstance(one, ModelPublished))
        self.body.current |= await self._published([one for one in said if not isinstance(one, Alert)])

    async def _published(self, said: Sequence[ModelPublished | ModelWithdrawn]) -> dict[str, tuple[int, str]]:
        """Keep scorers; return what serves by now of the models that something was said of."""
        found: dict[str, tuple[int, str]] = {}
        for one in said:
            if isinstance(one, ModelWithdrawn):
                found[one.model] = (one.version, "")
                continue
            kept = await self._store.put_document(published_scorer_document(one.model, one.version), one.scorer)
            found[one.model] = (one.version, content_digest(kept))  # of another release that learned the same before, if any
            await self._drop_old(one)
        return found

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
        dumped = self._learner.dump() if self._learner is not None else self.body.learner
        self._learner = await self._source.of(version, dumped)
        specs = (await self._source.definitions(version)).models
        same = {spec.name for spec in specs if not self._specs or self._specs.get(spec.name) == spec}  # at first all: nothing was different
        self._specs = {spec.name: spec for spec in specs}
        self.body.version = version
        self.body.current = {name: named for name, named in self.body.current.items() if name in same}
        self._announced = {name: named for name, named in self._announced.items() if name in same}
        for past in self._pasts:
            if past.body.version < version:
                past.body.models = [name for name in past.body.models if name in same]

    def cards(self) -> dict[str, Card]:
        """How good each model is by now."""
        return self._learner.cards() if self._learner is not None else {}

    async def commit(self) -> None:
        """Keep everything learned so far; nothing if there is nothing new. Raises FencedError when another learner is at work."""
        position = Position(sum(self.body.offsets), sum(sum(past.offsets) for past in self.body.pasts))
        if position <= self.checkpoint.position:
            return
        if self._learner is not None:
            self.body.learner, self.body.cards = self._learner.dump(), self._learner.cards()
        for past in self._pasts:
            past.body.learner = past.learner.dump() if past.learner is not None else b""
        commit = Commit(self.checkpoint, position, self.checkpoint.output_digest, encode_learner(self.body))
        await self._store.commit(LEARNER_SHARD, commit)
        self.checkpoint = commit.checkpoint


def _is_beyond(positions: Sequence[int], ends: Sequence[int]) -> bool:
    return all(position >= end for position, end in zip(positions, ends, strict=False))
