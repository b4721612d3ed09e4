"""A process that folds lanes does what its worker asks for, and says what came of it."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from streamer.errors import SettingsError, StoreUnavailableError
from streamer.flow.amendments import Amendment
from streamer.flow.checkpoint import NOTHING_BROUGHT
from streamer.flow.lane.inherited import NOTHING
from streamer.language.definitions import parse_definitions
from streamer.settings import load_settings
from streamer.wire import EVENTS, definitions_control
from streamer.worker.shards import lane_process
from streamer.worker.shards.lane_messages import (
    AdvanceLane,
    CloseLane,
    LaneAnswer,
    LaneChannel,
    LaneDone,
    LaneFailed,
    LaneProcessWorks,
    LaneQuestion,
    LaneTold,
    LiveLag,
    OpenLane,
    encode_message,
    read_answer,
    read_question,
)
from streamer.worker.shards.lane_process import LanesOfProcess, fold_lanes
from streamer.worker.status.lane_status import LaneStatus
from tests.unit.worker.one_worker import SEEN, Worker

BUYER = parse_definitions({"segments": {"buyer": {"for": "x", "when": 'did("Order Completed")'}}})
CONTROL = definitions_control(BUYER.content(), BUYER.digest, 2)
SECONDS = 60


class Asked:
    """The lanes of a process over the log and the store of a worker, asked as the worker would."""

    def __init__(self, worker: Worker, lanes: LanesOfProcess, channel: LaneChannel) -> None:
        self.worker, self.lanes = worker, lanes
        self._channel = channel

    async def ask(self, question: LaneQuestion) -> tuple[list[LaneTold], LaneDone | LaneFailed]:
        """All that is said until it is answered."""
        self._channel.send(question)
        told = list[LaneTold]()
        while not isinstance(answer := await self._next(), LaneDone | LaneFailed):
            told += [answer] if isinstance(answer, LaneTold) else []
        return told, answer

    def say(self, question: LaneQuestion) -> None:
        self._channel.send(question)

    async def _next(self) -> LaneAnswer:
        raw = await self._channel.receive()
        assert raw is not None
        return read_answer(raw)


@asynccontextmanager
async def asked() -> AsyncGenerator[Asked]:
    """A shard that has read 21 records under one segment."""
    worker = Worker()
    await worker.own()
    ours, theirs = socket.socketpair()
    channel = await LaneChannel.over(theirs)
    lanes = LanesOfProcess(load_settings(shards=1), worker.store, channel)
    lanes._inspector = cast("Any", worker.log)

    async def connected() -> None:
        """Nothing is sent in these tests."""

    lanes._connected = cast("Any", connected)
    serving = asyncio.create_task(lanes.serve())
    worker_side = await LaneChannel.over(ours)
    async with asyncio.timeout(SECONDS):
        yield Asked(worker, lanes, worker_side)
        worker_side.close()
        await serving  # it returns once the worker is gone
    channel.close()


def opening(lane: int = 1, before: str = SEEN.digest, amendments: list[Amendment] | None = None) -> OpenLane:
    return OpenLane(lane, 0, CONTROL, before, 0, NOTHING_BROUGHT, amendments or [], NOTHING)


def buy(worker: Worker, customer: str) -> None:
    raw = b'{"event": "Order Completed", "messageId": "o%s", "userId": "%s", "timestamp": 900}'
    worker.log.append(EVENTS, 0, raw % (customer.encode(), customer.encode()))


async def folded(found: Asked) -> tuple[int, int]:
    """Where the lane of the store stands, and how many events it has accepted and refused there."""
    store = found.worker.store
    [name] = await store.lanes(0)
    counts = found.lanes._lanes[1].run._lane.counts  # pyright: ignore[reportOptionalMemberAccess]
    return (await store.lane(name).checkpoint(0)).position.offset, counts.get("accepted", 0)


async def test_a_lane_is_folded_up_to_where_its_shard_has_come() -> None:
    """What lies behind, the shard may yet pass over."""
    async with asked() as found:
        for number in range(10):
            buy(found.worker, f"c{number}")
        assert await found.ask(opening()) == ([], LaneDone(1))
        told, answer = await found.ask(AdvanceLane(1, "folds", 25, []))
        assert answer == LaneDone(1)
        assert told[-1].status == LaneStatus(2, "folds", 25, 25)
        assert await folded(found) == (25, 24)
        assert (await found.ask(AdvanceLane(1, "ready", 31, [])))[1] == LaneDone(1)
        assert await folded(found) == (31, 30)


async def test_a_lane_passes_over_what_its_shard_has_passed_over_before_or_since() -> None:
    """It would remember of somebody what the shard does not."""
    async with asked() as found:
        for number in range(10):
            buy(found.worker, f"c{number}")
        await found.ask(opening(amendments=[Amendment("skip", 0, 3)]))
        await found.ask(AdvanceLane(1, "folds", 25, []))
        await found.ask(AdvanceLane(1, "folds", 31, [Amendment("fault", 0, 28)]))
        assert await folded(found) == (31, 28)


async def test_a_lane_begins_where_no_definitions_held_yet() -> None:
    """A shop that starts with its history: the first definitions are folded over what was imported."""
    async with asked() as found:
        assert await found.ask(opening(before="")) == ([], LaneDone(1))


async def test_what_a_person_must_look_at_is_said_in_words() -> None:
    """The shard has gone on to other definitions: the lane was asked for in vain."""
    async with asked() as found:
        _, answer = await found.ask(opening(before="0" * 32))
        assert isinstance(answer, LaneFailed)
        assert (answer.failure, "not in the store" in answer.text) == ("halt", True)


async def test_a_store_that_does_not_answer_is_to_be_asked_again_and_costs_that_lane_alone() -> None:
    """The lane is opened anew then, where its checkpoint stands."""
    async with asked() as found:
        await found.ask(opening(2))
        await found.ask(opening(1))
        run: Any = found.lanes._lanes[1].run

        async def away(*_: object) -> None:
            raise StoreUnavailableError("away")

        run.advance = away
        assert await found.ask(AdvanceLane(1, "folds", 5, [])) == ([], LaneFailed(1, "unanswered", "StoreUnavailableError: away"))
        found.say(AdvanceLane(1, "folds", 5, []))  # asked before that was heard: nothing is said twice
        assert (await found.ask(opening(3)))[1] == LaneDone(3)


class Client:
    """A producer which its broker numbers if it ``is_answered``."""

    def __init__(self) -> None:
        self.is_answered, self.is_broken, self.is_stopped = True, False, False

    async def start(self) -> None:
        if not self.is_answered:
            await asyncio.Event().wait()

    async def stop(self) -> None:
        self.is_stopped = True


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    """The producers that a process is given, in this order; those of them that it has had are gone."""
    found = [Client(), Client(), Client()]
    monkeypatch.setattr(lane_process, "producer", lambda _settings: found.pop(0))
    monkeypatch.setattr(lane_process, "is_dead", lambda client: client.is_broken)
    return found


async def test_a_broker_that_numbers_no_producer_is_said_and_nothing_stays_open(
    clients: list[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer waits for that without end: its lane would say that it folds, and every other lane would wait behind it."""
    monkeypatch.setattr(lane_process, "CONNECT_SECONDS", 0.05)
    first, second, _ = clients
    first.is_answered = False
    async with asked() as found:
        del vars(found.lanes)["_connected"]
        _, answer = await found.ask(opening())
        assert answer == LaneFailed(1, "unanswered", "TimeoutError: Kafka or the store did not answer in time")
        assert first.is_stopped
        monkeypatch.setattr(lane_process, "CONNECT_SECONDS", SECONDS)
        assert (await found.ask(opening(2)))[1] == LaneDone(2)
        assert (await found.ask(opening(3)))[1] == LaneDone(3)
        assert not second.is_stopped
        assert len(clients) == 1, "one is enough for all lanes"


