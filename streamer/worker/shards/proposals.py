"""Bring what was published into the shards of this worker: each shard obeys from a record of its own log on, which its owner writes.

Publishing only proposes. A worker that finds a shard of its own under an older version first lets it read its log up to where that ended,
since the record may lie there already. Then a lane folds the past for what is new, up to within a second of the log's end, and where the
other shards have come as far it goes on to the end itself and the record is written, in one shard of a worker after the other. A shard
that has it takes a repeated one for nothing, so two who write it do no harm. What is published meanwhile overtakes what was not written
yet.

A lane goes on until its shard takes it, or another shard could wait for ever for what this one's has to send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from time import monotonic, time
from typing import Final

import structlog
from aiokafka import TopicPartition
from msgspec.structs import replace
from structlog.typing import FilteringBoundLogger

from streamer.deployment.history import has_past
from streamer.errors import place_of
from streamer.flow.brought import brings_history
from streamer.flow.checkpoint import decode_body
from streamer.flow.lane.lane_plan import version_of
from streamer.flow.published import Publication, Published
from streamer.flow.shard import Shard
from streamer.stores.base import Store
from streamer.transports.kafka.control import send_control, send_tick
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.wire import decode_control, definitions_control
from streamer.worker.status.lane_status import LaneState, LaneStatus
from streamer.worker.status.shard_notes import read_note
from streamer.worker.status.shard_state import ShardState

from .edges import Edges
from .lane_run import STANDING, UNANSWERED, LaneFaultError, LaneRun, why_unanswered
from .lanes import LaneService
from .owned_shard import OwnedShard
from .record_turn import RecordTurn

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.proposals")

POLL_SECONDS: Final = 0.1
PASS_SECONDS: Final = 1.0  # between two passes of a lane that is near the end
PUBLISHER_SECONDS: Final = 2.0  # within which whoever publishes writes into shards that have no past
WRITTEN_SECONDS: Final = 30.0  # after which a record that the shard has not come to is written once more
AGAIN_SECONDS: Final = (1.0, 3.0, 10.0, 30.0)  # after errors, one after the other
FAULT_SECONDS: Final = 300.0  # after a fault of our own code
SWITCHING: Final = "until all its customers are under the definitions that hold"
SHADOW_SECONDS: Final = 2.0  # between two passes of a lane in shadow


class _Work:
    """One shard on its way to one publication. ``status`` is what is said of it; ``is_taken``: the shard itself does the rest."""

    def __init__(self, owned: OwnedShard, shard: Shard, publication: Publication) -> None:
        self.owned = owned
        self.shard = shard
        self.before = shard.body.version
        self.publication = publication
        self.status = LaneStatus(publication.version, "reads")
        self.task: asyncio.Task[None] | None = None
        self.run: LaneRun | None = None
        self.is_taken = False
        self.is_given_up = False  # it was overtaken while no shard had begun to obey it
        self.failures = 0
        self.again_at = 0.0  # of a clock that never goes back

    def is_of(self, shard: Shard, publication: Publication) -> bool:
        """Whether this is the way of the same shard, under the same epoch, from and to the same definitions."""
        is_same = (self.publication.version, self.publication.digest) == (publication.version, publication.digest)
        return is_same and self.shard is shard and self.before == shard.body.version

    @property
    def is_written(self) -> bool:
        """Whether the shard is about to come to the record."""
        return self.is_taken or self.status.state == "written"

    @property
    def runs_its_course(self) -> bool:
        """Whether it is not to be ended though it was overtaken: this shard comes to the record, or another may already have."""
        return self.is_written or (self.status.state == "ready" and not self.is_given_up)

    def tell(self, status: LaneStatus) -> None:
        """Say how far it is. What is written is no longer on its way, though its lane goes on."""
        state = "written" if self.status.state == "written" else status.state
        self.status = replace(status, state=state)

    def let_go(self) -> None:
        """Fold no more."""
        run, self.run = self.run, None
        if run is not None:
            run.close()

    def enter(self, state: LaneState, why: str = "") -> None:
        """Be in a state, as far as before."""
        self.status = LaneStatus(self.publication.version, state, self.status.folded, self.status.of, why=why)

    def stand(self, why: str, seconds: float) -> None:
        """Nothing more is done for a while."""
        self.status = LaneStatus(self.publication.version, "stands", self.status.folded, self.status.of, why=why)
        self.again_at = monotonic() + seconds

    def fail(self, why: str) -> None:
        """Try again later, ever later."""
        self.stand(why, AGAIN_SECONDS[min(self.failures, len(AGAIN_SECONDS) - 1)])
        self.failures += 1


class Proposals:
    """What was published, on its way into the shards of one worker."""

    def __init__(self, edges: Edges, shards: Mapping[TopicPartition, OwnedShard], topic: DefinitionsTopic, lanes: LaneService) -> None:
        self._settings = edges.settings
        self._store = edges.store
        self._producer = edges.producer
        self._consumer = edges.consumer
        self._alerts = edges.alerts
        self._background = edges.background
        self._shards = shards
        self._topic = topic
        self._lanes = lanes
        self._works: dict[int, _Work] = {}
        self._tidied: dict[int, Shard] = {}
        self._turn = RecordTurn()

    def status(self, shard: int) -> LaneStatus | None:
        """How far a shard is on the way to what was published; None where it obeys that already."""
        work = self._works.get(shard)
        return work.status if work is not None else None

    def look_after(self, published: Published) -> None:
        """Begin what is to be done for each shard, and end what is not to be done any more. Waits for nothing."""
        wanted = {owned.number: found for owned in self._shards.values() if (found := self._wanted(owned, published)) is not None}
        self._tidy_up(wanted)
        for number, work in list(self._works.items()):
            if number not in wanted or not work.is_of(wanted[number].shard, wanted[number].publication):
                self._end(work, is_overtaken=number in wanted)
        for number, found in wanted.items():
            work = self._works.setdefault(number, found)
            work.publication = found.publication if work.is_of(found.shard, found.publication) else work.publication
            if not work.is_taken and (work.task is None or work.task.done()) and monotonic() >= work.again_at:
                work.task = self._background.spawn(self._run(work))

    def _wanted(self, owned: OwnedShard, published: Published) -> _Work | None:
        """What a shard is to come to; None where it obeys it already, or is not at work."""
        shard, newest, shadow = owned.shard, published.newest, published.shadow
        if shard is None or owned.state is not ShardState.OWNED or not owned.is_ours:
            return None
        if newest is not None and shard.body.version < newest.version:
            return _Work(owned, shard, newest)
        return _Work(owned, shard, shadow) if shadow is not None and not shard.is_switching else None

    def _end(self, work: _Work, *, is_overtaken: bool) -> None:
        """Do no more for a publication that the shard obeys, or that was overtaken. One that a shard has begun to obey runs its course."""
        is_ahead = work.publication.version > work.shard.body.version
        if is_overtaken and is_ahead and work.runs_its_course and work.owned.shard is work.shard:
            return
        del self._works[work.owned.number]
        if work.task is not None:
            work.task.cancel()
        if work.owned.shard is work.shard and is_ahead and not work.is_written:
            self._background.spawn(self._tidy(work.shard))

    def _tidy_up(self, wanted: Mapping[int, _Work]) -> None:
        """Of a shard that is new here and has nothing to come to, drop the lanes that former owners have left. Of one that has something to
        come to they are dropped when its lane is opened."""
        held = {owned.number: owned.shard for owned in self._shards.values()}
        self._tidied = {number: shard for number, shard in self._tidied.items() if held.get(number) is shard}
        for owned in self._shards.values():
            number, shard = owned.number, owned.shard
            if shard is not None and owned.state is ShardState.OWNED and number not in wanted and self._tidied.get(number) is not shard:
                self._tidied[number] = shard
                self._background.spawn(self._tidy(shard))

    async def _tidy(self, shard: Shard) -> None:
        with suppress(*UNANSWERED):
            await self._lanes.tidy(shard, lambda name: self._is_on_its_way(shard.shard, version_of(name)))

    def _is_on_its_way(self, shard: int, version: int) -> bool:
        work = self._works.get(shard)
        return work is not None and work.publication.version == version

    async def hand_over(self, shard: int, version: int) -> None:
        """Stop folding beside a shard that has come to definitions of ``version``: it brings its lane there itself."""
        work = self._works.get(shard)
        if work is None or work.publication.version != version:
            return
        work.is_taken = True
        if work.task is not None:
            work.task.cancel()
            await asyncio.wait({work.task})

    async def _run(self, work: _Work) -> None:
        """Do what is to be done, until the shard obeys. An error is said in the status, and never the shard's."""
        try:
            await self._bring(work)
        except UNANSWERED as error:
            work.fail(why_unanswered(error))
            log.warning("publication waits", action="publish", shard=work.owned.number, why=work.status.why)
        except STANDING as error:
            work.stand(str(error), FAULT_SECONDS)
            log.error("publication stands", action="publish", shard=work.owned.number, why=work.status.why)
            self._alerts.say("publication_stands", f"version {work.publication.version}: {error}", shard=work.owned.number)
        except Exception as error:  # a fault of ours, whose text may quote a customer's data; the shard goes on without it
            why = str(error) if isinstance(error, LaneFaultError) else f"unexpected {type(error).__name__} in {place_of(error)}"
            work.stand(why, FAULT_SECONDS)
            text = f"version {work.publication.version} of the definitions is held up by a fault of our own: {why}; report it"
            self._alerts.say("publication_fault", text, shard=work.owned.number)
        finally:
            work.let_go()

    async def _bring(self, work: _Work) -> None:
        """One way from the publication to the record, and on until the shard has come to it."""
        work.enter("reads")
        await self._read_whole(work)
        if not has_past(work.shard.body) and not work.publication.is_shadow:
            await asyncio.sleep(PUBLISHER_SECONDS)
            await self._read_whole(work)
        content = await self._topic.vouched(work.publication.version)
        if content is None:
            work.stand("it is not signed by a key of this worker's; publish it again with one that holds", FAULT_SECONDS)
            return
        publication = work.publication
        raw = definitions_control(content, publication.digest, publication.version, history=publication.history)
        if brings_history(decode_control(raw), work.shard.body):
            await (await send_tick(self._producer, self._settings, work.shard.shard))  # history is folded up to where time has come to
        work.enter("folds")
        run = work.run = await self._lanes.open(work.shard, decode_control(raw), work.tell)
        if run is not None:
            await run.reach_end("folds")
            work.failures = 0  # what fails from here on is another matter
        while work.publication.is_shadow:
            work.enter("shadow")
            await asyncio.sleep(SHADOW_SECONDS)
            if run is not None:
                await run.reach_end("shadow")
        work.enter("ready")
        await self._until_it_may_be_written(work, run)
        if work.is_given_up:
            return  # it is ended at the next look
        await self._write(work, raw)
        until = monotonic() + WRITTEN_SECONDS
        while work.shard.body.version < work.publication.version and monotonic() < until:
            await self._go_on(run)

    async def _until_it_may_be_written(self, work: _Work, run: LaneRun | None) -> None:
        """Wait for the customers of this shard: those who are not under the definitions that hold would all come at once where it comes to
        the record. Then for the lanes of other shards: what they have yet to send would hold it up there; that is asked last of what may
        take minutes, since a lane may fail meanwhile. Then for its turn.

        Gives up where something newer is to hold by then, unless another shard has begun: that one would wait for this one's lane for ever.
        """
        while work.shard.is_switching:
            work.enter("ready", SWITCHING)
            if not await self._may_go_on(work, run):
                return
        work.enter("ready")
        while run is not None and await self._is_any_other(work, is_far):
            if not await self._may_go_on(work, run):
                return
        while not self._turn.is_free_for(work.shard):
            if not await self._may_go_on(work, run):
                return
        self._turn.take(work.shard, work.publication.version)
        if run is not None:
            await run.reach_end("ready")
        await self._is_to_be_given_up(work, await self._topic.refresh())

    async def _may_go_on(self, work: _Work, run: LaneRun | None) -> bool:
        """Wait a moment for something; False where the work is given up."""
        if await self._is_to_be_given_up(work, self._topic.published):
            return False
        await self._go_on(run)
        return True

    async def _is_to_be_given_up(self, work: _Work, published: Published) -> bool:
        newest, version = published.newest, work.publication.version
        is_overtaken = newest is not None and newest.version > version
        work.is_given_up = is_overtaken and not await self._is_any_other(work, has_begun)
        return work.is_given_up

    async def _is_any_other(self, work: _Work, is_so: Callable[[Store, int, int, LaneStatus | None], Awaitable[bool]]) -> bool:
        others = [shard for shard in range(self._settings.shards) if shard != work.owned.number]
        return any([await is_so(self._store, shard, work.publication.version, self._works_of_ours(shard)) for shard in others])

    def _works_of_ours(self, shard: int) -> LaneStatus | None:
        work = self._works.get(shard)
        return work.status if work is not None else None

    async def _go_on(self, run: LaneRun | None) -> None:
        """Wait a moment, with what comes meanwhile folded, now and then: each pass reads the log by a consumer of its own."""
        await asyncio.sleep(POLL_SECONDS)
        if run is not None and monotonic() >= run.passed_at + PASS_SECONDS:
            await run.reach_end("ready")

    async def _write(self, work: _Work, raw: bytes) -> None:
        await send_control(self._producer, self._settings, raw, [work.owned.number])
        self._turn.take(work.shard, work.publication.version)  # to fold up to here may have taken as long as a turn
        work.enter("written")
        log.info("definitions written", action="publish", shard=work.owned.number, version=work.publication.version)

    async def _read_whole(self, work: _Work) -> None:
        """Wait until the shard has read its log up to where that ends now: what was published may lie in it."""
        partition = work.owned.partition
        end = (await self._consumer.ends([partition]))[partition]
        while work.shard.position.offset < end:  # noqa: ASYNC110 - a shard has no event for each of its records
            await asyncio.sleep(POLL_SECONDS)


