"""A process of a worker that folds lanes and nothing else: what it computes, live traffic does not wait for.

It takes of the machine what nobody else wants. It keeps nothing: where a lane stands is in the store, and whoever opens one fences whoever
had it before. So it may be killed at any moment, and ends at once when its worker does, however that ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Coroutine
from typing import Final, assert_never

import structlog
from aiokafka import AIOKafkaProducer
from structlog.typing import FilteringBoundLogger

from streamer import zones
from streamer.errors import SettingsError, place_of
from streamer.flow.amendments import Amendments
from streamer.flow.catalog import Plans
from streamer.flow.lane.lane_plan import LanePlan, plan_lane
from streamer.settings import Settings
from streamer.stopping import at_most
from streamer.stores.base import Store
from streamer.telemetry.log_lines import configure_logging
from streamer.transports.kafka.clients import is_dead, producer
from streamer.transports.kafka.log_inspector import LogInspector
from streamer.transports.kafka.sink import KafkaSink
from streamer.wire import decode_control

from .compiling import beside
from .lane_messages import (
    AdvanceLane,
    CloseLane,
    LaneChannel,
    LaneDone,
    LaneFailed,
    LaneFailure,
    LaneProcessWorks,
    LaneQuestion,
    LaneTold,
    LiveLag,
    OpenLane,
    read_question,
)
from .lane_opening import LaneOpener
from .lane_pace import LanePace
from .lane_run import STANDING, UNANSWERED, LaneHere, why_unanswered
from .processor_share import ProcessorShare, give_way

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.lanes")

STARVED: Final = 75  # the exit code; EX_TEMPFAIL
SHARE_SECONDS: Final = 0.5  # between two looks at what is left over
AT_ONCE: Final = 2  # one lane computes while another waits for the store
CONNECT_SECONDS: Final = 30.0  # for a producer to be numbered by a broker, which it would wait for without end
STOP_SECONDS: Final = 1.0  # for one to let go of its connections


def fold_lanes(theirs: socket.socket, settings: Settings, *, gives_way: bool) -> None:
    """What the process does, until the other side of the socket is closed. ``settings`` are the worker's, with the keys it has read.

    Where it ``gives_way`` it takes only what of the processors nobody else wants, and ends with the code ``STARVED`` if that is next to
    nothing.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's to hear
    configure_logging(settings.log_level)
    try:
        zones.know(settings.zones_dir)
        asyncio.run(_serve(theirs, settings, gives_way=gives_way and give_way()))
    except SettingsError as error:
        log.critical("broken", action="lanes", why=str(error))
        os._exit(1)
    except Exception as error:  # its text may quote a customer's data
        log.critical("broken", action="lanes", error=type(error).__name__, where=place_of(error))
        os._exit(1)


async def _serve(theirs: socket.socket, settings: Settings, *, gives_way: bool) -> None:
    lanes = LanesOfProcess(settings, settings.open_store(), await LaneChannel.over(theirs))
    watching = asyncio.create_task(_watch_share()) if gives_way else None
    await lanes.serve()
    if watching is not None:
        watching.cancel()
    os._exit(0)  # there is nothing to tidy up, and a compilation in a thread would be waited for


async def _watch_share() -> None:
    """End the process once nothing is left over for it: its worker begins one that asks for its share."""
    share = ProcessorShare()
    while not share.is_starved():  # noqa: ASYNC110 - what is left over is no event
        await asyncio.sleep(SHARE_SECONDS)
    os._exit(STARVED)


class _LaneInHand:
    """One lane of this process. ``upto`` is how far its shard has come."""

    def __init__(self) -> None:
        self.amendments = Amendments()
        self.upto = 0
        self.run: LaneHere | None = None
        self.task: asyncio.Task[None] | None = None  # what answers the question in hand


