"""The position of a group moves behind what is written, and never before it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError, TopicAuthorizationFailedError

import streamer.ingest.loop
from streamer.errors import NotWrittenError
from streamer.ingest.loop import CHUNK_RECORDS, IngestLoop
from streamer.ingest.message_reader import message_reader
from streamer.ingest.translation import Translation
from streamer.settings import Settings
from streamer.telemetry.ingest_metrics import IngestMetrics
from streamer.transports.kafka.event_writer import Record
from streamer.transports.kafka.source_consumer import SourceMessage

PLACE = TopicPartition("shop.clicks", 0)


class FakeSource:
    """Gives what it has, once, and then ends. An error stands for messages that cannot be read."""

    def __init__(self, *answers: list[SourceMessage] | Exception) -> None:
        self.answers = [*answers]
        self.story: list[str] = []

    async def fetch(self, max_records: int) -> list[SourceMessage]:
        assert max_records > 0
        answer = self.answers.pop(0) if self.answers else ConsumerStoppedError()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def commit(self, behind: Mapping[TopicPartition, int]) -> None:
        self.story.append(f"commit {behind[PLACE]}")

    def finish(self) -> None:
        self.story.append("finish")


class FakeSink:
    """Takes records, after it has failed ``fails`` times."""

    def __init__(self, story: list[str], fails: int = 0) -> None:
        self.story = story
        self.fails = fails
        self.tries: list[list[Record]] = []
        self.tried = asyncio.Event()

    async def write(self, records: Iterable[Record]) -> None:
        self.tries.append([*records])
        self.tried.set()
        if len(self.tries) <= self.fails:
            raise NotWrittenError("no answer from Kafka for 5 s")
        self.story.append(f"wrote {len(self.tries[-1])}")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits."""
    monkeypatch.setattr(streamer.ingest.loop, "PAUSE_SECONDS", 0)


def messages(offsets: Iterable[int]) -> list[SourceMessage]:
    fields = {"event": "Product Viewed", "userId": "ada", "timestamp": 1_790_000_000_000}
    return [SourceMessage("shop.clicks", 0, at, None, json.dumps({**fields, "messageId": f"m-{at}"}).encode()) for at in offsets]


def loop_of(source: FakeSource, sink: FakeSink) -> tuple[IngestLoop, IngestMetrics]:
    settings = Settings(ingest_format="streamer", shards=1)  # pyright: ignore[reportCallIssue]
    metrics = IngestMetrics()
    return IngestLoop(source, sink, Translation(settings, message_reader(settings), lambda: 0), metrics), metrics


async def test_it_commits_behind_what_is_written() -> None:
    """Before it, a crash would lose what nobody reads again."""
    source = FakeSource(messages([4, 5]), messages([6]))
    loop, metrics = loop_of(source, FakeSink(source.story))
    await loop.run()
    assert source.story == ["wrote 2", "commit 6", "finish", "wrote 1", "commit 7", "finish"]
    assert b'ingest_events_total{topic="shop.clicks"} 3.0' in metrics.text()


async def test_what_kafka_does_not_take_is_tried_again_as_it_is() -> None:
    """Nothing is passed over, however long the broker is away."""
    source = FakeSource(messages([4, 5]))
    sink = FakeSink(source.story, fails=3)
    loop, metrics = loop_of(source, sink)
    await loop.run()
    assert sink.tries == [sink.tries[0]] * 4
    assert source.story == ["wrote 2", "commit 6", "finish"]
    assert b"ingest_write_retries_total 3.0" in metrics.text()


async def test_at_its_end_it_commits_nothing_that_is_not_written() -> None:
    """SIGTERM while Kafka is away: the next one reads it again."""
    source = FakeSource(messages([4, 5]), messages([6]))
    sink = FakeSink(source.story, fails=1_000_000)
    loop, _ = loop_of(source, sink)
    running = asyncio.create_task(loop.run())
    async with asyncio.timeout(5):
        await sink.tried.wait()
        loop.is_stopping = True
        await running
    assert source.story == ["finish"]
    assert source.answers == [messages([6])]


async def test_many_messages_are_written_piece_by_piece() -> None:
    """Memory is bounded by the piece, and a crash repeats no more than that."""
    source = FakeSource(messages(range(CHUNK_RECORDS * 2 + 1)))
    loop, _ = loop_of(source, FakeSink(source.story))
    await loop.run()
    sizes = [f"wrote {CHUNK_RECORDS}", f"commit {CHUNK_RECORDS}", f"wrote {CHUNK_RECORDS}", f"commit {2 * CHUNK_RECORDS}"]
    assert source.story == [*sizes, "wrote 1", f"commit {2 * CHUNK_RECORDS + 1}", "finish"]


async def test_messages_that_cannot_be_read_are_a_problem_until_they_can() -> None:
    """Rights that were taken away come back; the ingest goes on by itself."""
    source = FakeSource(TopicAuthorizationFailedError(), messages([4]))
    sink = FakeSink(source.story)
    loop, _ = loop_of(source, sink)
    seen: list[str] = []
    write = sink.write

    async def look(records: Iterable[Record]) -> None:
        seen.append(loop.problem)
        await write(records)

    sink.write = look  # type: ignore[method-assign]
    await loop.run()
    assert seen == ["TopicAuthorizationFailedError"]
    assert loop.problem == ""


async def test_messages_that_tell_of_nothing_are_done_with_too() -> None:
    """A topic of tombstones would else be read again at each start."""
    source = FakeSource([SourceMessage("shop.clicks", 0, 9, None, None)])
    loop, _ = loop_of(source, FakeSink(source.story))
    await loop.run()
    assert source.story == ["wrote 0", "commit 10", "finish"]
