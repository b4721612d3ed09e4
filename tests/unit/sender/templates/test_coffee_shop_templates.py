"""The templates that ship with us, rendered as a reader gets them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from html.parser import HTMLParser

import pytest

from streamer.language.definitions import load_definitions
from streamer.message_links import LinkKeys
from streamer.segments.coffee_shop import coffee_shop_path, coffee_shop_templates
from streamer.sender.content import MessageContent
from streamer.sender.templates.folder import Templates
from streamer.sender.templates.rendering import render
from streamer.values import Json
from tests.unit.sender.decisions import a_decision

LANGUAGES = ("ar", "en", "fa", "uk")
NAMES = ("bulk_offer", "cart_reminder", "dark_line", "fruit_line", "tasting")
LINKS = LinkKeys({"k1": b"0" * 32}, "https://mail.example")
ITEMS: list[Json] = [
    {"name": "Guji <Natural>", "price": 12.5, "image_url": "https://img.example/guji.png", "url": "https://coffee.example/guji?a=1&b=2"},
    {"name": "Huila", "price": "9.00", "image_url": None, "url": None},
    {"name": None, "price": None, "image_url": None, "url": None},
]
FACTS: dict[str, Json] = {
    "first_name": "Ada & Co",
    "items": ITEMS,
    "favourite": "Sumatra",
    "orders": 5,
    "since": "2025-11-03T10:00:00.000Z",
    "kinds": 7,
}
OF_NOBODY: dict[str, Json] = {**dict.fromkeys(FACTS), "items": [], "orders": 0, "kinds": 0}


@lru_cache(maxsize=1)
def templates() -> Templates:
    return Templates(coffee_shop_templates())


def written(name: str, language: str, facts: Mapping[str, Json] = FACTS, variant: str | None = None) -> MessageContent:
    return render(a_decision(message=name, template=name, language=language, variant=variant, facts=dict(facts)), templates(), LINKS)


class Page(HTMLParser):
    """Tags that were opened and not closed, and the text of the page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.shown = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.shown += data


def test_every_template_of_the_shop_can_be_used_and_asks_only_for_facts_of_its_message() -> None:
    """What a template needs and its message does not have would fail at every send."""
    assert templates().problems == {}
    facts = {message.template: {fact.name for fact in message.facts} for message in load_definitions(coffee_shop_path()).messages}
    assert tuple(templates().names) == NAMES == tuple(sorted(facts))
    for name in NAMES:
        assert templates().needs(name).keys() == facts[name]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_it_renders_in_its_language_with_facts_and_without(name: str, language: str) -> None:
    """Nobody is greeted by an empty name, and nothing of the template is left in the mail; who is unknown gets a whole one too."""
    for facts in (FACTS, OF_NOBODY):
        content = written(name, language, facts)
        assert (content.language, content.direction) == (language, "rtl" if language in ("ar", "fa") else "ltr")
        assert f'<html lang="{language}" dir="{content.direction}">' in content.html
        page = Page(content.html)
        assert page.open == []
        for shown in (content.subject, content.text, page.shown):
            assert shown.strip()
            assert not re.search(r"[{}%#]|None|nil", re.sub(r"https?://\S+", "", shown)), shown
        assert "https://mail.example" in content.text, "the unsubscribe link"
    assert "Ada &amp; Co" in written(name, language).html


def test_the_reminder_shows_what_was_left_with_its_price_as_it_is_written_there() -> None:
    """Names stay as they are and cannot become markup; what is not known is left out."""
    english, arabic, persian, ukrainian = (written("cart_reminder", language) for language in ("en", "ar", "fa", "uk"))
    assert "€12.50" in english.text
    assert "12,50\xa0EUR" in ukrainian.text
    assert "۱۲٫۵۰" in persian.text
    assert "Guji &lt;Natural&gt;" in english.html
    assert english.html.count("<img") == 1
    assert "3 coffees" in english.subject
    assert "3 منتجات" in arabic.subject
    assert "3 товари" in ukrainian.subject
    assert "۳ محصول" in persian.subject


@pytest.mark.parametrize(("number", "expected"), [(1, "1 замовлення"), (2, "2 замовлення"), (5, "5 замовлень"), (21, "21 замовлення")])
def test_orders_are_counted_in_ukrainian(number: int, expected: str) -> None:
    """Twenty-one is like one, eleven is not."""
    assert expected in written("bulk_offer", "uk", FACTS | {"orders": number}).text


@pytest.mark.parametrize(("number", "expected"), [(1, "طلبًا واحدًا"), (2, "طلبين"), (3, "3 طلبات"), (11, "11 طلبًا"), (100, "100 طلب")])
def test_orders_are_counted_in_arabic(number: int, expected: str) -> None:
    """Six forms, of which two name no number."""
    assert expected in written("bulk_offer", "ar", FACTS | {"orders": number}).text


def test_each_variant_of_the_offer_says_something_else() -> None:
    """Two arms with the same words would measure nothing."""
    for language in LANGUAGES:
        texts = {written("bulk_offer", language, variant=variant).text for variant in ("tenth_off", "free_delivery")}
        assert len(texts) == 2


def test_a_name_in_latin_letters_is_isolated_in_a_text_from_right_to_left() -> None:
    """Else the comma behind it jumps to the other side."""
    for language in ("ar", "fa"):
        content = written("dark_line", language)
        assert "\u2068Sumatra\u2069" in content.text
        assert "<bdi>Sumatra</bdi>" in content.html
