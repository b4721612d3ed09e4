"""The coffee shop that ships with us: who is who in it, and that every template is there in every language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from babel import Locale

from streamer import replay
from streamer.language.definitions import Definitions, load_definitions
from streamer.language.lint.linter import lint
from streamer.segments.change import ENTERED
from streamer.segments.coffee_shop import coffee_shop_path, coffee_shop_templates
from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS

LANGUAGES = ("ar", "en", "fa", "uk")
PARTS = ("html", "subject", "text")
BEGIN_MS = 1_772_000_000_000

COFFEES = {
    "sumatra": {"roast": "dark", "taste": "spice"},
    "java": {"roast": "dark", "taste": "chocolate"},
    "guji": {"roast": "light", "taste": "fruit"},
    "kenya": {"roast": "light", "taste": "fruit"},
    "huila": {"roast": "medium", "taste": "caramel"},
    "geisha": {"roast": "light", "taste": "flowers"},
}


@lru_cache(maxsize=1)
def shop() -> Definitions:
    return load_definitions(coffee_shop_path())


def order(customer: str, day: int, *coffees: str) -> dict[str, object]:
    products = [{"product_id": name, "name": name.title(), **COFFEES[name]} for name in coffees]
    return event(customer, day * DAY_MS, "Order Completed", {"total": 12.5 * len(products), "products": products})


def event(customer: str, at_ms: int, name: str, properties: dict[str, object]) -> dict[str, object]:
    return {"event": name, "messageId": f"{customer}-{at_ms}", "userId": customer, "timestamp": BEGIN_MS + at_ms, "properties": properties}


def entered(events: list[dict[str, object]], *, until_ms: int | None = None) -> list[str]:
    told = replay(events, shop(), until_ms=None if until_ms is None else BEGIN_MS + until_ms)
    return [change.data.segment for change in told if change.type == ENTERED]


def templates() -> Iterator[Path]:
    return coffee_shop_templates().glob("*/*/*.liquid")


def test_it_loads_and_the_linter_finds_nothing() -> None:
    """An example that warns teaches to pass over warnings."""
    assert lint(shop()) == []


def test_who_likes_dark_roasts_and_who_likes_fruit_are_told_apart() -> None:
    """Two orders make a taste; what is ordered most decides, so the two get different mails about a new line."""
    assert entered([order("dora", 0, "sumatra"), order("dora", 3, "java")]) == ["dark_roast_lover"]
    assert entered([order("fred", 0, "guji"), order("fred", 3, "kenya")]) == ["fruit_lover"]
    assert entered([order("una", 0, "sumatra")]) == [], "one order is no taste"


def test_a_habit_is_four_orders_in_three_months() -> None:
    """The offer for larger amounts is for who comes back anyway."""
    orders = [order("fay", day, "huila") for day in (0, 20, 40, 60)]
    assert entered(orders) == ["frequent_buyer"]
    assert entered([order("ron", day, "huila") for day in (0, 40, 80, 120)]) == []


def test_an_explorer_has_tried_six_coffees() -> None:
    """The same coffee again is no discovery."""
    assert entered([order("eva", 0, *COFFEES)]) == ["explorer"]
    assert entered([order("sam", 0, "huila", "huila", "geisha")]) == []


def test_a_basket_is_left_after_half_an_hour_and_not_after_an_order() -> None:
    """What was taken out again, or bought, is not left."""
    added = event("ada", 0, "Product Added", {"product_id": "guji"})
    removed = event("ada", MINUTE_MS, "Product Removed", {"product_id": "guji"})
    assert entered([added], until_ms=HOUR_MS) == ["basket_left"]
    assert entered([added, event("ada", MINUTE_MS, "Order Completed", {"total": 1})], until_ms=HOUR_MS) == []
    assert entered([added, removed], until_ms=HOUR_MS) == []


def test_every_message_has_every_part_in_every_language() -> None:
    """A reader of Arabic must not get the English page because one file was forgotten."""
    there = {(path.parts[-3], path.parts[-2], path.stem) for path in templates()}
    assert there == {(message.template, language, part) for message in shop().messages for language in LANGUAGES for part in PARTS}


@pytest.mark.parametrize("path", sorted(templates()), ids=lambda path: "-".join(path.parts[-3:]))
def test_a_template_asks_for_nothing_that_its_message_does_not_remember(path: Path) -> None:
    """And each part shows something of the reader's, or of the shop, in its own letters."""
    (message,) = (one for one in shop().messages if one.template == path.parts[-3])
    source = path.read_text(encoding="utf-8")
    known = {fact.name for fact in message.facts} | {"item", "language", "direction", "unsubscribe_url", "variant"}
    own = set(re.findall(r"assign (\w+) =", source))
    assert set(re.findall(r"\{\{ ([a-z_]\w*)", source)) <= known | own


@pytest.mark.parametrize("path", sorted(templates()), ids=lambda path: "-".join(path.parts[-3:]))
def test_a_number_has_all_forms_of_its_language(path: Path) -> None:
    """Ukrainian has four forms and Arabic six; a missing one is a wrong ending in one mail of five."""
    needed = set(Locale(path.parts[-2]).plural_form.tags) | {"other"}
    for forms in re.findall(r"\| plural: ([^}]*)\}\}", path.read_text(encoding="utf-8")):
        assert set(re.findall(r"(\w+): \"", forms)) == needed


def test_numbers_are_counted_by_plurals_somewhere() -> None:
    """The check above must have something to check."""
    assert sum("| plural:" in path.read_text(encoding="utf-8") for path in templates()) >= 3 * len(LANGUAGES)


@pytest.mark.parametrize("path", sorted(coffee_shop_templates().glob("*/*/html.liquid")), ids=lambda path: "-".join(path.parts[-3:]))
def test_a_page_says_its_language_and_direction_and_isolates_what_may_run_the_other_way(path: Path) -> None:
    """A Latin name in an Arabic line pulls the full stop to the wrong side unless it is isolated."""
    source = path.read_text(encoding="utf-8")
    assert '<html lang="{{ language }}" dir="{{ direction }}">' in source
    for name in ("first_name", "favourite", 'item.name | default: "…"'):
        assert f"{{{{ {name} }}}}" not in source, f"{name} without bdi"
    assert "left" not in re.findall(r'style="([^"]*)"', source)[0], "no side by name: it is the other one from right to left"
