"""What is said of a shard's refused records: how many, why, and whose."""

from __future__ import annotations

import json

from streamer.stores.base import OutputPosition
from streamer.wire import CHANGES, DEAD_LETTERS, Output
from streamer.worker.shards.refusals import WINDOW, Refusals


def letters(times: int, reason: str, producer: str = "") -> list[tuple[OutputPosition, list[Output]]]:
    """What a batch may say."""
    value = json.dumps({"reason": reason, "path": "$.event", "raw": "", "producer": producer}).encode()
    found = [Output(DEAD_LETTERS, 0, at, 0, b"", value) for at in range(times)]
    return [(OutputPosition(times, 0), [*found, Output(CHANGES, 0, times, 0, b"", b"not looked at")])]


def test_the_commonest_reason_and_its_producer_are_named() -> None:
    """An alert that only says "look" costs whoever is woken an hour."""
    refusals = Refusals()
    refusals.see(500, letters(40, "wrong_type", "analytics-php 3.8"))
    refusals.see(500, letters(3, "not_json"))
    assert refusals.ratio == 0.043
    assert "43 of the newest 1000 records were refused, 40 of them as wrong_type at $.event, from analytics-php 3.8" in refusals.in_words()


def test_only_the_newest_thousand_count() -> None:
    """A bad hour that is over must not be told for ever, and one bad record of ten is no tenth."""
    refusals = Refusals()
    refusals.see(10, letters(1, "not_json"))
    assert refusals.ratio == 0.001
    for _ in range(WINDOW // 100 + 1):
        refusals.see(100, [])
    assert refusals.ratio == 0


def test_late_events_and_our_own_faults_are_no_bad_release() -> None:
    """A phone that was offline for a week sends them all at once."""
    refusals = Refusals()
    refusals.see(200, letters(200, "late"))
    refusals.see(200, letters(100, "fault"))
    assert refusals.ratio == 0
