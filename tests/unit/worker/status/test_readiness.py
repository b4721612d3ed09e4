"""``/readyz`` and the log tell the truth about Kafka, Redis and each shard, at the moment of asking."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from streamer.worker.status.readiness import ShardReadiness, readiness, status_of
from streamer.worker.status.shard_state import ShardState

NOW_MS = 1_000_000_000
WELL = ShardReadiness(3, ShardState.OWNED, 100.0, offset=10, end=10, log_time_ms=NOW_MS - 500, still=0.2)


def problem(**what: Any) -> str:
    """Why a shard that is well but for ``what`` does not do its work."""
    return status_of(msgspec.structs.replace(WELL, **what), now_ms=NOW_MS, tick_ms=30_000).problem


def test_a_shard_that_is_well_has_no_problem() -> None:
    """An alarm that rings on an ordinary day is switched off."""
    assert problem() == ""
    assert problem(end=5_000, still=0.1, log_time_ms=1) == "", "one that catches up works"
    assert problem(end=None) == "", "nothing is known of the end just after a start"
    assert problem(log_time_ms=1, still=1.0) == "", "acquired a second ago after an outage: its first tick is on the way"
    assert problem(busy=1.0, still=1.0) == ""


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"state": ShardState.HALTED, "why": "a hole"}, "halted for 1m40s: a hole"),
        ({"state": ShardState.WAITING, "since": 2.0, "why": "no Redis"}, "waiting for 2s: no Redis"),
        ({"state": ShardState.ACQUIRING, "since": 61.0}, "acquiring for 1m1s: not acquired yet"),
        ({"is_full": True, "outbox": 10_228}, "the outbox is full: 10228 outputs wait for the broker"),
        ({"unpublished": "outputs are not published for 12s"}, "outputs are not published for 12s"),
        ({"busy": 8.0, "still": 8.0}, "nothing is committed for 8s"),
        ({"stalled": "out of memory"}, "no commit goes through: out of memory"),
        ({"held": "an open transaction", "log_time_ms": NOW_MS - 60_000, "still": 60.0}, "an open transaction"),
        ({"end": 455, "still": 30.0}, "nothing is fetched for 30s although 445 records are there"),
        ({"log_time_ms": NOW_MS - 80_000, "still": 80.0}, "log time stands still for 1m20s"),
        ({"log_time_ms": NOW_MS - 80_000, "still": 80.0, "end": None}, "log time stands still for 1m20s"),
    ],
)
def test_a_shard_that_does_not_do_its_work_says_why(what: dict[str, Any], says: str) -> None:
    """Each of these was answered with ``ready``."""
    assert says in problem(**what)


def test_a_quiet_shard_between_two_heartbeats_is_well() -> None:
    """Nothing happens on it, and its log time is as old as the last one."""
    quiet = msgspec.structs.replace(WELL, log_time_ms=NOW_MS - 50_000, still=50.0)
    found = status_of(quiet, now_ms=NOW_MS, tick_ms=30_000)
    assert (found.problem, found.lag_seconds) == ("", 0), "it has read everything: nothing lags"
    assert status_of(quiet, now_ms=NOW_MS, tick_ms=0).problem == "", "where there are no ticks time passes with the events alone"


def test_a_tick_of_which_nothing_is_heard_is_a_standstill() -> None:
    """Long before heartbeats are missed: something is due, and nobody is told."""
    unheard = msgspec.structs.replace(WELL, log_time_ms=NOW_MS - 20_000, still=20.0, unread=11.0)
    found = status_of(unheard, now_ms=NOW_MS, tick_ms=30_000)
    assert found.problem.startswith("log time stands still for 20s")
    assert found.lag_seconds == 11


def test_lag_is_not_shown_where_the_end_is_not_known() -> None:
    """The last figure looks like today's."""
    found = status_of(msgspec.structs.replace(WELL, end=None), now_ms=NOW_MS, tick_ms=30_000)
    assert (found.lag_records, found.lag_seconds) == (None, 0.5)


def test_a_halted_shard_makes_the_worker_unready_and_names_those_that_go_on() -> None:
    """Somebody must look, and wants to know how much is at stake."""
    statuses = [status_of(msgspec.structs.replace(WELL, **what), now_ms=NOW_MS, tick_ms=30_000) for what in _one_halted()]
    found = readiness(statuses, dealt=True, away="", kafka_silent_seconds=0.1)
    assert (found.status, found.working) == ("not ready", [3])
    assert found.problems == ["shard 4: halted for 1m40s: a hole"]
    assert json.loads(msgspec.json.encode(found))["shards"][1]["state"] == "halted"


def _one_halted() -> list[dict[str, Any]]:
    return [{}, {"shard": 4, "state": ShardState.HALTED, "why": "a hole"}]


def test_nothing_works_while_kafka_is_away() -> None:
    """Shards that are owned and idle are not at work, whatever their state says."""
    found = readiness([status_of(WELL, now_ms=NOW_MS, tick_ms=30_000)], dealt=True, away="no Kafka", kafka_silent_seconds=9.0)
    assert (found.status, found.working, found.problems) == ("not ready", [], ["no Kafka"])


def test_a_learner_that_stopped_is_a_problem() -> None:
    """It halts in silence otherwise: the segments of its models go on with what they have."""
    found = readiness([], dealt=True, away="", others=["learner: halted: no definitions"], kafka_silent_seconds=0.0)
    assert found.problems == ["learner: halted: no definitions"]


def test_before_the_shards_are_dealt_out_nobody_is_ready() -> None:
    """No shards is no problem only once it is certain."""
    assert readiness([], dealt=False, away="", kafka_silent_seconds=0.0).status == "not ready"
    assert readiness([], dealt=True, away="", kafka_silent_seconds=0.0).status == "ready"
