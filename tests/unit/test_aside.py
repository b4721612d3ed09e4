"""Work in a process of its own: its answer, its end without one, and its bound."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from multiprocessing.connection import Connection

import msgspec
import pytest

from streamer.aside import Outcomes, done_aside, received, told_aside
from streamer.errors import HaltError, SettingsError, StreamerError, TooMuchError
from streamer.settings import Settings, load_settings


def answer(connection: Connection, settings: Settings, task: bytes) -> None:
    """Say what was asked, and one thing that only the settings know."""
    connection.send_bytes(task + str(settings.shards).encode())


def count(connection: Connection, _settings: Settings, _task: bytes) -> None:
    """Say numbers."""
    for number in range(1_000):
        connection.send_bytes(b"%d" % number)


def end(_connection: Connection, _settings: Settings, _task: bytes) -> None:
    """Say nothing."""


def hang(_connection: Connection, _settings: Settings, _task: bytes) -> None:
    """Wait for what never comes."""
    signal.pause()


async def test_the_process_has_the_settings_and_the_task_and_its_answer_comes_back() -> None:
    """It is begun anew, and shares nothing with the one that asks."""
    assert await done_aside(answer, load_settings(shards=3), b"shards: ", seconds_max=60) == b"shards: 3"


async def test_a_process_that_ends_without_an_answer_is_told_from_one_that_computes() -> None:
    """Whoever asks would else wait until the bound."""
    assert await done_aside(end, load_settings(), b"", seconds_max=60) == b""


async def test_a_process_that_takes_too_long_is_ended() -> None:
    """It would hold a core for nobody."""
    with pytest.raises(TimeoutError):
        await done_aside(hang, load_settings(), b"", seconds_max=0.5)


async def test_a_process_may_say_many_things_and_ends_where_nobody_listens_any_more() -> None:
    """It waits while nobody takes what it says, so none of it fills the memory of whoever asked."""
    assert [int(piece) async for piece in told_aside(count, load_settings(), b"")] == list(range(1_000))
    pieces = told_aside(count, load_settings(), b"")
    assert await anext(pieces) == b"0"
    async with asyncio.timeout(60):
        await pieces.aclose()


def killed_before_it_read() -> Connection:
    """What leads to a process that was killed before it had read what it was told."""
    ours, theirs = multiprocessing.Pipe()
    ours.send_bytes(b"a task")
    theirs.close()
    return ours


async def test_a_process_that_is_killed_before_it_reads_its_task_has_no_answer() -> None:
    """The system says another thing of that than of an end: the connection was reset."""
    with pytest.raises(ConnectionResetError):
        killed_before_it_read().recv_bytes()
    assert await received(killed_before_it_read()) == b""


class Answer(msgspec.Struct):
    """Something that is found out."""

    number: int


async def found_out(error: StreamerError | None = None) -> Answer:
    """An answer, or no answer."""
    if error is not None:
        raise error
    return Answer(7)


async def test_an_outcome_is_the_answer_or_the_error_as_it_was() -> None:
    """Whoever asks catches what they would have caught without a process between."""
    outcomes = Outcomes(Answer, TooMuchError)
    assert outcomes.read(await outcomes.of(found_out()), without="nothing") == Answer(7)
    with pytest.raises(TooMuchError, match=r"^ask for less$"):
        outcomes.read(await outcomes.of(found_out(TooMuchError("ask for less"))), without="nothing")
    with pytest.raises(HaltError, match=r"^a setting is wrong$"):
        outcomes.read(await outcomes.of(found_out(SettingsError("a setting is wrong"))), without="nothing")
    with pytest.raises(HaltError, match=r"^it ended$"):
        outcomes.read(b"", without="it ended")
