"""What ``streamer doctor`` says of an ingest by its group's positions."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition

from streamer.cli.checks.ingest_checks import check_ingest, check_positions
from streamer.settings import Settings
from streamer.transports.kafka.source_positions import SourcePosition


@pytest.mark.parametrize(
    ("offset", "verdict", "said"),
    [
        (70, "ok", "30 records behind in 2 partitions"),
        (100, "ok", "0 records behind"),
        (None, "warning", "never read 1 of 2"),
        (9, "wrong", "partitions 1 do not have"),
        (101, "wrong", "partitions 1 do not have"),
    ],
)
def test_a_position_says_how_an_ingest_is(offset: int | None, verdict: str, said: str) -> None:
    """Records that were deleted before they were read are gone, and somebody must be told."""
    positions = {
        TopicPartition("shop.clicks", 0): SourcePosition(50, 0, 50),
        TopicPartition("shop.clicks", 1): SourcePosition(offset, 10, 100),
    }
    [found] = check_positions("streamer-ingest-segment", positions)
    assert (found.verdict, found.name) == (verdict, "ingest of topic shop.clicks")
    assert said in found.found


async def test_who_ingests_nothing_hears_nothing_of_it() -> None:
    """And a format that is none is said before anybody asks a broker."""
    assert await check_ingest(Settings()) == []  # pyright: ignore[reportCallIssue]
    [found] = await check_ingest(Settings(ingest_topics=("shop.clicks",), ingest_format="segmnt"))  # pyright: ignore[reportCallIssue]
    assert found.verdict == "wrong"
    assert "STREAMER_INGEST_FORMAT" in found.found
