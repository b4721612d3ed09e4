"""Features that would leak a lookalike model's answer: those that read what its seed segment is defined by."""

from __future__ import annotations

from collections.abc import Mapping

from streamer.examples import FeatureList
from streamer.language import tree
from streamer.language.definitions import Definitions
from streamer.language.references import nodes, references
from streamer.language.segment_specs import Segment

CONTEXT = "context"


def read_by(segment: Segment, segments: Mapping[str, Segment]) -> frozenset[str]:
    """Event names (as written, ``*`` and prefixes too), and ``context``: what decides a segment, through all that it refers to."""
    found: set[str] = set()
    todo, seen = [segment.name], set[str]()
    while todo:
        name = todo.pop()
        if name in seen or name not in segments:
            continue
        seen.add(name)
        for condition in segments[name].conditions:
            for node in nodes(condition):
                if isinstance(node, tree.Events):
                    found.update(node.names)
                elif isinstance(node, (tree.Context, tree.Language)):
                    found.add(CONTEXT)
        todo += references(segments[name].conditions)
    return frozenset(found)


def excluded_features(definitions: Definitions, features: FeatureList) -> dict[str, frozenset[str]]:
    """By lookalike model: names of the features that read what its seed is defined by."""
    segments = {segment.name: segment for segment in definitions.segments}
    return {
        spec.name: frozenset(
            feature.name
            for feature in features.features
            if any(_overlap(one, other) for one in feature.reads for other in read_by(segments[spec.seed], segments))
        )
        for spec in definitions.models
        if spec.kind == "lookalike"
    }


def _overlap(one: str, other: str) -> bool:
    """Whether two event names can mean the same event. ``*`` in a feature is any activity: the seed's events are a part of it, not its
    definition."""
    if one == "*":
        return other == "*"
    if other == "*":
        return False
    if other.endswith("*"):
        return one.startswith(other[:-1])
    return one == other
