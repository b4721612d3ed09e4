"""The job of ``tests/bench/peers``: what is compared there must be the same work."""

from __future__ import annotations

import json
from collections import Counter

from streamer import parse_definitions, replay
from tests.bench.peers.hand import think
from tests.bench.peers.job import LAST_MS, LOG, LOG_MS, SHARDS, Row, log_events, moment_ms, segments_text
from tests.bench.peers.rules import NAMES

START_MS = 1_772_625_600_000
UNTIL_MS = START_MS + LOG_MS + LAST_MS
MADE = list(log_events(3_000, start_ms=START_MS))


def test_the_hand_written_rules_say_what_streamer_says() -> None:
    """A yardstick that does other work measures nothing."""
    changes = replay([one.value for one in MADE], parse_definitions(segments_text(LOG)), until_ms=UNTIL_MS)
    ours = [
        Row(one.subject, one.data.segment, one.type.removeprefix("segment."), moment_ms(one.data.at), one.data.sequence) for one in changes
    ]
    said = think({}, [(one.at_ms, json.loads(one.value)) for one in MADE], UNTIL_MS)
    theirs = [Row(one.customer, one.segment, one.kind, one.at, one.sequence) for one in said]
    assert sorted(ours) == sorted(theirs)
    changes_of = Counter(row.segment for row in ours)
    assert set(changes_of) == set(NAMES), changes_of


def test_the_log_ends_with_a_record_in_each_partition_that_lets_all_timers_fire() -> None:
    """Without it an engine that waits for the next event would be let off its timers."""
    times = [one.at_ms for one in MADE]
    assert times == sorted(times)
    assert times[-SHARDS:] == [UNTIL_MS] * SHARDS
    assert times[-SHARDS - 1] < START_MS + 1.1 * LOG_MS
