"""The job of ``tests/bench/peers``: what is compared there must be the same work."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from streamer import parse_definitions, replay
from tests.bench.peers.changes import differences
from tests.bench.peers.engines import lines_of
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


def test_the_lines_that_a_user_writes_are_counted_without_comments_and_docstrings(tmp_path: Path) -> None:
    """A user is charged for code alone, whoever explains more."""
    file = tmp_path / "job.py"
    file.write_text('"""What it is.\n\nAt length.\n"""\n\n# why\nx = 1\n\n\ndef f() -> int:\n    """One."""\n    return x\n')
    assert lines_of(file) == 3


def test_rows_that_differ_are_shown_and_those_said_twice_count() -> None:
    """A change that is said twice is a fault, though the set of rows is the same."""
    row, other = Row("c-1", "cart_left", "entered", 5, 1), Row("c-2", "cart_left", "entered", 5, 1)
    assert differences([row, other], [other, row]) == []
    assert differences([row], [row, row])[0].endswith("1 are said too much")
    assert any("c-2" in line for line in differences([row, other], [row]))
