"""What is kept of changes: counted by the minute, the newest whole, and bounded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from streamer.page import change_history
from streamer.page.change_history import ChangeHistory, Flow, minute_of
from streamer.server.feed import Feed
from streamer.settings import load_settings
from streamer.telemetry.server_metrics import ServerMetrics
from streamer.transports.kafka.change_records import ChangeRecord
from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS
from streamer.values import time_text

START_MS = 1_767_225_600_000


def history() -> ChangeHistory:
    settings = load_settings(shards=1)
    return ChangeHistory(settings, Feed(settings, ServerMetrics()))


def change(
    customer: str, at_ms: int, sequence: int = 1, segment: str = "seen", because: tuple[str, ...] = ("did()",), **more: Any
) -> ChangeRecord:
    data = {
        "segment": segment,
        "at": time_text(at_ms),
        "sequence": sequence,
        "position": {"generation": 1, "shard": 0, "offset": 7, "ordinal": 0},
        "cause": {"kind": "event"},
        "because": [{"clause": clause, "holds": True, "value": None} for clause in because],
        **more,
    }
    return ChangeRecord(0, 0, (1, 0, 0), json.dumps({"subject": customer, "data": data}).encode())


def test_flows_are_counted_by_the_minute_and_by_log_time() -> None:
    """Of the whole minutes of the time that is asked for."""
    found = history()
    for minute, sequence in ((0, 1), (1, 2), (59, 1), (60, 3)):
        found.add(change("c", START_MS + minute * MINUTE_MS, sequence))
    assert found.flow("seen", START_MS) == Flow(3, 1)
    assert found.flow("seen", START_MS + 30_000) == Flow(3, 1)
    assert found.flow("seen", START_MS + MINUTE_MS) == Flow(2, 1)
    assert found.flow("none", 0) == Flow()
    assert found.by_step("seen", START_MS, HOUR_MS, 2) == [Flow(2, 1), Flow(1, 0)]
    assert found.by_step("seen", START_MS + HOUR_MS, HOUR_MS, 2) == [Flow(1, 0), Flow()]
    assert found.flows(START_MS + HOUR_MS) == {"seen": Flow(1, 0)}


def test_what_is_older_than_a_day_goes() -> None:
    """A server that runs for a year has no more of it than one that has just begun."""
    found = history()
    for minute in range(3 * DAY_MS // MINUTE_MS):
        found.add(change("c", START_MS + minute * MINUTE_MS))
    assert found.flow("seen", 0).entered == DAY_MS // MINUTE_MS + 2


def test_only_the_newest_are_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A customer of whom nothing is left takes no room."""
    monkeypatch.setattr(change_history, "KEPT_WHOLE", 10)
    found = history()
    for number in range(25):
        found.add(change(f"c-{number % 12}", START_MS + number, 1))
    assert [one.customer for one in found.newest(3)] == ["c-0", "c-11", "c-10"]
    assert len(found.newest(1_000)) == 10
    assert [len(found.of_customer(f"c-{number}")) for number in range(12)] == [1] + [0] * 2 + [1] * 9
    assert found.of_customer("nobody") == []


def test_clauses_are_counted_for_each_way_and_there_is_an_end_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules come and go with each publication; their texts must not fill the memory."""
    monkeypatch.setattr(change_history, "CLAUSES_MAX", 3)
    found = history()
    for number in range(5):
        found.add(change("c", START_MS, 1, because=("always()", f"only_{number}()")))
    found.add(change("c", START_MS, 2, because=("always()",)))
    assert found.why("seen", enters=True) == [("always()", 5), ("only_0()", 1), ("only_1()", 1)]
    assert found.why("seen", enters=False) == []
    assert found.why("none", enters=True) == []


@pytest.mark.parametrize("value", [b"", b"{", b"\xff", b'{"type":"customer.merged","subject":"c","data":{}}', b"[]", b'{"subject":1}'])
def test_what_is_no_change_is_passed_over(value: bytes) -> None:
    """A merge is in the same topic, and who knows what a program wrote there."""
    found = history()
    found.add(ChangeRecord(0, 0, (1, 0, 0), value))
    assert found.newest(10) == []


def test_a_size_is_known_where_all_changes_are() -> None:
    """And not guessed where they are not."""
    found = history()
    found.add(change("c", START_MS))
    assert found.size("seen") is None
    found.count_from_the_beginning()
    assert (found.size("seen"), found.size("none")) == (1, 0)


def test_a_minute_is_one_of_utc() -> None:
    """Whatever the machine's own zone is."""
    assert minute_of("1970-01-02T00:01:59.999Z") == 24 * 60 + 1
