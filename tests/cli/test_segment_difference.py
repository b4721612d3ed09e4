"""``streamer segments diff``: who would enter and leave by what is in shadow, from what the lanes have folded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.cli.segment_difference import SegmentDifference, difference, say_difference
from streamer.flow.published import Publication
from streamer.language.definitions import parse_definitions
from streamer.wire import decode_control, definitions_control
from tests.unit.worker.one_worker import Worker

if TYPE_CHECKING:
    import pytest

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
    return await difference(worker.settings, worker.store, SHADOW, NEXT.content())


async def test_the_difference_counts_and_names_who_enters_and_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    """A number alone does not show that a rule is wrong; five customers often do."""
    found = await compared()
    capsys.readouterr()
    assert [(one.segment, one.now, one.then, one.enter, one.leave) for one in found] == [("buyer", 0, 2, 2, 0), ("seen", 20, 0, 0, 20)]
    assert sorted(found[0].entering) == ["c3", "c4"]
    assert len(found[1].leaving) == 5
    say_difference(SHADOW, found[:1])
    assert capsys.readouterr().out.splitlines() == [
        f"version 2 ({NEXT.digest}), in shadow, against what holds:",
        "  buyer: 0 now, 2 then; 2 enter, 0 leave",
        f"    enter: {', '.join(found[0].entering)}",
    ]


def test_where_nobody_would_enter_or_leave_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty answer reads like a failure."""
    say_difference(SHADOW, [SegmentDifference("seen", 3, 3)])
    assert "  nobody would enter or leave" in capsys.readouterr().out.splitlines()