class LanesOfProcess:
    """Does what the worker asks for over ``channel``, side by side for all lanes."""

    def __init__(self, settings: Settings, store: Store, channel: LaneChannel) -> None:
        self._settings = settings
        self._rules = settings.rules
        self._keyring = settings.keyring
        self._store = store
        self._channel = channel
        self._inspector = LogInspector(settings)
        self._plans = Plans(store, self._rules, compile_by=beside)
        self._planning = asyncio.Lock()  # all lanes want the same plan, which is made once
        self._connecting = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None
        self._lag_ms = 0.0
        self._pace = LanePace(lambda: self._lag_ms, lambda: False, at_once=AT_ONCE)
        self._lanes: dict[int, _LaneInHand] = {}

    async def serve(self) -> None:
        """Until the worker is gone."""
        while (raw := await self._channel.receive()) is not None:
            self._take(read_question(raw))

    def _take(self, question: LaneQuestion) -> None:
        match question:
            case LiveLag():
                self._lag_ms = question.ms
                self._channel.send(LaneProcessWorks())
            case CloseLane():
                self._drop(question.lane)
            case OpenLane():
                lane = self._lanes[question.lane] = _LaneInHand()
                self._begin(question.lane, lane, self._open(question, lane))
            case AdvanceLane():
                if (lane := self._lanes.get(question.lane)) is not None:  # or it has failed, which was said
                    self._begin(question.lane, lane, self._advance(question, lane))
            case _:
                assert_never(question)

    def _begin(self, number: int, lane: _LaneInHand, work: Coroutine[None, None, None]) -> None:
        lane.task = asyncio.create_task(self._answer(number, work))

    def _drop(self, number: int) -> None:
        lane = self._lanes.pop(number, None)
        if lane is not None and lane.task is not None:
            lane.task.cancel()

    async def _answer(self, number: int, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except UNANSWERED as error:
            self._fail(number, "unanswered", why_unanswered(error))
        except STANDING as error:
            self._fail(number, "halt", str(error))
        except Exception as error:  # its text may quote a customer's data
            self._fail(number, "fault", f"unexpected {type(error).__name__} in {place_of(error)}")
        else:
            self._channel.send(LaneDone(number))

    def _fail(self, number: int, failure: LaneFailure, text: str) -> None:
        self._lanes.pop(number, None)
        self._channel.send(LaneFailed(number, failure, text))

    async def _open(self, question: OpenLane, lane: _LaneInHand) -> None:
        for amendment in question.amendments:
            lane.amendments.add(amendment)
        plan, sink = await self._plan(question), KafkaSink(self._settings, await self._connected())
        opener = LaneOpener(self._store, self._inspector, sink, self._rules, self._keyring, self._pace, self._plans.scorers)
        lane.run = await opener.open(
            question.shard,
            plan,
            decode_control(question.control).version,
            lane.amendments,
            question.inherited,
            lambda status: self._channel.send(LaneTold(question.lane, status)),
            lambda: lane.upto,
        )

    async def _advance(self, question: AdvanceLane, lane: _LaneInHand) -> None:
        for amendment in question.amendments:
            lane.amendments.add(amendment)
        lane.upto = question.upto
        assert lane.run is not None, "it was opened, or has failed and is gone"
        await lane.run.advance(question.state)

    async def _plan(self, question: OpenLane) -> LanePlan:
        """The same plan as the worker's. HaltError where its shard has gone on to other definitions meanwhile."""
        before = await self._plans.get(question.before, question.shard)
        after, _ = await self._plans.read(decode_control(question.control))
        async with self._planning:
            plan = await beside(
                lambda: plan_lane(
                    before,
                    after,
                    lateness_ms=self._rules.lateness_ms,
                    history=question.history,
                    brought=question.brought,
                )
            )
        assert plan is not None, "nobody asks to fold nothing"
        return plan

    async def _connected(self) -> AIOKafkaProducer:
        """A producer that is alive: after an error that breaks its numbering one takes nothing any more. TimeoutError where there is none
        within ``CONNECT_SECONDS``, for all lanes that wait for it."""
        async with asyncio.timeout(CONNECT_SECONDS), self._connecting:
            if self._producer is not None and is_dead(self._producer):
                dead, self._producer = self._producer, None
                await at_most(STOP_SECONDS, dead.stop())
            if self._producer is None:
                self._producer = await _started(producer(self._settings))
            return self._producer


async def _started(client: AIOKafkaProducer) -> AIOKafkaProducer:
    """The same, started; where that fails or is cancelled nothing is open."""
    try:
        await client.start()
    except BaseException:
        await at_most(STOP_SECONDS, client.stop())
        raise
    return client


__all__ = ["STARVED", "LanesOfProcess", "fold_lanes"]
