"""Whoever has a browser's key writes ids, event names and traits: none of them is obeyed by a page, whatever it says."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Final
from urllib.parse import quote

import pytest

from streamer.language.definitions import parse_definitions
from streamer.page.rendering import SHOWN_CHARS_MAX, outside
from streamer.printable import printable
from streamer.stores.documents import note_document

from .desk import PageDesk, looking

SCRIPTS: Final = (
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "'onmouseover='alert(1)",
    "</title></style></textarea><svg onload=alert(1)>",
    "{{ 12345 * 1000 }}{% include 'login.html' %}",
    "javascript:alert(1)",
)
TURNS: Final = ("\u202e<b>gpj.exe", "\u2066\u2067x", "\u200f\u061cabc")
LONG: Final = "x" * 250
HOSTILE: Final = (*SCRIPTS, *TURNS, LONG)
HARMLESS_TAGS: Final = frozenset(
    re.findall(
        r"\w+",
        """html head meta title link script body a header img nav ul li div form input span button main h1 h2 h3 dl dt dd strong small
        section ol q iframe caption time table
        thead tbody tr th td bdi p label select option article code details summary pre figure meter b br textarea""",
    )
)


class Tags(HTMLParser):
    """The tags of a page, and their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def check_harmless(html: str) -> None:
    """No tag and no attribute but ours, and nothing that turns a line round."""
    for tag, attributes in Tags(html).found:
        assert tag in HARMLESS_TAGS, tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"], attributes
        for name in ("href", "src", "action", "data-hx-sse-connect", "data-hx-post"):
            assert (attributes.get(name) or "/").startswith(("/", "?", "#")), attributes
        if tag == "script":
            assert (attributes["src"] or "").startswith("/static/")
    assert not [one for one in html if one in "\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2028\u2029\u200e\u200f\u061c\x00\x1b"]
    assert "12345000" not in html, "a text was taken for a template"


async def shop_of(desk: PageDesk) -> None:
    """Customers, events and traits with such names."""
    for text in HOSTILE:
        desk.shop.write("", type="identify", userId=text, traits={"said": text})
        desk.shop.write("A", userId=text)
        desk.shop.write(text, userId=text)
        desk.shop.write("A", userId=text, timestamp=f"never {text}")
    await desk.settle()


RULES = parse_definitions(
    {
        "segments": {
            "seen": {"for": f"People; {SCRIPTS[0]} {TURNS[0]}", "when": f"did({json.dumps(SCRIPTS[1])}) or did('A')"},
            "said": {"for": "Said something", "when": 'trait("said") != ""'},
        },
        "messages": {"word": {"for": f"A word; {SCRIPTS[0]}", "on": 'entered("said")', "channel": "webhook", "kind": "transactional"}},
    }
)


@pytest.mark.parametrize(
    "path",
    ["/", "/segments", "/segments/seen", "/segments/said", "/customers", "/messages", "/ledger", "/sources", "/dead-letters", "/workers"],
)
@pytest.mark.parametrize("language", ["en", "ar"])
async def test_no_view_obeys_a_text_from_outside(path: str, language: str) -> None:
    """An id is shown in every view, and so is what a rule looked at."""
    async with looking(RULES) as desk:
        await shop_of(desk)
        note = {
            "at_ms": desk.shop.now_ms,
            "worker": SCRIPTS[0],
            "status": {"shard": 0, "state": "halted", "since_seconds": 1.0, "problem": f"record of {SCRIPTS[1]} {TURNS[0]}"},
            "zones": "",
            "refused_ratio": 0.0,
        }
        await desk.store.replace_document(note_document(0), json.dumps(note).encode())
        found = await desk.look(f"{path}?lang={language}")
        assert found.status == 200
        check_harmless(found.html)
        if path in ("/", "/customers", "/segments/seen", "/messages", "/ledger", "/dead-letters"):
            assert "&lt;img src=x onerror=alert(1)&gt;" in found.html, "it is not shown at all"
        if path in ("/", "/workers"):
            assert "&lt;script&gt;" in found.html


@pytest.mark.parametrize("customer", HOSTILE)
async def test_the_view_of_a_customer_obeys_nothing_of_theirs(customer: str) -> None:
    """Neither the id, nor a value that a clause shows, nor an address that is made of the id."""
    async with looking(RULES) as desk:
        await shop_of(desk)
        found = await desk.look(f"/customers/{quote(customer, safe='')}?all=1")
        assert found.status == 200
        check_harmless(found.html)
        assert f'trait("said") != "" value: {printable(customer)[:60]}' in found.text


@pytest.mark.parametrize("text", HOSTILE)
async def test_what_is_asked_for_is_not_obeyed_either(text: str) -> None:
    """A link that somebody sends has a query."""
    async with looking(RULES) as desk:
        await desk.settle()
        part = quote(text, safe="")
        for path in (
            f"/segments?q={part}&sort={part}",
            f"/login?next={part}",
            f"/{part}",
            f"/segments/{part}",
            f"/customers/{part}",
            f"/workers?{part}={part}",
            f"/ledger?customer={part}&reason={part}",
            f"/dead-letters?reason={part}",
        ):
            check_harmless((await desk.look(path)).html)


async def test_an_address_of_a_customer_leads_to_that_customer() -> None:
    """Whatever stands in the id: a slash, a question mark, a per cent sign."""
    async with looking(RULES) as desk:
        for customer in ("a/b", "a?b=c", "a%2Fb", "a b", "..", "é#ü", '"q"'):
            desk.shop.write("A", userId=customer)
            await desk.settle()
            found = await desk.look(f"/customers?id={quote(customer, safe='')}")
            assert found.status == 303
            page = await desk.look(found.headers["Location"])
            assert page.status == 200, customer
            assert customer in page.text


def test_a_text_from_outside_is_cut() -> None:
    """A megabyte of it would be the whole page."""
    assert len(outside("y" * 10_000)) < SHOWN_CHARS_MAX + 20
    assert outside("a\x1b[2Jb") == "<bdi>a\\x1b[2Jb</bdi>"
