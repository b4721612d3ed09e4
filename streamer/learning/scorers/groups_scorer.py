"""The compiled form of behaviour groups: whose group a customer is in, and what that group is like."""

from __future__ import annotations

from math import dist, isfinite
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from streamer.learning.inputs.feature_space import Projector, Space
from streamer.learning.scorers.contract import SCHEMA, bad_model, decode_as

if TYPE_CHECKING:
    from collections.abc import Sequence

CLEARLY: Final = 0.9  # of the distance to the group one is in: only who is nearer than this to another one changes


class LivingGroup(msgspec.Struct, frozen=True):
    """A living group."""

    number: int
    centre: tuple[float, ...]
    words: tuple[str, ...]


class GroupsContent(msgspec.Struct, frozen=True):
    """What is written. ``names`` has one for each number ever given, those of retired groups too: nobody else may get them."""

    model: str
    version: int
    features: int
    width: int
    names: tuple[str, ...]
    space: Space
    groups: tuple[LivingGroup, ...]
    kind: Literal["groups"] = "groups"
    schema: int = SCHEMA


_decoder = msgspec.json.Decoder(GroupsContent, strict=True)


class GroupsScorer:
    """Immutable. ``features`` is the version of the feature list, ``width`` how many features it has."""

    def __init__(self, content: GroupsContent) -> None:
        self.kind: str = content.kind
        self.model = content.model
        self.version = content.version
        self.features = content.features
        self.names = content.names
        self._project = Projector(content.space).project
        self._words = {group.number: list(group.words) for group in content.groups}
        self._centres = {group.number: group.centre for group in content.groups}
        self._numbers = [group.number for group in content.groups]
        self._safe = {number: _safe(number, self._centres) for number in self._numbers}

    def assign(self, x: Sequence[float], before: int | None) -> int:
        """The number of the group. Who was in group ``before`` leaves it only for one that is clearly nearer, or when it is retired."""
        point = self._project(x)
        centres = self._centres
        if before in centres:
            own = dist(point, centres[before])
            if own <= self._safe[before]:
                return before
        else:
            own = -1.0
        distances = [dist(point, centre) for centre in centres.values()]
        least = min(distances)
        if before is not None and own >= 0 and least >= CLEARLY * own:
            return before
        return self._numbers[distances.index(least)]

    def describe(self, number: int) -> list[str]:
        """What sets it apart from everybody, strongest first; empty for a group that is retired or never was."""
        return list(self._words.get(number, ()))


def decode_groups(content: bytes) -> GroupsScorer:
    """RefusedError (``bad_model``) with the path of the fault."""
    decoded: GroupsContent = decode_as(_decoder, content)
    check_space(decoded.space, decoded.width)
    if not decoded.groups:
        raise bad_model("$.groups", "expected at least one group")
    for at, group in enumerate(decoded.groups):
        if not 0 <= group.number < len(decoded.names):
            raise bad_model(f"$.groups[{at}].number", f"expected a number with a name, found {group.number}")
        if len(group.centre) != decoded.space.dimensions or not all(map(isfinite, group.centre)):
            raise bad_model(f"$.groups[{at}].centre", f"expected {decoded.space.dimensions} finite numbers")
    if len({group.number for group in decoded.groups}) != len(decoded.groups):
        raise bad_model("$.groups", "expected each number once")
    return GroupsScorer(decoded)


def check_space(space: Space, width: int) -> None:
    """RefusedError unless the space is whole and reads only the ``width`` features there are."""
    for at, axis in enumerate(space.axes):
        if not 0 <= axis.at < width or not all(map(isfinite, (axis.low, axis.mean, axis.scale))):
            raise bad_model(f"$.space.axes[{at}]", "expected a known feature and finite numbers")
    if [axis.long for axis in space.axes] != sorted((axis.long for axis in space.axes), reverse=True):
        raise bad_model("$.space.axes", "expected the long ones first")
    for at, wheel in enumerate(space.wheels):
        whole = wheel.points and len({len(point) for point in wheel.points}) == 1
        if not 0 <= wheel.at < width or not whole or not all(isfinite(number) for point in wheel.points for number in point):
            raise bad_model(f"$.space.wheels[{at}]", "expected a known feature and points of one length")


def _safe(number: int, centres: dict[int, tuple[float, ...]]) -> float:
    """Who is no farther than this from a centre cannot be clearly nearer to another (triangle inequality): the others need no look."""
    others = [dist(centres[number], centre) for other, centre in centres.items() if other != number]
    return min(others) / (1 + CLEARLY) if others else float("inf")
