"""What becomes of a record in the topic of commands, whatever it is and whatever fails on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaTimeoutError

from streamer.commands import BEGINS_MAX, Answer, AnswerLog, Command, Erase, decode_answer, encode_answer, encode_command
from streamer.errors import CommitUnknownError, FencedError, HaltError, SettingsError, StoreUnavailableError
from streamer.flow.published import Published
from streamer.settings import load_settings
from streamer.worker.commands.actions import Report
from streamer.worker.commands.handler import AWAY_SECONDS, CommandHandler

ID = "0123456789abcdef0123456789abcdef"
NOW = 1_800_000_000
COMMAND = Command(ID, NOW * 1_000, NOW * 1_000 + 20_000, Erase("mila@example.com"), "ops@shop")
RAW = encode_command(COMMAND)


class World:
    """A topic of answers, a clock, and what is done for a command: ``fails`` are raised first, one a try."""

    def __init__(self, *fails: Exception, lost_answers: int = 0) -> None:
        self.now = float(NOW)
        self.log: list[bytes] = []
        self.known = AnswerLog()
        self.done: list[Command] = []
        self.fails = list(fails)
        self.alerts: list[tuple[str, str]] = []
        self.lost_answers = lost_answers
        self.on_answer: Callable[[], None] = lambda: None
        self.published = Published()

    def handler(self) -> CommandHandler:
        settings = load_settings(shards=2)
        world = cast("Any", self)
        return CommandHandler(settings, world.Definitions(self), world, world, self.perform, clock=lambda: self.now, again_seconds=0)

    class Definitions:
        def __init__(self, world: World) -> None:
            self._world = world

        async def refresh(self) -> Published:
            return self._world.published

    async def refresh(self) -> AnswerLog:
        for offset, raw in enumerate(self.log):
            self.known.take(offset, raw)
        return self.known

    async def give(self, answer: Answer) -> None:
        self.on_answer()
        if self.lost_answers:
            self.lost_answers -= 1
            raise KafkaTimeoutError
        self.log.append(encode_answer(answer))

    def say(self, kind: str, text: str) -> None:
        self.alerts.append((kind, text))

    async def perform(self, command: Command) -> Report:
        self.now += 1
        if self.fails:
            raise self.fails.pop(0)
        self.done.append(command)
        return Report("done well", ["a note"])

    def outcomes(self) -> list[str]:
        return [decode_answer(raw).outcome for raw in self.log]


async def test_a_command_is_begun_done_and_answered_and_never_done_again() -> None:
    """Faust gives a record again after a rebalance, and a producer may write one twice."""
    world = World()
    await world.handler().handle(RAW, ())
    await world.handler().handle(RAW, ())
    assert world.outcomes() == ["begun", "done"]
    assert world.done == [COMMAND]
    final = (await world.refresh()).final(ID)
    assert final is not None
    assert (final.text, final.notes) == ("done well", ["a note"])


@pytest.mark.parametrize("raw", [b"", b"\x00", b"{}", RAW.replace(b"erase", b"drop"), b"[" * 3_000])
async def test_what_is_no_command_is_an_alert_and_nothing_else(raw: bytes) -> None:
    """A handler that raised would lose it in silence; one that tried again would hold up all behind it."""
    world = World()
    await world.handler().handle(raw, ())
    assert (world.log, [kind for kind, _ in world.alerts]) == ([], ["bad_command"])


async def test_what_expired_is_not_begun_and_what_was_begun_is_finished_all_the_same() -> None:
    """Whoever asked was told that nothing will be done, or that it goes on; both must stay true."""
    world = World()
    world.now += 20
    await world.handler().handle(RAW, ())
    assert (world.outcomes(), world.done) == (["expired"], [])
    begun = World()
    begun.log.append(encode_answer(Answer(ID, "begun", "x", "another:1", "2027-01-15T08:00:00.000Z")))
    begun.now += 20
    await begun.handler().handle(RAW, ())
    assert (begun.outcomes(), begun.done) == (["begun", "begun", "done"], [COMMAND])


async def test_a_worker_that_could_say_only_late_that_it_begins_does_not_begin() -> None:
    """By then whoever asked has been told that nothing was done."""
    world = World()

    def slow() -> None:
        world.now += 30

    world.on_answer = slow
    await world.handler().handle(RAW, ())
    assert (world.outcomes(), world.done) == (["begun", "expired"], [])


async def test_while_kafka_or_the_store_are_away_it_is_tried_again() -> None:
    """What is given up is never asked for again, and it may be an erasure."""
    world = World(KafkaTimeoutError(), StoreUnavailableError("away"), CommitUnknownError("lost"), TimeoutError(), lost_answers=3)
    await world.handler().handle(RAW, ())
    assert (world.outcomes(), world.done) == (["begun", "done"], [COMMAND])


async def test_what_fails_for_long_after_it_expired_has_failed() -> None:
    """One command must not hold up the others for ever."""
    world = World(*(StoreUnavailableError("away") for _ in range(int(AWAY_SECONDS) * 3)))
    await world.handler().handle(RAW, ())
    assert world.outcomes() == ["begun", "failed"]


@pytest.mark.parametrize("error", [SettingsError("no such shard"), FencedError("another owner"), HaltError("a key is lacking")])
async def test_what_cannot_be_done_is_refused_with_its_reason(error: Exception) -> None:
    """It would be the same a second later."""
    world = World(error)
    await world.handler().handle(RAW, ())
    assert world.outcomes() == ["begun", "refused"]
    final = (await world.refresh()).final(ID)
    assert final is not None
    assert final.text == str(error)


async def test_a_fault_of_ours_is_answered_and_told_without_customers_data() -> None:
    """The next command is done all the same."""
    world = World(KeyError("mila@example.com"))
    await world.handler().handle(RAW, ())
    assert world.outcomes() == ["begun", "failed"]
    assert [kind for kind, _ in world.alerts] == ["command_failed"]
    assert not any(b"mila" in raw for raw in world.log)
    assert not any("mila" in text for _, text in world.alerts)


async def test_a_command_that_ended_three_workers_is_given_up() -> None:
    """What it does to them it does to the next one."""
    world = World()
    world.log = [encode_answer(Answer(ID, "begun", "x", f"w:{n}", "2027-01-15T08:00:00.000Z")) for n in range(BEGINS_MAX)]
    await world.handler().handle(RAW, ())
    assert (world.outcomes(), world.done) == (["begun"] * BEGINS_MAX + ["failed"], [])
