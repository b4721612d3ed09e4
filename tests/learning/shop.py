"""A small shop with planted truth for the models that learn without being told: features, customers of known kinds, marks, days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import exp
from random import Random
from typing import Final

from streamer.examples import Category, Cyclic, Example, Feature, FeatureList, Linear

DAY_MS: Final = 86_400_000
START_MS: Final = 20_454 * DAY_MS  # 2026-01-01

FEATURES: Final = FeatureList(
    version=3,
    features=(
        Feature("views", Linear("count", "many", "few"), 0, 5_000, reads=("Product Viewed",), words="product views"),
        Feature("adds", Linear("count", "many", "few"), 0, 2_000, reads=("Product Added",), words="cart adds"),
        Feature("orders", Linear("count", "many", "few"), 0, 500, reads=("Order Completed",), words="orders"),
        Feature("spend", Linear("currency"), 0, 100_000, reads=("Order Completed",), words="spend"),
        Feature("recency", Linear("days"), 0, 365, reads=("Product Viewed",), words="days since the last visit"),
        Feature("discount", Linear("ratio"), 0, 1, reads=("Order Completed",), words="share bought at a discount"),
        Feature("session_events", Linear("count", "many", "few"), 0, 10_000, reads=("context",), words="events in a session"),
        Feature("gap", Linear("seconds"), 0, 3_600, reads=("context",), words="seconds between events"),
        Feature("hour", Cyclic("hour", hours=1), 0, 23, reads=("context",), words="active"),
        Feature("device", Category(), 0, 3, reads=("context",), words="device"),
    ),
)
NAMES: Final = FEATURES.names

# mean logarithms of views, adds, orders, spend, recency, session_events, gap; share at a discount; hours
KINDS: Final = (
    ((2.0, 0.3, -1.5, 2.0, 3.5, 1.6, 3.2), 0.2, range(9, 18)),  # passers-by
    ((4.5, 2.8, 0.5, 4.0, 1.5, 3.0, 2.6), 0.9, range(8, 22)),  # hunters of bargains
    ((3.2, 2.0, 2.2, 6.8, 1.0, 2.2, 3.6), 0.1, range(10, 20)),  # loyal buyers
    ((4.0, 1.0, -0.5, 3.0, 1.8, 3.4, 3.0), 0.3, (22, 23, 0, 1, 2, 3)),  # lookers at night
)


def person(rng: Random, kind: int) -> tuple[float, ...]:
    """Somebody of a kind; their numbers have long tails."""
    means, discount, hours = KINDS[kind]
    spread = [min(exp(rng.gauss(mean, 0.35)), 3_000.0) for mean in means]
    views, adds, orders, spend, recency, session, gap = (round(number, 3) for number in spread)
    share = min(1.0, max(0.0, round(rng.gauss(discount, 0.07), 3)))
    hour = float(rng.choice(list(hours)))
    return (views, adds, orders, spend, min(recency, 365.0), share, session, gap, hour, float(rng.randrange(3)))


def nobody_in_particular(rng: Random) -> tuple[float, ...]:
    """One of a crowd without any groups in it: whatever divides it is arbitrary, and should at least stay as it is."""
    numbers = [round(exp(rng.gauss(mean, 1.0)), 3) for mean in (3.0, 1.5, 0.5, 4.0, 2.0, 2.5, 3.0)]
    return (*numbers[:5], round(rng.random(), 3), *numbers[5:], float(rng.randrange(24)), float(rng.randrange(3)))


def profile(x: Sequence[float], at_ms: int, offset: int, *, seeds: Iterable[str] = ()) -> Example:
    """A profile in shard 0."""
    features = FEATURES.version
    return Example("profile", 0, offset, 0, at_ms, t_ms=at_ms, features=features, x=tuple(x), seeds=tuple(seeds))


def people(rng: Random, count: int, kinds: Sequence[int] = (0, 1, 2, 3)) -> Iterator[tuple[int, tuple[float, ...]]]:
    """``count`` people with their kinds."""
    for _ in range(count):
        kind = rng.choice(kinds)
        yield kind, person(rng, kind)
