"""``streamer segments diff``: who would enter and leave by what is in shadow, from what the lanes have folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamer.cli import segment_difference
from streamer.cli.segment_difference import SegmentDifference, ShadowDifference, difference, read_difference, say_difference
from streamer.errors import SettingsError
from streamer.flow.published import Publication, Published
from streamer.language.definitions import parse_definitions
from streamer.settings import load_settings
from streamer.transports.memory import MemoryLog
from streamer.wire import decode_control, definitions_control
from streamer.worker.status.lane_status import LaneStatus
from streamer.worker.status.publication_status import PublicationStatus, ShardVersion, Version
from tests.unit.worker.one_worker import SEEN, Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NEXT = parse_definitions(
    {
        "segments": {
            "seen": {"for": "x", "when": 'count("Product Viewed") >= 2'},
            "buyer": {"for": "x", "when": 'did("Order Completed")'},
        }
    }
)
SHADOW = Publication(2, NEXT.digest, 1, is_shadow=True)


async def compared() -> list[SegmentDifference]:
    """Twenty customers who looked once, two of whom have bought; by what is in shadow it takes two looks."""
    worker = Worker()
    worker.buy("c3")
    worker.buy("c4")
    shard = await worker.own()
    control = decode_control(definitions_control(NEXT.content(), NEXT.digest, 2))
    run = await worker.segmenter.lanes.open(shard, control, lambda _: None)
    assert run is not None
    await run.reach_end("shadow")
    return await difference(worker.settings, worker.store, SHADOW, NEXT.content(), [0])


async def test_the_difference_counts_and_names_who_enters_and_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    """A number alone does not show that a rule is wrong; five customers often do."""
    found = await compared()
    capsys.readouterr()
    assert [(one.segment, one.now, one.then, one.enter, one.leave) for one in found] == [("buyer", 0, 2, 2, 0), ("seen", 20, 0, 0, 20)]
    assert sorted(found[0].entering) == ["c3", "c4"]
    assert len(found[1].leaving) == 5
    say_difference(ShadowDifference(SHADOW, found[:1], [0], []))
    assert capsys.readouterr().out.splitlines() == [
        f"version 2 ({NEXT.digest}), in shadow, against what holds:",
        "  buyer: 0 now, 2 then; 2 enter, 0 leave",
        f"    enter: {', '.join(found[0].entering)}",
    ]


def test_where_nobody_would_enter_or_leave_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty answer reads like a failure."""
    say_difference(ShadowDifference(SHADOW, [SegmentDifference("seen", 3, 3)], [0], []))
    assert "  nobody would enter or leave" in capsys.readouterr().out.splitlines()


def published(*shadows: bool) -> Published:
    """A topic of definitions: what was seen is published, and then what comes next, in shadow or not."""
    log, found = MemoryLog(1, lambda: 1_000), Published()
    records = [definitions_control(SEEN.content(), SEEN.digest, 1)]
    records += [definitions_control(NEXT.content(), NEXT.digest, 2, shadow=shadow) for shadow in shadows]
    for offset, raw in enumerate(records):
        log.send_control(raw)
        found.take(log.fetch(0, offset, 1)[0])
    return found


def deployment(patch: pytest.MonkeyPatch, shards: list[ShardVersion], topics: Sequence[Published], newest: int = 1) -> list[list[int]]:
    """Shards that are so far, and what the topic says each time it is read; the shards that are compared are noted."""
    asked, topic = list[list[int]](), iter(topics)

    async def status(_settings: object) -> PublicationStatus:
        return PublicationStatus(shards, Version(newest, "x"))

    async def now(_settings: object) -> Published:
        return next(topic)

    async def content(*_: object) -> bytes:
        return NEXT.content()

    async def compare(
        _settings: object, _store: object, _shadow: object, _content: object, compared: Iterable[int]
    ) -> list[SegmentDifference]:
        asked.append(list(compared))
        return [SegmentDifference("seen", 3, 3)]

    patch.setattr(segment_difference, "read_status", status)
    patch.setattr(segment_difference, "published_now", now)
    patch.setattr(segment_difference, "definitions_of", content)
    patch.setattr(segment_difference, "difference", compare)
    return asked


async def test_shards_that_have_not_folded_it_are_left_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a lane has yet to come to the end, nobody would be inside then, and all would seem to leave; so too where a shard is still on
    its way to other definitions, or has no worker."""
    shards = [
        ShardVersion(0, 1, True, LaneStatus(2, "shadow", 9, 9)),
        ShardVersion(1, 1, True, LaneStatus(2, "folds", 4, 9)),
        ShardVersion(2, 0, True, LaneStatus(1, "ready", 9, 9)),
        ShardVersion(3, 1, True),
        ShardVersion(4, 1, False),
    ]
    shadow = published(True)
    assert shadow.shadow is not None
    asked = deployment(monkeypatch, shards, [shadow, shadow])
    found = await read_difference(load_settings(shards=5))
    assert asked == [found.compared] == [[0]]
    assert found.left_out == [1, 2, 3, 4]
    say_difference(found)
    say_difference(ShadowDifference(found.shadow, [], [], [0, 1]))
    told = capsys.readouterr().out
    assert "in shadow, against what holds, in shard 0:" in told
    assert "  no shard has folded the past for it yet, so nothing can be said" in told


async def test_what_was_cut_over_meanwhile_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that has switched has nothing more to come: it would be counted as one where nobody enters."""
    shards = [ShardVersion(0, 1, True, LaneStatus(2, "shadow", 9, 9))]
    deployment(monkeypatch, shards, [published(True), published(True, False)])
    with pytest.raises(SettingsError, match="was cut over, overtaken or given up while it was compared"):
        await read_difference(load_settings(shards=1))
    deployment(monkeypatch, shards, [published(True, False)], newest=2)
    with pytest.raises(SettingsError, match="version 2 is on its way; `streamer segments status` says"):
        await read_difference(load_settings(shards=1))
    deployment(monkeypatch, [ShardVersion(0, 1, True)], [published()])
    with pytest.raises(SettingsError, match="publish --shadow FILE"):
        await read_difference(load_settings(shards=1))
