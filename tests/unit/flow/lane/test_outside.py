"""A broker that is away while a lane is folded on the spot fails as what is outside, whichever library said so and whatever was asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import NoReturn, cast

import pytest

from streamer.errors import ReleasedError
from streamer.flow.lane.outside import OutsideLog, OutsideSink
from streamer.flow.relay import Sink
from streamer.flow.shard_log import Log
from streamer.wire import CHANGES, LogRecord

pytestmark = pytest.mark.fast


class Away:
    """A log and a sink that answer nothing but an error; ``read`` gives one batch before."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def fail(self, *_: object) -> NoReturn:
        raise self._error

    look = history = tail = send = fail

    async def read(self, *_: object) -> AsyncGenerator[Sequence[LogRecord]]:
        yield [LogRecord(0, 0, b"")]
        raise self._error


async def each_fails(error: Exception, match: type[Exception]) -> None:
    """Whatever is asked of what is outside raises this."""
    away = Away(error)
    log, sink = OutsideLog(cast("Log", away)), OutsideSink(cast("Sink", away))
    batches = log.read(0, 0, 10)
    assert await anext(batches) == [LogRecord(0, 0, b"")]
    for asked in (anext(batches), log.look(0, -1), log.history(0, 0, 1, 1), sink.tail(CHANGES, 0), sink.send([])):
        with pytest.raises(match):
            await asked


async def test_an_error_of_a_library_is_no_fault_of_the_record_in_hand() -> None:
    """What fails twice at a record is passed over, for good: the definitions would never hold since Kafka was restarted."""
    await each_fails(RuntimeError("as the errors of aiokafka are"), ConnectionError)


async def test_what_is_ours_is_said_as_it_is() -> None:
    """Whoever was released is not to try again."""
    await each_fails(ReleasedError("released"), ReleasedError)
