"""Apache Unomi's conditions as expressions of ours.

The cases were summarised by hand, so what a story's rule says in words is written here as an expression; operators are translated by rule.
Dates of a profile carry their zone here, as a time without one is no time to us.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

from tests.peers.story import CannotBeSaidError

RULES = {
    "did testEventType at least once in the last 10 days": 'count("testEventType", within="10d") >= 1',
    "lastVisit >= now-5d AND address != 'test'": 'since(date(trait("lastVisit"))) <= "5d" and trait("address") != "test"',
    "+50 when testEventType done in last 10 days": 'did("testEventType", within="10d")',  # a score of one rule is a segment
}
SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "gt": ">", "gte": ">=", "in": "in", "not_in": "not in"}


def rule(text: str) -> str:
    """The expression of a story's rule; ``CannotBeSaidError``."""
    if text not in RULES:
        raise CannotBeSaidError("a window between two dates of the calendar: ours end now, or so long before now")
    return RULES[text]


def operator(field: str, sign: str, argument: Any) -> str:
    """The expression of one operator on one field of the profile; ``CannotBeSaidError``."""
    if field == "segments":
        return _of_segments(sign, argument)
    value, argument = f"trait({json.dumps(field)})", _zoned(field, argument)
    match sign:
        case "lt" | "gt" | "gte" if field in {"firstVisit", "lastVisit"}:
            return f"date({value}) {SIGNS[sign]} date({json.dumps(argument)})"
        case "is_day":
            next_day = date.fromisoformat(argument) + timedelta(days=1)
            return f'date({value}) >= date("{argument}") and date({value}) < date("{next_day}")'
        case "starts_with":
            return f"startswith({value}, {json.dumps(argument)})"
        case "contains":
            return f"contains({value}, {json.dumps(argument)})"
        case "all":
            return " and ".join(f"{value} == {json.dumps(item)}" for item in argument)
        case "exists":
            return f"exists({value})"
        case "missing":
            return f"not exists({value})"
        case "regex_full":
            raise CannotBeSaidError("regular expressions: their cost over a customer's text has no bound")
        case _:
            return f"{value} {SIGNS[sign]} {json.dumps(argument)}"


def _of_segments(sign: str, names: list[str]) -> str:
    parts = [f'segment("{name}")' for name in names]
    match sign:
        case "in":
            return " or ".join(parts)
        case "not_in":
            return f"not ({' or '.join(parts)})"
        case _:
            return " and ".join(parts)


def _zoned(field: str, argument: Any) -> Any:
    if field not in {"firstVisit", "lastVisit"}:
        return argument
    if isinstance(argument, list):
        return [_zoned(field, item) for item in argument]
    return f"{argument}Z" if isinstance(argument, str) and "T" in argument else argument


def profile(of: dict[str, Any]) -> dict[str, Any]:
    """A profile as traits: dates get their zone."""
    return {field: _zoned(field, value) for field, value in of.items()}