async def test_a_lane_that_is_closed_while_its_process_connects_leaves_nothing_open(clients: list[Client]) -> None:
    """Its publication was overtaken, and the next lane connects."""
    first = clients[0]
    first.is_answered = False
    async with asked() as found:
        del vars(found.lanes)["_connected"]
        found.say(opening(1))
        while len(clients) == 3:  # noqa: ASYNC110 - until it connects
            await asyncio.sleep(0)
        found.say(CloseLane(1))
        assert (await found.ask(opening(2)))[1] == LaneDone(2)
        assert first.is_stopped


async def test_a_producer_that_is_dead_is_stopped_before_another_takes_its_place(clients: list[Client]) -> None:
    """Its connections would stay open for as long as the process lives."""
    first, second, _ = clients
    async with asked() as found:
        del vars(found.lanes)["_connected"]
        assert (await found.ask(opening(1)))[1] == LaneDone(1)
        first.is_broken = True
        assert (await found.ask(opening(2)))[1] == LaneDone(2)
        assert (first.is_stopped, second.is_stopped, len(clients)) == (True, False, 1)


async def test_a_setting_that_cannot_be_used_is_a_persons_to_mend_and_no_fault_of_ours() -> None:
    """A file for TLS that went away: its name is what the operator must know."""
    async with asked() as found:
        await found.ask(opening())
        run: Any = found.lanes._lanes[1].run

        async def wrong(*_: object) -> None:
            raise SettingsError("STREAMER_KAFKA_CA_FILE: cannot use /ca.pem")

        run.advance = wrong
        _, answer = await found.ask(AdvanceLane(1, "folds", 5, []))
        assert answer == LaneFailed(1, "halt", "STREAMER_KAFKA_CA_FILE: cannot use /ca.pem")


