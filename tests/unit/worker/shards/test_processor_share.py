"""A process that takes what is left over of the processors knows when nothing is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from streamer.worker.shards import processor_share
from streamer.worker.shards.processor_share import ProcessorShare, ProcessorTime, read_processor_time

if TYPE_CHECKING:
    from pathlib import Path


def shares(*wanted: ProcessorTime | None) -> ProcessorShare:
    """One that reads these, one after the other."""
    return ProcessorShare(iter(wanted).__next__)


def test_a_process_that_hardly_runs_while_it_wants_to_is_starved() -> None:
    """Its lanes would fold for hours, and the publication would wait."""
    assert shares(ProcessorTime(5, 1), ProcessorTime(5.09, 2.92)).is_starved()


def test_a_process_that_runs_now_and_then_is_not() -> None:
    """One in ten is slow, and costs live traffic nothing."""
    assert not shares(ProcessorTime(5, 1), ProcessorTime(5.2, 2.9)).is_starved()


def test_a_process_that_wants_nothing_is_not_starved() -> None:
    """It waits for the store, or for its shard."""
    assert not shares(ProcessorTime(5, 1), ProcessorTime(5.0, 1.9)).is_starved()


def test_each_judgement_is_of_new_seconds() -> None:
    """An hour of good days would hide a bad minute."""
    share = shares(ProcessorTime(0, 0), ProcessorTime(100, 0), ProcessorTime(100.01, 1.0), ProcessorTime(100.02, 2.5))
    assert [share.is_starved() for _ in range(3)] == [False, False, True]


def test_where_the_system_does_not_count_nobody_gives_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A process that cannot know that it gets nothing would wait for ever."""
    monkeypatch.setattr(processor_share, "SCHEDSTAT", tmp_path / "none")
    before = os.nice(0)
    assert not processor_share.give_way()
    assert os.nice(0) == before
    assert not shares(None, None).is_starved()


def test_who_gives_way_comes_last() -> None:
    """In a process of its own, since there is no way back."""
    code = (
        "import os\n"
        "from streamer.worker.shards.processor_share import give_way\n"
        "print(give_way(), os.nice(0), os.sched_getscheduler(0) == os.SCHED_IDLE)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == (["False", "0", "False"] if read_processor_time() is None else ["True", "19", "True"])
