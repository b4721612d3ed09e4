"""A template that asks an item for what its list does not keep fails at every send: `check` finds it, and says nothing that is not so."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.errors import DefinitionError
from streamer.language.definitions import parse_definitions
from streamer.sender.template_check import template_faults
from streamer.sender.templates.folder import Templates

DEFINITIONS = """
segments: {cart_left: {for: Left a cart., when: 'did("Product Added")'}}
topics: {offers: opt_out}
messages:
  reminder:
    for: x
    on: entered("cart_left")
    channel: email
    topic: offers
    facts:
      items: {left_of: [Product Added], by: product_id, keep: [name, price]}
"""


def faults(folder: Path, text: str) -> list[tuple[str, str]]:
    """What is wrong with a reminder of these words, and the hint."""
    place = folder / "reminder" / "en"
    place.mkdir(parents=True)
    (place / "subject.liquid").write_text("Hi")
    (place / "text.liquid").write_text(text)
    assert Templates(folder).problems == {}
    return [(fault.text, fault.hint) for fault in template_faults(parse_definitions(DEFINITIONS), folder)]


def test_a_folder_without_templates_is_the_wrong_one(tmp_path: Path) -> None:
    """A sender would not start on it, so `check` says it once and not for each message."""
    with pytest.raises(DefinitionError, match="expected templates in it"):
        list(template_faults(parse_definitions(DEFINITIONS), tmp_path))


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("{% for i in items %}{{ i.nam }}{% endfor %}", 24),
        ("{% for i in items limit: 2 %}{{ i['nam'] | default: 'x' }}{% endfor %}", 33),
        ("{% for i in items %}{% if i.price %}{{ i.nam | upcase }}{% endif %}{% endfor %}", 40),
        ("{% for i in items %}{% for i in items %}{{ i.nam }}{% endfor %}{% endfor %}", 44),
        ("{% for i in items %}{% assign a = i.nam %}{% endfor %}", 35),
        ("{{ items[0].nam }}", 4),
        ("{{ items.first.nam }}", 4),
        ("{{ items | where: 'price' | size }}{{ items.last.nam }}", 39),
    ],
)
def test_a_name_that_no_item_has_is_found_with_its_place(tmp_path: Path, text: str, column: int) -> None:
    """One that has a default too: a list keeps the same names of each item, so it would be the default for everybody."""
    [(said, hint)] = faults(tmp_path, text)
    assert f"at reminder/en/text.liquid:1:{column} needs 'nam' of an item" in said
    assert "name" in hint


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in items %}{{ i.name }}{{ i.price }}{{ i.size }}{{ forloop.index }}{% endfor %}",
        "{{ items.size }}{{ items[0].name }}{{ items.first.price }}",
        "{% assign items = 'a,b' | split: ',' %}{% for i in items %}{{ i.nam }}{% endfor %}",
        "{% assign i = customer %}{{ i.nam }}",
        "{% for i in items %}{% endfor %}{% assign i = customer %}{{ i.nam }}",
        "{% for i in items %}{% for i in (1..2) %}{{ i.nam }}{% endfor %}{% endfor %}",
        "{% assign some = items | where: 'price' %}{% for i in some %}{{ i.nam }}{% endfor %}",
        "{% for items in (1..2) %}{% for i in items %}{{ i.nam }}{% endfor %}{% endfor %}",
        "{% for i in items %}{% capture i %}x{% endcapture %}{{ i.nam }}{% endfor %}",
        "{{ items[message].nam }}",
        "{% for c in customer %}{{ c.nam }}{% endfor %}",
    ],
)
def test_what_is_not_certain_is_no_mistake(tmp_path: Path, text: str) -> None:
    """Another list, another variable of the same name, what a filter made: a false alarm would stop a template that works."""
    assert faults(tmp_path, text) == []
