"""``streamer messages lift`` on files: what came of those who were sent a message, and of those who were held out."""

from __future__ import annotations

import random
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from streamer.units import HOUR_MS
from streamer.values import time_text
from tests.cli.conftest import Run, ndjson

BEGIN_MS = 1_772_000_000_000
PEOPLE = 1_200
DEFINITIONS = """
segments:
  left: {for: Left a cart; remind them., when: 'since(last("Added")) >= "30m" and last("Added") > last("Order")'}
topics: {offers: opt_out}
messages:
  reminder:
    for: Says what was left.
    on: entered("left")
    channel: console
    topic: offers
    holdout: 40%
    goal: {event: Order, within: 1d, value: total}
  without_goal: {for: Says so too., on: entered("left"), channel: console, topic: offers}
"""


def is_held_out(customer: str) -> bool:
    """By the language page: BLAKE2b over what is drawn, of which message, and for whom."""
    return int.from_bytes(blake2b(f"holdout\0reminder\0{customer}".encode(), digest_size=8).digest(), "big") % 10_000 < 4_000


def shop(folder: Path, *, reminded: float, held_out: float) -> tuple[Path, Path]:
    """Definitions, and a log in which everybody leaves a cart and some buy an hour later, by whether they were reminded."""
    draw, events = random.Random(3), list[dict[str, Any]]()
    for number in range(PEOPLE):
        customer, at_ms = f"c{number}", BEGIN_MS + number * 60_000
        events.append({"event": "Added", "messageId": f"a{number}", "userId": customer, "timestamp": time_text(at_ms)})
        if draw.random() < (held_out if is_held_out(customer) else reminded):
            order = {"event": "Order", "messageId": f"o{number}", "userId": customer, "timestamp": time_text(at_ms + HOUR_MS)}
            events.append({**order, "properties": {"total": 20}})
    segments, log = folder / "segments.yaml", folder / "events.ndjson"
    segments.write_text(DEFINITIONS, encoding="utf-8")
    log.write_bytes(ndjson(sorted(events, key=lambda event: event["timestamp"])))
    return segments, log


def test_a_reminder_that_works_is_said_to_work(run: Run, tmp_path: Path) -> None:
    """30 % of those who were reminded buy, 10 % of those who were not."""
    segments, log = shop(tmp_path, reminded=0.3, held_out=0.1)
    [found] = run("messages", "lift", log, "--segments", segments, "--until", "3d", "--json").lines()
    [contrast] = found["contrasts"]
    arms = sum(is_held_out(f"c{number}") for number in range(PEOPLE))
    assert (found["message"], found["goal"], found["decisions"], found["open"]) == ("reminder", "Order", PEOPLE, 0)
    assert (contrast["arm"]["customers"], contrast["against"]["customers"]) == (PEOPLE - arms, arms)
    assert contrast["verdict"] == "more"
    assert contrast["low"] < 0.2 < contrast["high"]
    assert contrast["arm"]["worth"] == pytest.approx(20 * contrast["arm"]["share"])
    shown = run("messages", "lift", log, "--segments", segments, "--until", "3d").out
    assert shown.startswith("reminder: Order within 1d; 1,200 decisions\n  sent ")
    assert "held out" in shown
    assert shown.endswith(": more\n")


def test_a_reminder_that_does_nothing_is_not_known_yet(run: Run, tmp_path: Path) -> None:
    """And it says by how much it could still be better or worse."""
    segments, log = shop(tmp_path, reminded=0.2, held_out=0.2)
    out = run("messages", "lift", log, "--segments", segments, "--until", "3d").out
    assert "surely between -" in out
    assert out.endswith(": not known yet\n")


def test_a_ledger_in_a_file_is_read_instead(run: Run, tmp_path: Path) -> None:
    """So what was decided is what counts, whatever the definitions say today; an open window is said to be open."""
    _, log = shop(tmp_path, reminded=0.3, held_out=0.1)
    data = {"message": "old", "key": "k", "at": time_text(BEGIN_MS), "reason": None, "goal": {"event": "Order", "within_ms": 10**9}}
    ledger = tmp_path / "ledger.ndjson"
    ledger.write_bytes(ndjson([{"type": "message.send", "subject": "c0", "data": data}]))
    outcome = run("messages", "lift", log, "--ledger", ledger)
    assert outcome.out.splitlines()[0] == "old: Order within 11d13h46m40s; 1 decision, 1 customer still within it"
    assert "nothing to compare with yet" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-", "--segments", "segments.yaml"], 2, "standard input can be read once"),
        (["events.ndjson"], 2, "expected definitions that decide, or the decisions"),
        (["events.ndjson", "--ledger", "broken.ndjson"], 3, "broken.ndjson:1: no decision on a message"),
        (["events.ndjson", "--ledger", "missing.ndjson"], 3, "missing.ndjson: cannot be read"),
        (["events.ndjson", "--segments", "segments.yaml", "--message", "another"], 1, "no message with a goal was decided"),
    ],
)
def test_what_it_cannot_use_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str
) -> None:
    """Each with what was expected, and where."""
    shop(tmp_path, reminded=0.3, held_out=0.1)
    (tmp_path / "broken.ndjson").write_bytes(b"{}\n")
    monkeypatch.chdir(tmp_path)
    outcome = run("messages", "lift", *arguments)
    assert outcome.code == code
    assert says in outcome.err
