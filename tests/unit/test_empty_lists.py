"""A list that was emptied says something: that there is nothing in it any more."""

from __future__ import annotations

from typing import Any

import pytest

from streamer.values import COMPARE, MISSING, contains, kept, lookup, lookup_present


@pytest.mark.parametrize("found", [[], [None], [[]]])
def test_an_emptied_list_replaces_the_value_before(found: list[Any]) -> None:
    """Whoever gives back their last subscription must not stay a subscriber of it."""
    value = lookup_present(("plans",))({"plans": found})
    assert value is not MISSING
    assert value is not None
    assert kept(value) == {}


def test_an_empty_list_matches_nothing() -> None:
    """It exists, which is all that can be said of it."""
    value = lookup(("plans",))({"plans": []})
    assert not contains(value, "gold")
    assert not any(COMPARE[sign](value, "gold") for sign in ("==", "<", "<=", ">", ">="))
    assert COMPARE["!="](value, "gold")


@pytest.mark.parametrize("source", [{"items": []}, {"items": [{}]}, {"items": [{"price": None}]}])
def test_a_path_that_finds_nothing_in_a_list_is_missing(source: dict[str, Any]) -> None:
    """There is no price, as there is none on a page without items."""
    assert lookup(("items", "price"))(source) is None
    assert lookup_present(("items", "price"))(source) is MISSING
