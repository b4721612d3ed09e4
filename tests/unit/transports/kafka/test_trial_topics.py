"""What a trial is read from, where it is more than may be read."""

from __future__ import annotations

import pytest

from streamer.errors import TooMuchError
from streamer.settings import load_settings
from streamer.transports.kafka import trial_topics
from streamer.transports.kafka.trial_topics import read_trial


async def test_more_records_than_may_be_read_are_not_begun_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of all shards together; a server would else read for hours for a page."""

    async def ends(*_: object, **__: object) -> dict[int, tuple[int, int]]:
        return {0: (10, 60), 1: (0, 51)}

    monkeypatch.setattr(trial_topics, "read_log_ends", ends)
    with pytest.raises(TooMuchError, match=r"101 records, and at most 100 are read"):
        await read_trial(load_settings(shards=2), records_max=100)
