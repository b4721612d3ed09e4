"""Rules by which a visit is a machine's: more at once than a hand can do, or for longer than a person stays awake.

They read the features by name and know their scale (logarithms of one more than a number). A deployment with other features has other
rules.
"""

from __future__ import annotations

from math import log1p
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamer.examples import FeatureList


class Bound(msgspec.Struct, frozen=True):
    """``terms`` are features with factors; their sum must be ``least`` or more."""

    terms: tuple[tuple[str, float], ...]
    least: float


class BotRule(msgspec.Struct, frozen=True):
    """All bounds must hold. ``words`` say what was seen."""

    words: str
    bounds: tuple[Bound, ...]


def at_least(feature: str, least: float) -> Bound:
    """The feature is that or more."""
    return Bound(((feature, 1.0),), float(least))


def at_most(feature: str, most: float) -> Bound:
    """The feature is that or less."""
    return Bound(((feature, -1.0),), -float(most))


def faster_than(events: str, minutes: str, rate: float) -> Bound:
    """More than so many events a minute, both given as logarithms of one more: their difference is that of the ratio."""
    return Bound(((events, 1.0), (minutes, -1.0)), log1p(rate - 1))


RULES: Final = (
    BotRule(
        "more than 20 activities a minute over a whole visit",
        (at_least("session_events", log1p(60)), faster_than("session_events", "session_minutes", 20.0)),
    ),
    BotRule(
        "hundreds of activities without a pause",
        (
            at_least("session_events", log1p(200)),
            faster_than("session_events", "session_minutes", 8.0),
            at_most("gap", 0.0005),  # hours: less than two seconds since the activity before
        ),
    ),
    BotRule(
        "a visit of more than eight hours with more than a thousand activities",
        (at_least("session_minutes", log1p(480)), at_least("session_events", log1p(1_000))),
    ),
    BotRule(
        "hundreds of products viewed within a day and none ever put into a cart",
        (at_least("views_day", log1p(400)), at_most("carts_month", 0.0), at_most("orders", 0.0)),
    ),
)


def known_rules(rules: Sequence[BotRule], features: FeatureList) -> tuple[BotRule, ...]:
    """Those whose features are all measured."""
    names = set(features.names)
    return tuple(rule for rule in rules if all(name in names for bound in rule.bounds for name, _ in bound.terms))
