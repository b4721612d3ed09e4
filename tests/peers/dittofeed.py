"""Dittofeed's definitions as expressions of ours, word by word.

Its words: ``Trait`` is the latest known profile value at a path. ``Performed`` counts track events, a trailing ``*`` meaning a prefix,
compared by ``timesOperator`` with ``times``, within ``withinSeconds``. ``LastPerformed`` looks at the properties of the latest match.
``HasBeen`` is a value unchanged for a time, ``Within`` a date trait in the last seconds. An empty text does not exist there. A user
property is a value kept for templates; a segment asks whether it is what the test expects.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.peers.story import CannotBeSaidError

SIGNS = {"Equals": "==", "NotEquals": "!=", "LessThan": "<", "GreaterThanOrEqual": ">="}
UNSAYABLE = {
    "RandomBucket": "a bucket drawn by their hash of the customer's id",
    "PerformedMany": "a list of whole events",
    "File": "an attached file under a key with a dot in it, which a path cannot name",
}

Node = dict[str, Any]


def segment_name(theirs: str) -> str:
    """Our names have no capitals.

    >>> segment_name("recentlyPerformed")
    'recently_performed'
    """
    return re.sub("([A-Z])", lambda match: f"_{match[1].lower()}", theirs)


def condition(definition: Node) -> str:
    """What a segment's definition says; ``CannotBeSaidError``."""
    nodes = {node["id"]: node for node in definition["nodes"]}
    return _node(definition["entryNode"], nodes)


def _node(node: Node, nodes: dict[str, Node]) -> str:
    match node["type"]:
        case "And" | "Or" as word:
            return "(" + f" {word.lower()} ".join(_node(nodes[child], nodes) for child in node["children"]) + ")"
        case "Trait":
            return _compared(f"trait({_text(node['path'])})", node["operator"])
        case "Performed":
            within = f', within="{node["withinSeconds"]}s"' if "withinSeconds" in node else ""
            sign = {"=": "=="}.get(node.get("timesOperator", ">="), node.get("timesOperator", ">="))
            return f"count({_text(node['event'])}{_where(node.get('properties', []))}{within}) {sign} {node.get('times', 1)}"
        case "LastPerformed":
            event, where = _text(node["event"]), _where(node["whereProperties"])
            has = (_compared(f"latest({event}, {_text(had['path'])}{where})", had["operator"]) for had in node["hasProperties"])
            return f"did({event}{where}) and " + " and ".join(has)
        case "Includes":
            return f"contains(trait({_text(node['path'])}), {_text(node['item'])})"
        case "Manual":  # somebody's hand: they write it down as an event, and the segment has the id seg-0
            where = f'prop("segmentId") == "seg-0" and prop("version") == {node["version"]}'
            return f'latest("DFManualSegmentUpdate", "inSegment", where={where}) == 1'
        case word:
            raise CannotBeSaidError(UNSAYABLE.get(word, word))


def _compared(value: str, operator: Node) -> str:
    match operator["type"]:
        case "Exists":
            return f'(exists({value}) and {value} != "")'
        case "NotExists":
            return f'(not exists({value}) or {value} == "")'
        case "Within":
            return f'since(date({value})) < "{operator["windowSeconds"]}s"'
        case "HasBeen":
            sign = {"LT": "<", "GTE": ">="}[operator["comparator"]]
            return f'({value} == {_text(operator["value"])} and unchanged({value}) {sign} "{operator["windowSeconds"]}s")'
        case word:
            return f"{value} {SIGNS[word]} {json.dumps(operator['value'])}"


def _where(properties: list[Node]) -> str:
    parts = [_compared(f"prop({_text(had['path'])})", had["operator"]) for had in properties]
    return f", where={' and '.join(parts)}" if parts else ""


def _text(text: str) -> str:
    return json.dumps(text)


# user properties


def is_property(definition: Node, expected: Any) -> str:
    """That a user property has this value, or (None) that there is none; ``CannotBeSaidError``."""
    if definition.get("skipReCompute"):
        raise CannotBeSaidError("a property that their batch pass is told to leave alone")
    match definition["type"]:
        case "Trait":
            return _is(lambda path: f"trait({_text(path)})", definition["path"], expected)
        case "Performed":  # theirs passes over a missing value and keeps the one before
            event, path = _text(definition["event"]), definition["path"]
            has = f"where=exists(prop({_text(path)}))"
            return _is(lambda inner: f"latest({event}, {_text(inner)}, {has})", path, expected)
        case "Group":
            nodes = {node["id"]: node for node in definition["nodes"]}
            return _any_of([nodes[child] for child in nodes[definition["entry"]]["children"]], expected)
        case word:
            raise CannotBeSaidError(UNSAYABLE.get(word, word))


def _any_of(nodes: list[Node], expected: Any) -> str:
    """The first of them that has a value has this one."""
    first, *rest = nodes
    if not rest:
        return is_property(first, expected)
    return f"({is_property(first, expected)} or {is_property(first, None)} and {_any_of(rest, expected)})"


def _is(at: Any, path: str, expected: Any) -> str:
    """An object is compared by its leaves and a list by its items: ours are compared with plain values only."""
    match expected:
        case None:
            return f"not exists({at(path)})"
        case dict():
            return " and ".join(_is(at, f"{path}.{key}", value) for key, value in expected.items())
        case list():
            return " and ".join(f"contains({at(path)}, {json.dumps(item)})" for item in expected)
        case _:
            return f"{at(path)} == {json.dumps(expected)}"