async def is_far(store: Store, shard: int, version: int, ours: LaneStatus | None) -> bool:
    """Whether a shard does not obey a version, and its worker is on the way there and not near yet. ``ours`` is what is known of it where
    it is this worker's.

    One that nobody has is not waited for: it links nothing meanwhile. One whose lane stands is: it goes on to link ids, and what its lane
    has to send of them would hold up a live step that had come to the record.
    """
    lane = ours
    if lane is None:
        note = await read_note(store, shard)
        if note is None or note.is_stale(int(time() * 1_000)) or note.status.state is not ShardState.OWNED:
            return False
        lane = note.status.lane
    if lane is not None and lane.version == version and lane.state in {"ready", "written"}:
        return False
    found = (await store.checkpoint(shard)).body
    return (decode_body(found).version if found else 0) < version


async def has_begun(store: Store, shard: int, version: int, ours: LaneStatus | None) -> bool:
    """Whether a shard obeys this version and none behind it, or its record lies in the log. ``ours`` as for ``is_far``."""
    lane = ours
    if lane is None:
        note = await read_note(store, shard)
        lane = note.status.lane if note is not None else None
    if lane is not None and (lane.version, lane.state) == (version, "written"):
        return True
    found = (await store.checkpoint(shard)).body
    return bool(found) and decode_body(found).version == version


__all__ = ["Proposals"]