def test_a_process_that_cannot_begin_says_which_setting_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker only sees that it ended."""
    codes = list[int]()
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(lane_process, "configure_logging", lambda _level: None)
    ours, theirs = socket.socketpair()
    with ours, theirs, capture_logs() as said:
        fold_lanes(theirs, load_settings(shards=1, store="rediss://127.0.0.1:1", store_ca_file="/nowhere/ca.pem"), gives_way=False)
    assert codes == [1]
    [line] = said
    assert (line["action"], line["log_level"]) == ("lanes", "critical")
    assert "STREAMER_STORE_CA_FILE: cannot use /nowhere/ca.pem" in line["why"]


async def test_of_a_fault_of_our_own_only_the_class_and_the_place_are_said() -> None:
    """Its text may quote a customer's data, and what is said is shown."""
    async with asked() as found:
        await found.ask(opening())
        run: Any = found.lanes._lanes[1].run

        async def fails(*_: object) -> None:
            raise ValueError("jane@example.com")

        run.advance = fails
        _, answer = await found.ask(AdvanceLane(1, "folds", 5, []))
        assert isinstance(answer, LaneFailed)
        assert answer.failure == "fault"
        assert "ValueError" in answer.text
        assert "jane" not in answer.text


async def test_a_lane_that_is_closed_folds_no_more_and_says_nothing() -> None:
    """Its shard does the rest, or another worker has it."""
    async with asked() as found:
        await found.ask(opening(1))
        await found.ask(opening(2))
        run: Any = found.lanes._lanes[1].run
        begun, ended = asyncio.Event(), asyncio.Event()

        async def waits(*_: object) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        run.advance = waits
        found.say(AdvanceLane(1, "folds", 5, []))
        await begun.wait()
        found.say(CloseLane(1))
        await ended.wait()
        found.say(CloseLane(1))
        found.say(LiveLag(250.0))
        assert (await found.ask(AdvanceLane(2, "folds", 5, [])))[1] == LaneDone(2)


async def test_a_process_says_that_it_hears_how_far_live_traffic_lags() -> None:
    """Its lanes wait while that is much, and the worker ends a process that does not hear."""
    async with asked() as found:
        assert not found.lanes._pace._is_to_yield()
        found.say(LiveLag(250.0))
        assert await found._next() == LaneProcessWorks()
        assert found.lanes._pace._is_to_yield()


def test_every_message_comes_as_it_was_sent() -> None:
    """Both sides are of one release, and have one notion of each."""
    amendment = Amendment("arrival", 0, 3, to=9, arrival_ms=5, who="a person")
    questions = [opening(amendments=[amendment]), AdvanceLane(1, "shadow", 7, [amendment]), CloseLane(1), LiveLag(12.5)]
    assert [read_question(encode_message(one)) for one in questions] == questions
    answers = [LaneProcessWorks(), LaneTold(1, LaneStatus(2, "ready", 3, 4, 5, "why")), LaneDone(1), LaneFailed(1, "halt", "text")]
    assert [read_answer(encode_message(one)) for one in answers] == answers
