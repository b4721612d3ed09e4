"""Every kind of memory can be said in words, with moments in UTC."""

from __future__ import annotations

from typing import Any, Final, get_args

import msgspec
import pytest

from streamer.customers.cart import Cart
from streamer.customers.memories import (
    Bests,
    Distinct,
    EventCount,
    Frequencies,
    KnownValue,
    Labels,
    Ladder,
    Newest,
    Oldest,
    Pairs,
    RuleSpec,
    Runs,
    Steps,
    Totals,
    Zone,
)
from streamer.customers.model_data import AwaitedExample, AwaitedMemory, KeptScore, ScoreMemory
from streamer.customers.profile import ORDER, ProfileMemory
from streamer.customers.specs import Spec
from streamer.customers.telling import told
from streamer.units import DAY_MS, HOUR_MS

ORIGIN_MS: Final = 1_767_225_600_000
AT, LATER = "2026-01-01T00:00:01.000Z", "2026-01-01T00:00:02.000Z"
CASES: Final[list[tuple[Spec, list[Any], object]]] = [  # (kind, a value for each of two moments, what is said)
    (Newest(1), [None, None], {"newest": [LATER]}),
    (Newest(3), [None, None], {"newest": [AT, LATER]}),
    (Oldest(), [None, None], {"oldest": AT}),
    (EventCount(), [None, None], {"number": 2}),
    (Totals(), [125_000, 25_000], {"sum": 15.0, "number": 2}),
    (Bests(1), [125_000, 25_000], {"largest": 12.5}),
    (Bests(-1), [125_000, 25_000], {"smallest": 2.5}),
    (
        Pairs(DAY_MS),
        [125_000, 25_000],
        {"entries": [{"at": AT, "sum": 12.5, "number": 1}, {"at": LATER, "sum": 2.5, "number": 1}]},
    ),
    (Ladder(DAY_MS, 1), [125_000, 25_000], {"entries": [{"at": AT, "value": 12.5}, {"at": LATER, "value": 2.5}]}),
    (Distinct(5), [['"a"'], ["1.5"]], {"values": [{"value": "a", "newest": AT}, {"value": 1.5, "newest": LATER}]}),
    (Labels(DAY_MS), [['"a"'], ['"a"']], {"values": [{"value": "a", "at": AT, "number": 1}, {"value": "a", "at": LATER, "number": 1}]}),
    (Frequencies(), [['"a"'], ['"a"']], {"values": [{"value": "a", "number": 2, "newest": LATER}]}),
    (KnownValue(), ["x", ["y"]], {"value": ["y"], "at": LATER}),
    (Runs(HOUR_MS), ["x", "y"], {"said": [{"at": AT, "value": "x"}, {"at": LATER, "value": "y"}], "approximate_until": None}),
    (Zone(), [[0, "Asia/Aden"], [1, "Europe/Kyiv"]], {"zone": "Europe/Kyiv", "said_by": "trait", "at": LATER}),
    (
        Steps(2, HOUR_MS, 0, HOUR_MS),
        [1, 2],
        {"completed": [LATER], "held": [{"at": AT, "steps": 1}, {"at": LATER, "steps": 2}], "approximate_until": None},
    ),
    (
        Cart(5),
        [[("added", '"tea"', ["Tea"])], [("removed", '"tea"', [])]],
        {"items": [{"key": "tea", "added": AT, "removed": LATER, "values": ["Tea"]}], "cleared": None},
    ),
    (
        ScoreMemory(),
        [KeptScore(9_000, 7_500, 3), KeptScore("often", 1, 4)],
        {"value": "often", "share": 1, "version": 4},
    ),
    (
        AwaitedMemory(),
        [None, AwaitedExample(ORIGIN_MS + 2_000, 1, 2, 0, 3, [4])],
        {"at": LATER, "served": 1, "version": 2, "stage": 0, "amount": 3, "features": [4]},
    ),
]


@pytest.mark.parametrize(("spec", "values", "says"), CASES, ids=lambda one: type(one).__name__)
def test_a_memory_is_said_in_words(spec: Spec, values: list[Any], says: object) -> None:
    """Whose data it is cannot read numbers that count from the customer's first event."""
    assert told(spec, data_of(spec, values), ORIGIN_MS) == says


def test_what_models_remember_is_said_by_its_names() -> None:
    """Its moments are in UTC already, and 0 is never."""
    found = told(ProfileMemory(), data_of(ProfileMemory(), [(ORDER, 125_000, 0, 0)] * 2), ORIGIN_MS)
    assert isinstance(found, dict)
    assert (found["first"], found["last"], found["order_at"], found["cart_at"]) == (AT, LATER, LATER, None)
    assert (found["orders"], found["spend"]) == (2, 250_000)


@pytest.mark.parametrize(("spec", "values", "says"), CASES, ids=lambda one: type(one).__name__)
def test_a_memory_as_the_store_has_it_is_said_likewise(spec: Spec, values: list[Any], says: object) -> None:
    """Structs are lists once they have been in a store."""
    assert told(spec, msgspec.msgpack.decode(msgspec.msgpack.encode(data_of(spec, values))), ORIGIN_MS) == says


def test_what_was_dropped_over_a_cap_is_said() -> None:
    """Whoever reads an answer that is not exact is told how far."""
    assert told(Pairs(DAY_MS), [1_000, 2_000, 10_000, 1], ORIGIN_MS) == {
        "approximate_until": AT,
        "entries": [{"at": LATER, "sum": 1.0, "number": 1}],
    }
    assert told(Frequencies(), [3, {}], ORIGIN_MS) == {"values": [], "up_to_forgotten": 3}


def test_every_kind_is_among_the_cases() -> None:
    """A new one must be said too."""
    kinds = {*get_args(RuleSpec), Cart, ProfileMemory, ScoreMemory, AwaitedMemory}
    assert {type(spec) for spec, _, _ in CASES} == kinds - {ProfileMemory}


def data_of(spec: Spec, values: list[Any]) -> Any:
    """What a memory holds after these, a second apart."""
    data, update = None, spec.update()
    for number, value in enumerate(values, 1):
        data = update(data, value, number * 1_000, number * 1_000, ORIGIN_MS)
    return data
