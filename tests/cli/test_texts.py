"""Values in another form than rules ask for: told as a hint, since they count for nothing and no answer shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.conftest import Run

SEGMENTS = """
segments:
  spent: {for: a test, when: 'sum("Order Completed", "total") > 100'}
  dear: {for: a test, when: 'did("Product Viewed", where=prop("price") > 10)'}
  old: {for: a test, when: 'since(date(trait("since"))) > "1d" and number(trait("score")) > 5'}
"""


def lines(*events: dict[str, Any]) -> str:
    named = ({"messageId": str(n), "userId": "c", "timestamp": f"2026-03-01T10:00:0{n}Z", **event} for n, event in enumerate(events))
    return "".join(json.dumps(event) + "\n" for event in named)


def hints(run: Run, folder: Path, *events: dict[str, Any]) -> str:
    (folder / "segments.yaml").write_text(SEGMENTS, encoding="utf-8")
    (folder / "events.ndjson").write_text(lines(*events), encoding="utf-8")
    return run("replay", folder / "events.ndjson", "--segments", folder / "segments.yaml").err


def test_texts_that_are_no_numbers_and_seconds_that_are_no_dates_are_told(run: Run, tmp_path: Path) -> None:
    """Amounts with a comma, a price that is a text, ten digits where a date is asked for; and never the values themselves."""
    told = hints(
        run,
        tmp_path,
        {"event": "Order Completed", "properties": {"total": "51,00"}},
        {"event": "Order Completed", "properties": {"total": "1.299,00"}},
        {"event": "Product Viewed", "properties": {"price": "12.5"}, "traits": {"since": 1_772_625_600}},
    )
    assert 'spent adds up "total", which is a text that is no decimal number in 2 events' in told
    assert 'dear compares "price" with a number, and it is a text in 1 event: write number(…) around it' in told
    assert 'old reads "since" as a date, and it is a number of seconds in 1 event' in told
    assert "51,00" not in told
    assert "1772625600" not in told


def test_what_counts_is_not_told(run: Run, tmp_path: Path) -> None:
    """Decimal texts add up, number() reads texts, and other events' values are nobody's business."""
    told = hints(
        run,
        tmp_path,
        {"event": "Order Completed", "properties": {"total": "1299.00", "price": "x"}},
        {"event": "Product Viewed", "properties": {"price": 12, "total": "x"}, "traits": {"since": "2026-01-01", "score": "7"}},
    )
    assert "text" not in told
    assert "seconds" not in told


def test_a_busy_customers_refusals_are_told_by_their_own_reason(run: Run, tmp_path: Path) -> None:
    """More ids than a customer's memory holds is neither a matter of order nor of the lateness."""
    views = [{"event": "V", "userId": "c", "messageId": f"v{n}", "timestamp": 1_772_625_600_000 + 10_000 * n} for n in range(8_193)]
    late = {**views[0], "messageId": "late"}
    (tmp_path / "segments.yaml").write_text(SEGMENTS, encoding="utf-8")
    (tmp_path / "events.ndjson").write_text("".join(json.dumps(event) + "\n" for event in (*views, late)), encoding="utf-8")
    told = run("replay", tmp_path / "events.ndjson", "--segments", tmp_path / "segments.yaml").err
    assert "8,193 accepted, 1 late" in told
    assert "1 event refused as late: the customer sent more than 8192 events since" in told
    assert "--sort" not in told
