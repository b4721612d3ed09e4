"""Models on the command line: a replay learns on the way, ``models evaluate`` says how well, ``explain`` says why."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamer.learning.reports.model_card import Card
from tests.cli.conftest import EVENTS, Run, ndjson, run_apart

T0 = 1_767_225_600_000
MINUTE_MS, HOUR_MS = 60_000, 3_600_000
SEGMENTS = """
models:
  purchase: {kind: purchase, horizon: 30m, window: 10m}
  behaviour: {kind: groups, groups: 3}
  regular: {kind: lookalike, seed: buyers}
  odd: {kind: unusual}
  leaving: {kind: churn, horizon: 300d}
segments:
  buyers: {for: Bought today., when: 'did("Order Completed", within="1d")'}
  likely: {for: Will buy within half an hour., when: 'score("purchase") >= 0.3'}
  unlikely: {for: Will not buy soon., when: 'score("purchase") < 0.2'}
  odd_ones: {for: Like nobody else., when: 'percentile("odd") >= 0.99'}
  gone: {for: Will not come back., when: 'score("leaving") >= 0.5'}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with events of three days and definitions: who begins with the cart buys more often than not, others hardly ever."""
    folder, draw, found = tmp_path_factory.mktemp("shop"), random.Random(11), list[tuple[int, str, str]]()
    for number in range(2_000):
        at = T0 + number * 130_000
        carts = draw.random() < 0.4
        buys = draw.random() < (0.6 if carts else 0.03)
        names = ["Product Added"] if carts else ["Product Viewed"] * draw.randrange(1, 5)
        names += ["Products Searched"] * draw.choice([0, 0, 1, 4]) + ["Order Completed"] * buys
        found += [(at + step * 40_000, f"c{number}", name) for step, name in enumerate(names)]
    last = found[-1][0] + MINUTE_MS
    found += [(last, "ready", "Product Added"), (last + 1, "ready", "Product Added")]
    lines = [
        {"event": name, "messageId": f"m{at}", "userId": customer, "timestamp": ms, "properties": {"total": 20}}
        for at, (ms, customer, name) in enumerate(sorted(found))
    ]
    (folder / "events.ndjson").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    (folder / "segments.yaml").write_text(SEGMENTS, encoding="utf-8")
    return folder


def replayed(shop: Path, *, batch: int, hash_seed: int) -> tuple[bytes, Any]:
    """The changes and the summary of a replay in a process of its own."""
    changes = shop / f"changes-{batch}-{hash_seed}.ndjson"
    files = ("replay", shop / "events.ndjson", "--segments", shop / "segments.yaml", "--changes", changes)
    done = run_apart(*files, "--batch", str(batch), "--until", "2d", "--json", environment={"PYTHONHASHSEED": str(hash_seed)})
    assert done.returncode == 0, done.stderr
    return changes.read_bytes(), json.loads(done.stdout)


def test_what_is_learned_and_said_is_the_same_for_any_batch_and_hash_seed(shop: Path) -> None:
    """A replay is a proof only if nothing but the file decides, models included."""
    changes, summary = replayed(shop, batch=1_000, hash_seed=0)
    for batch, hash_seed in ((37, 0), (1_000, 4711)):
        assert replayed(shop, batch=batch, hash_seed=hash_seed) == (changes, summary)
    said = [json.loads(line) for line in changes.splitlines()]
    scored = [change for change in said if change["data"]["segment"] in ("likely", "unlikely")]
    assert len(scored) > 300, "no model was published"
    assert any(change["type"] == "segment.exited" for change in scored)
    clauses = [clause for change in scored for clause in change["data"]["because"] if "score" in clause["clause"]]
    assert all(clause["reasons"] for clause in clauses)
    assert not [change for change in said if change["data"]["segment"] == "gone"], "not ready is never false, nor true"


def test_evaluate_says_how_good_the_models_were(run: Run, shop: Path) -> None:
    """On outcomes that came after the score; and of those that are not ready, why."""
    outcome = run("models", "evaluate", shop / "events.ndjson", "--segments", shop / "segments.yaml", "--json")
    assert outcome.code == 0, outcome.err
    cards = {card.model: card for card in (msgspec.json.decode(line, type=Card) for line in outcome.out.splitlines())}
    assert set(cards) == {"purchase", "behaviour", "regular", "odd", "leaving"}
    purchase = cards["purchase"]
    assert (purchase.state, cards["behaviour"].state, cards["odd"].state) == ("ready", "ready", "ready")
    assert purchase.auc is not None
    assert purchase.auc > 0.7
    assert purchase.entropy is not None
    assert purchase.entropy < 0.9, "better than knowing nothing"
    assert purchase.roster[0].why.startswith("champion")
    assert cards["leaving"].state == "not ready"
    assert cards["leaving"].why


def test_evaluate_speaks_to_people(run: Run, shop: Path) -> None:
    """Deciles, champion and challengers, one line each."""
    outcome = run("models", "evaluate", shop / "events.ndjson", "--segments", shop / "segments.yaml")
    assert outcome.code == 0, outcome.err
    assert "purchase             purchase   ready, version" in outcome.out
    assert "leaving              churn      not ready: " in outcome.out
    assert "decile 10: promised" in outcome.out
    assert "base rate: log loss" in outcome.out


def test_evaluate_without_models_says_what_is_missing(run: Run, events: Path, segments: Path) -> None:
    """The library has none, so it cannot stand in for definitions that were not named."""
    assert run("models", "evaluate", events).code == 2
    outcome = run("models", "evaluate", events, "--segments", segments)
    assert outcome.code != 0
    assert "name no model" in outcome.err


def test_evaluate_does_not_pass_over_refused_lines_in_silence(run: Run, shop: Path) -> None:
    """A model that learned nothing from a file of another format would seem to be a bad one."""
    outcome = run("models", "evaluate", "-", "--segments", shop / "segments.yaml", stdin=ndjson(EVENTS) + b"{\n")
    assert outcome.code == 0
    assert outcome.err == "hint: lines were refused, the first is -:7, not_json at $\n"


def test_evaluate_says_when_there_was_nothing_to_learn_from(run: Run, shop: Path) -> None:
    """No output and an exit code of yes would pass for an answer."""
    outcome = run("models", "evaluate", "-", "--segments", shop / "segments.yaml", stdin=ndjson(EVENTS[:1]))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("nothing was learned")


def test_explain_says_what_moved_a_score_and_which_models_are_not_ready(run: Run, shop: Path) -> None:
    """A marketer asks why, and must be able to tell "no" from "nobody knows yet"."""
    arguments = ("explain", "ready", "--events", shop / "events.ndjson", "--segments", shop / "segments.yaml", "--json")
    outcome = run(*arguments)
    assert outcome.code == 0, outcome.err
    found = {item["segment"]: item for item in outcome.lines()}
    likely = found["likely"]
    assert likely["inside"]
    (clause,) = likely["because"]
    assert clause["value"] > 0.3
    assert 1 <= len(clause["reasons"]) <= 3
    assert all("×" in reason for reason in clause["reasons"])
    assert "note" not in likely
    assert found["gone"]["note"].startswith("not ready")
    assert not found["gone"]["inside"]
