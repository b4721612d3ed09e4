"""``streamer segments status`` and ``--wait``: what a person reads of a publication on its way into the shards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest
import typer

from streamer.cli import segment_status
from streamer.cli.segment_status import PublicationStatus, ShardVersion, Version, Warming, follow, lane_words, say_status
from streamer.worker.shards.proposals import SWITCHING
from streamer.worker.status.lane_status import LaneStatus

if TYPE_CHECKING:
    from streamer.settings import Settings
    from tests.cli.conftest import Run

FOLDS = LaneStatus(3, "folds", 450_000, 1_000_000, 1_793_973_900_000)
THREE, FOUR = Version(3, "bb"), Version(4, "cc")


@pytest.mark.parametrize(
    ("lane", "words"),
    [
        (LaneStatus(3, "reads"), "the shard first reads its log up to where that ended"),
        (FOLDS, "folds the past, 45% of 1,000,000 records, ends about 14:05 UTC"),
        (LaneStatus(3, "folds", why="waits for shard 2"), "folds the past, nothing folded yet; waits for shard 2"),
        (LaneStatus(3, "shadow", 5, 5), "in shadow, 100% of 5 records"),
        (LaneStatus(3, "ready", 5, 5), "has folded the past, and waits for other shards to come as far"),
        (
            LaneStatus(3, "ready", 5, 5, why=SWITCHING),
            "has folded the past, and waits until all its customers are under the definitions that hold",
        ),
        (LaneStatus(3, "written"), "the record that makes it hold lies in the log"),
        (LaneStatus(3, "stands", 1, 4, why="TimeoutError: "), "stands, 25% of 4 records: TimeoutError: "),
    ],
)
def test_every_state_of_a_shard_on_its_way_is_said_in_words(lane: LaneStatus, words: str) -> None:
    """Whoever waits wants to know for what, and for how long."""
    assert lane_words(lane) == words


def test_the_status_names_versions_shards_and_what_is_warming(capsys: pytest.CaptureFixture[str]) -> None:
    """A shard without a worker waits for one, which no progress would ever say."""
    shards = [ShardVersion(0, 3, True), ShardVersion(1, 2, True, FOLDS), ShardVersion(2, 2, False), ShardVersion(3, 2, True)]
    since, until = "2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z"
    warming = [Warming('did("A", within="30d")', since, until), Warming('never("A")', since)]
    found = PublicationStatus(shards, THREE, FOUR, warming)
    say_status(found)
    assert not found.is_obeyed
    assert capsys.readouterr().out.splitlines() == [
        "version 3 (bb) was published last",
        "version 4 (cc) is in shadow",
        "  version 2 holds in shards 1, 2, 3",
        "  version 3 holds in shard 0",
        "  shard 1: version 3: folds the past, 45% of 1,000,000 records, ends about 14:05 UTC",
        "  shard 2: waits for a worker",
        "  shard 3: version 3: its worker has yet to notice",
        f'  warming: did("A", within="30d"): events are known since {since}; it has seen its whole window from {until} on',
        f'  warming: never("A"): events are known since {since}; it looks back to the beginning',
    ]


def test_nothing_published_is_obeyed_by_all(capsys: pytest.CaptureFixture[str]) -> None:
    """A new deployment is no failure."""
    found = PublicationStatus([ShardVersion(0, 0, False)])
    say_status(found)
    assert found.is_obeyed
    assert "no definitions were published" in capsys.readouterr().out


def waiting(monkeypatch: pytest.MonkeyPatch, *found: PublicationStatus) -> None:
    """Wait for version 3 while a deployment goes through these."""
    left = iter(found)

    async def read(_settings: Settings) -> PublicationStatus:
        return next(left)

    monkeypatch.setattr(segment_status, "read_status", read)
    monkeypatch.setattr(segment_status, "FOLLOW_SECONDS", 0.0)
    asyncio.run(follow(cast("Settings", None), 3))


def test_waiting_says_how_far_the_slowest_shard_is_and_ends_when_all_obey(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line where something has changed, so that a build's log stays short."""
    behind = PublicationStatus([ShardVersion(0, 3, True), ShardVersion(1, 2, True, FOLDS)], THREE)
    unheard = PublicationStatus([ShardVersion(0, 2, False), ShardVersion(1, 2, True, FOLDS)], THREE)
    waiting(monkeypatch, unheard, behind, behind, PublicationStatus([ShardVersion(0, 3, True), ShardVersion(1, 3, True)], THREE))
    assert capsys.readouterr().err.splitlines() == [
        "version 3 holds in 0 of 2 shards; shard 0: no word of a worker yet",
        "version 3 holds in 1 of 2 shards; the slowest: folds the past, 45% of 1,000,000 records, ends about 14:05 UTC",
        "version 3 holds in all 2 shards",
    ]


def test_waiting_ends_where_another_publication_overtakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would wait for what never comes; the exit code is that of a no."""
    with pytest.raises(typer.Exit) as ended:
        waiting(monkeypatch, PublicationStatus([ShardVersion(0, 2, True)], FOUR))
    assert ended.value.exit_code == 1


def test_the_status_may_be_awaited(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has published, and did not wait, waits here: the answer is of when every shard obeys."""
    looks = iter([[ShardVersion(0, 2, True)], [ShardVersion(0, 3, True, LaneStatus(3, "written"))]])
    followed = list[int]()

    async def look(_settings: object) -> PublicationStatus:
        return PublicationStatus(next(looks), THREE)

    async def follow(_settings: object, version: int) -> None:
        followed.append(version)

    monkeypatch.setattr(segment_status, "read_status", look)
    monkeypatch.setattr(segment_status, "follow", follow)
    told = run("segments", "status", "--wait")
    assert (told.code, followed) == (0, [3])
    assert told.out.splitlines()[1:] == ["  version 3 holds in shard 0"], "what its worker noted before it switched is no news"
