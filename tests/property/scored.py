"""Logs in which models serve, are replaced and withdrawn, and segments that ask them are defined late."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from hypothesis import strategies as st

from streamer.customers.features import FEATURES
from streamer.flow import scorers
from streamer.learning.scorers.contract import Reason
from tests.property.born_old import switched_cases
from tests.property.driving import Case
from tests.property.history import Brought, brought_cases
from tests.property.logs import bodies_of, with_records

MODELS: dict[str, Any] = {
    "buys": {"kind": "purchase", "horizon": "2d", "window": "1h"},
    "worth": {"kind": "value", "horizon": "2d"},
    "kinds": {"kind": "groups", "groups": 3},
    "alike": {"kind": "lookalike", "seed": "seed"},
    "odd": {"kind": "unusual"},
}
SEED = {"when": 'count("A") >= 2'}
ASKING: dict[str, Any] = {
    "likely": {"when": 'score("buys") >= 0.5'},
    "unlikely": {"when": 'not score("buys") >= 0.5'},
    "held": {"when": 'score("buys") >= 0.6', "exit": 'score("buys") < 0.2'},
    "rests": {"when": 'percentile("buys") >= 0.5 and did("A")', "stay": "1h", "cooldown": "25h"},
    "some": {"when": 'group("kinds") in ["k0", "k1"]'},
    "like": {"when": 'percentile("alike") > 0.3', "stay": "2d"},
    "strange": {"when": 'score("odd") > 0.5 or did("B", within="1h")'},
    "both": {"when": 'segment("held") and not segment("strange") and score("worth") > 0'},
}
NEEDED = {"both": ("held", "strange")}


class Scrambled:
    """A scorer on whose answer every bit of what was measured tells; each version gives another."""

    features = FEATURES.version

    def __init__(self, content: dict[str, Any]) -> None:
        self.kind, self.version = content["kind"], content["version"]
        self.names = ["k0", "k1", "k2"]

    def score(self, x: Sequence[float]) -> int:
        return round(sum(value * (place + self.version) for place, value in enumerate(x, 1)) * 1_000) % 10_001

    def percentile(self, score: int) -> int:
        return (score + self.version) % 10_001

    def assign(self, x: Sequence[float], before: int | None) -> int:
        return before if before is not None and self.score(x) % 2 else self.score(x) % 3

    def reasons(self, x: Sequence[float], most: int = 3) -> list[Reason]:
        return []

    def describe(self, number: int) -> list[str]:
        return []


@contextmanager
def scrambled() -> Generator[None]:
    """While models are these."""
    with patch.object(scorers, "decode_scorer", lambda content: Scrambled(json.loads(content))):
        yield


def with_asking(source: dict[str, Any], names: Sequence[str], models: dict[str, Any]) -> dict[str, Any]:
    """Definitions with some of the segments that ask models besides."""
    wanted = {*names, *(needed for name in names for needed in NEEDED.get(name, ()))}
    asking = {name: given for name, given in ASKING.items() if name in wanted}
    return {**source, "segments": {**source["segments"], "seed": SEED, **asking}, "models": models}


asked = st.lists(st.sampled_from(sorted(ASKING)), max_size=6, unique=True)


Bodies = list[tuple[int, dict[str, Any]]]


@st.composite
def _with_scorers(draw: st.DrawFn, bodies: Bodies) -> tuple[Bodies, list[int]]:
    """Scorers that begin and cease to serve, anywhere among records; and where each of these lies then."""
    found, places, served = Bodies(), list[int](), dict.fromkeys(MODELS, 0)
    for at_ms, body in bodies:
        for model in draw(st.lists(st.sampled_from(sorted(MODELS)), max_size=2)):
            served[model] += 1
            is_withdrawn = served[model] > 1 and draw(st.integers(0, 4)) == 0
            of = {"model": model, "kind": MODELS[model]["kind"], "version": served[model]}
            found.append((at_ms, {"control": "withdraw" if is_withdrawn else "model", **of}))
        places.append(len(found))
        found.append((at_ms, body))
    return found, places


@st.composite
def scored_brought(draw: st.DrawFn) -> Brought:
    """A log with models into which history is brought."""
    brought = draw(brought_cases())
    bodies, places = draw(_with_scorers(bodies_of(brought.case)))
    case = replace(with_records(brought.case, bodies), definitions=with_asking(brought.case.definitions, draw(asked), MODELS))
    return replace(brought, case=case, brings=places[brought.brings - 1] + 1)


@st.composite
def scored_cases(draw: st.DrawFn) -> Case:
    """A case whose definitions change, with the same models under all of them, and scorers anywhere."""
    case = draw(switched_cases())
    first = with_asking(case.definitions, draw(asked), MODELS)
    bodies = Bodies()
    for at_ms, body in bodies_of(case):
        is_switch = body.get("control") == "definitions"
        told = {**body, "definitions": with_asking(body["definitions"], [*draw(asked), "likely"], MODELS)} if is_switch else body
        bodies.append((at_ms, told))
    return replace(with_records(case, draw(_with_scorers(bodies))[0]), definitions=first)
