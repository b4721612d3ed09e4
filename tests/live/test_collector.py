"""What ``streamer collect`` answered 200 to lies in the log, whoever is killed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka

from .acknowledged import ANSWER_S, prepare


async def test_what_was_answered_200_is_in_the_log_whoever_was_killed(
    kafka: ApacheKafka | ExternalKafka, fresh_name: str, tmp_path: Path
) -> None:
    """``kill -9`` of the collector, of the broker, and of both between each other, under load."""
    if isinstance(kafka, ExternalKafka):
        pytest.fail("this test kills its broker; run it without STREAMER_KAFKA")
    killings = await prepare(kafka, fresh_name, tmp_path, seed=11)
    try:
        await killings.run(["collector", "collector", "broker", "collector"])
        senders = killings.senders
        assert killings.victims == {"collector": 3, "broker": 1}
        assert senders.cut > 0, "no request was on its way when the collector died"
        assert set(senders.answers) <= {200, 429}, "an SDK gives up on anything else"
        assert len(senders.acknowledged) > 1_000, "too little happened to prove anything"
        assert senders.slowest_s < ANSWER_S + 1
        assert await killings.lost() == set()
    finally:
        killings.close()
