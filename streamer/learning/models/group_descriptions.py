"""What sets a group apart from everybody, in words a marketer reads, and a short name made of it.

Only the learner uses this: what it finds goes into the scorer as text. The noun is a feature's ``words``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import expm1, sqrt
from typing import TYPE_CHECKING, Final

from streamer.examples import Category, Cyclic, Flag, Linear, Logarithm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamer.examples import Feature, FeatureList
    from streamer.learning.inputs.feature_space import Space

LEAST_STRENGTH: Final = 0.5  # standard deviations from everybody's average: less is nothing to speak of
TRAITS_MAX: Final = 5
_BANDS: Final = (("night", 0, 6), ("morning", 6, 12), ("afternoon", 12, 18), ("evening", 18, 24))
_BAND_SHARE: Final = 0.15  # more of the group than of everybody: less is nothing to speak of


@dataclass(frozen=True, slots=True)
class GroupTrait:
    """``short`` goes into names."""

    strength: float
    words: str
    short: str


def traits(
    inside: Sequence[Sequence[float]],
    everybody: Sequence[Sequence[float]],
    middle: Sequence[float],
    space: Space,
    features: FeatureList,
) -> list[GroupTrait]:
    """Of those ``inside`` against ``everybody`` (rows of features), strongest first; ``middle`` is the group's centre in ``space``."""
    found: list[GroupTrait] = []
    for axis, off in zip(space.axes, middle, strict=False):
        if abs(off) >= LEAST_STRENGTH:
            found.append(_number(features.features[axis.at], inside, everybody, axis.at, off))
    for wheel in space.wheels:
        feature = features.features[wheel.at]
        own, all_values = [int(row[wheel.at]) for row in inside], [int(row[wheel.at]) for row in everybody]
        scale = feature.scale
        found += _bands(scale, own, all_values) if isinstance(scale, Cyclic) else _values(feature, own, all_values)
    return sorted(found, key=lambda trait: (-trait.strength, trait.words))[:TRAITS_MAX]


def name(found: Sequence[GroupTrait], taken: Sequence[str]) -> str:
    """The strongest trait and the next that is about something else; a third, or a number, where that name is taken."""
    if not found:
        return _free("like everybody", taken)
    shorts: list[str] = []
    for trait in found:
        if not any(_subject(trait.short) & _subject(short) for short in shorts):
            shorts.append(trait.short)
    longer = [", ".join(shorts[:count]) for count in (2, 3)]
    return next((candidate for candidate in longer if candidate not in taken), _free(longer[0], taken))


def _number(feature: Feature, inside: Sequence[Sequence[float]], everybody: Sequence[Sequence[float]], at: int, off: float) -> GroupTrait:
    noun, scale = feature.words or feature.name, feature.scale
    assert isinstance(scale, Linear | Logarithm), "only numbers have an axis"
    own, average = _mean(inside, at), _mean(everybody, at)
    if isinstance(scale, Logarithm):  # a ratio is one of what the logarithm was taken of
        own, average = (sum(expm1(row[at]) for row in rows) / len(rows) for rows in (inside, everybody))
    short = f"{scale.less if off < 0 else scale.more} {_bare(noun)}"
    if feature.low < 0 or average <= 0:
        return GroupTrait(abs(off), f"{noun} {own:.3g} {scale.unit} against {average:.3g}", short)
    ratio = own / average
    if ratio < 0.05:
        return GroupTrait(abs(off), f"{noun} next to nothing", short)
    return GroupTrait(
        abs(off), f"{noun} {ratio:.1f} times the average" if ratio >= 1 else f"{noun} {100 * ratio:.0f} % of the average", short
    )


def _subject(short: str) -> set[str]:
    """The words that say what a trait is about: "many cart adds" and "few cart adds lately" are about the same."""
    return {word.rstrip("s") for word in short.split()[1:] if len(word) > 3} - {"last", "since", "time", "between"}


def _bare(noun: str) -> str:
    """Without what is in brackets: a name is short."""
    return noun.split(" (", maxsplit=1)[0]


def _bands(scale: Cyclic, own: Sequence[int], everybody: Sequence[int]) -> list[GroupTrait]:
    hours = scale.hours
    found: list[GroupTrait] = []
    for band, start, end in _BANDS:
        here = sum(start <= value * hours < end for value in own) / len(own)
        there = sum(start <= value * hours < end for value in everybody) / len(everybody)
        if here - there >= _BAND_SHARE:
            when = "at night" if band == "night" else f"in the {band}"
            found.append(GroupTrait(_lift(here, there), f"active {when}, {_against(here, there)}", band))
    return found


def _values(feature: Feature, own: Sequence[int], everybody: Sequence[int]) -> list[GroupTrait]:
    found: list[GroupTrait] = []
    for value in sorted(set(own)):
        here, there = own.count(value) / len(own), everybody.count(value) / len(everybody)
        if here - there >= _BAND_SHARE:
            noun = _value(feature, value)
            found.append(GroupTrait(_lift(here, there), f"{noun}, {_against(here, there)}", noun))
    return found


def _value(feature: Feature, value: int) -> str:
    """A value of a category by its own name, where its scale has one."""
    noun, scale = feature.words or feature.name, feature.scale
    if isinstance(scale, Flag):
        return noun if value else f"without {noun}"
    label = scale.labels[value] if isinstance(scale, Category) and 0 <= value < len(scale.labels) else str(value)
    return label if isinstance(scale, Category) and scale.proper else f"{noun} {label}"


def _against(here: float, there: float) -> str:
    return f"{100 * here:.0f} % against {100 * there:.0f} %"


def _lift(here: float, there: float) -> float:
    return (here - there) / sqrt(there * (1 - there)) if 0 < there < 1 else 0.0


def _mean(rows: Sequence[Sequence[float]], at: int) -> float:
    return sum(row[at] for row in rows) / len(rows)


def _free(wanted: str, taken: Sequence[str]) -> str:
    if wanted not in taken:
        return wanted
    return next(f"{wanted} {number}" for number in range(2, len(taken) + 3) if f"{wanted} {number}" not in taken)
