"""A shard that is let go is told of once, and shown by its owner alone."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import pytest

from streamer.stores.memory import MemoryStore
from tests.unit.worker.one_shard import owning, value


async def test_a_revoked_shard_shows_no_state_any_more() -> None:
    """Its gauge would say ``waiting`` for ever, beside the new owner's ``owned``."""
    store = MemoryStore()
    segmenter, owned = owning(store)
    owned.is_ours = False

    segmenter.stopper.wait(owned, "the store is away", 1)

    assert value(segmenter, "segmenter_shard_state", shard="0", state="waiting") is None


def test_a_shard_that_is_let_go_each_second_is_told_once_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis away for a night would fill the log; another reason is said at once."""
    segmenter, owned = owning(MemoryStore())
    now = [1_000.0]
    monkeypatch.setattr("streamer.worker.shards.owned_shard.monotonic", lambda: now[0])
    for _ in range(150):
        segmenter.stopper.wait(owned, "Redis is away", 1)
        now[0] += 1
    segmenter.stopper.wait(owned, "fenced", 1)
    said = [line for line in capsys.readouterr().out.splitlines() if "shard let go" in line]
    assert [("Redis is away" in line, "fenced" in line) for line in said] == [(True, False)] * 3 + [(False, True)]
