"""Templates on the page: what `streamer segments check --templates` says, and what a customer would read, from right to left too."""

from __future__ import annotations

import asyncio
import html
import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest

from streamer.cli import message_trials
from streamer.language.definitions import parse_definitions
from streamer.page import template_shelf, test_sends
from streamer.page.site import FRAMED_POLICY, SAFE_HEADERS
from streamer.sender.channels import Accepted, Attempt, Declined, Outgoing
from streamer.sender.template_check import template_faults
from streamer.server.tokens import read_tokens
from streamer.settings import Settings
from streamer.web.secret_tables import hash_of

from .desk import SHARDS, PageDesk, looking
from .test_hostile_texts import HOSTILE, SCRIPTS, TURNS, check_harmless

RULES = parse_definitions(
    """
segments:
  left: {for: Left something., when: 'did("A")'}
messages:
  hello: {for: Greets., on: entered("left"), channel: email, kind: transactional, language: 'trait("lang")', facts: {name: 'trait("name")'}}
  broken: {for: Breaks., on: entered("left"), channel: email, kind: transactional}
  absent: {for: Is not there., on: entered("left"), channel: email, kind: transactional}
"""
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A template in two languages, one that needs what is not there, and one that no message has."""
    monkeypatch.setenv("STREAMER_TEMPLATES", str(tmp_path))
    write(tmp_path, "hello/en", "Hello {{ name }}", "Dear {{ name }},\nwelcome.", "<b>Dear {{ name }}</b>")
    write(tmp_path, "hello/fa", "سلام {{ name }}", "{{ name }} عزیز\nخوش آمدید")
    write(tmp_path, "broken/en", "Hello {{ nobody }}", "Text")
    write(tmp_path, "spare/en", "Spare", "Text")
    return tmp_path


def write(folder: Path, name: str, subject: str, text: str, html: str = "") -> None:
    """One language of a template."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    for part, content in (("subject", subject), ("text", text), ("html", html)):
        if content:
            (place / f"{part}.liquid").write_text(content, encoding="utf-8")


async def greet(desk: PageDesk, customer: str, **traits: str) -> None:
    """Somebody who is known."""
    desk.shop.write("", type="identify", userId=customer, traits=traits)
    desk.shop.write("A", userId=customer)
    await desk.settle()


async def test_templates_are_checked_as_on_the_command_line(folder: Path) -> None:
    """By message and language; a template of no message is there as well."""
    faults = {fault.message.name: fault.text for fault in template_faults(RULES, folder)}
    assert set(faults) == {"broken", "absent"}
    async with looking(RULES) as desk:
        await greet(desk, "ada")
        page = await desk.look("/templates")
        assert page.status == 200
        assert "hello hello en, fa Nothing is wrong with it." in page.text
        assert f"broken broken en {faults['broken']}" in page.text
        assert f"absent absent {faults['absent']}" in page.text
        assert "of no message spare en" in page.text
        assert "4 of 4 templates." in page.text


@pytest.mark.usefixtures("folder")
async def test_a_preview_is_what_the_customer_would_read() -> None:
    """In their language and its direction, or in another one; and no address of theirs."""
    async with looking(RULES) as desk:
        await greet(desk, "ada", name="Ada", lang="en", email="ada@shop.example")
        await greet(desk, "sara", name="سارا", lang="fa")
        english = await desk.look("/templates?message=hello&customer=ada")
        assert '<p lang="en" dir="ltr"><strong>Hello Ada</strong></p>' in english.html
        assert '<pre lang="en" dir="ltr">\nDear Ada,\nwelcome.\n</pre>' in english.html
        assert "The HTML part" in english.text
        assert "ada@shop.example" not in english.html
        for asked in ("customer=sara", "customer=sara&language=fa"):
            persian = await desk.look(f"/templates?message=hello&{asked}")
            assert '<p lang="fa" dir="rtl"><strong>سلام سارا</strong></p>' in persian.html
            assert '<pre lang="fa" dir="rtl">\nسارا عزیز\nخوش آمدید\n</pre>' in persian.html
            assert "The HTML part" not in persian.text
        assert "سلام Ada" in (await desk.look("/templates?message=hello&customer=ada&language=fa")).text


@pytest.mark.usefixtures("folder")
async def test_a_preview_is_that_of_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever looks at both sees one message."""
    monkeypatch.setenv("STREAMER_SHARDS", str(SHARDS))
    monkeypatch.setenv("STREAMER_TICK", "30s")
    async with looking(RULES) as desk:
        await greet(desk, "sara", name="سارا", lang="fa")
        monkeypatch.setattr(Settings, "open_store", lambda _settings: desk.store)
        await asyncio.to_thread(message_trials.preview, "hello", "sara", as_json=True)
        said = json.loads(capsys.readouterr().out)
        assert said["language"] == "fa"
        page = await desk.look("/templates?message=hello&customer=sara")
        assert f"<strong>{said['subject']}</strong>" in page.html
        assert f">\n{said['text']}\n</pre>" in page.html


@pytest.mark.usefixtures("folder")
async def test_where_there_is_no_preview_the_page_says_why() -> None:
    """The same words as on the command line, and no error page."""
    async with looking(RULES) as desk:
        await greet(desk, "ada", name="Ada")
        for asked, said in (
            ("message=hello&customer=nobody", "nothing is known of the customer 'nobody'"),
            ("message=helo&customer=ada", "there is no message 'helo'"),
            ("message=absent&customer=ada", "there is no template 'absent'"),
            ("message=broken&customer=ada", "broken/en/subject.liquid:1:"),
            ("message=hello&customer=%00", "expected 1 to 256 characters"),
        ):
            page = await desk.look(f"/templates?{asked}")
            assert page.status == 200
            assert said in page.text


async def test_without_a_folder_the_page_says_where_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most servers are no senders."""
    monkeypatch.delenv("STREAMER_TEMPLATES", raising=False)  # tests in a browser have one for as long as they look
    async with looking(RULES) as desk:
        await greet(desk, "ada")
        assert "STREAMER_TEMPLATES says where it is" in (await desk.look("/templates")).text


async def test_a_corrected_template_is_shown_without_a_new_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes one looks at it again and again."""
    async with looking(RULES) as desk:
        await greet(desk, "ada", name="Ada")
        assert "Hello Ada" in (await desk.look("/templates?message=hello&customer=ada")).text
        write(folder, "hello/en", "Good day {{ name }}", "Text")
        assert "Hello Ada" in (await desk.look("/templates?message=hello&customer=ada")).text, "read at each look"
        monkeypatch.setattr(template_shelf, "KEPT_SECONDS", -1.0)
        assert "Good day Ada" in (await desk.look("/templates?message=hello&customer=ada")).text


async def test_a_long_text_is_cut(folder: Path) -> None:
    """And the page says so."""
    write(folder, "hello/en", "Long", "y" * 30_000)
    async with looking(RULES) as desk:
        await greet(desk, "ada", name="Ada")
        page = await desk.look("/templates?message=hello&customer=ada")
        assert "Cut after 20,000 characters." in page.text
        assert page.html.count("y" * 20_000) == 1
        assert "y" * 20_001 not in page.html


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize("text", HOSTILE)
async def test_a_preview_obeys_no_text_from_outside(text: str, language: str, folder: Path) -> None:
    """Neither what a customer is called, nor their id, nor what is asked for, nor what stands in a template."""
    write(folder, "hello/en", "Hello {{ name }}", f"{{{{ name }}}} {SCRIPTS[0]} {TURNS[0]}", "<b>{{ name }}</b>")
    part = quote(text, safe="")
    async with looking(RULES) as desk:
        await greet(desk, text, name=text)
        for asked in (
            f"message=hello&customer={part}",
            f"message={part}&customer={part}&language={part}",
            f"message=hello&customer=%00{part}",
        ):
            found = await desk.look(f"/templates?lang={language}&{asked}")
            assert found.status == 200, json.dumps(asked)
            check_harmless(found.html)
        shown = await desk.look(f"/templates?lang={language}&message=hello&customer={part}")
        assert "&lt;img src=x onerror=alert(1)&gt;" in shown.html, "it is not shown at all"


async def test_the_html_part_is_shown_in_a_frame_in_which_nothing_runs(folder: Path) -> None:
    """A template may have anything in it, and a customer's name stands in it too."""
    write(
        folder, "hello/en", "Hello {{ name }}", "Text", "<script>alert(1)</script><img src='https://evil.example/x'><b>Dear {{ name }}</b>"
    )
    async with looking(RULES) as desk:
        await greet(desk, "ada", name=SCRIPTS[0], lang="en")
        page = await desk.look("/templates?message=hello&customer=ada")
        check_harmless(page.html)
        assert "alert(1)</script>" not in page.html
        [address] = re.findall(r'<iframe class="letter" sandbox title="[^"]*" src="([^"]*)"></iframe>', page.html)
        assert "frame-src 'self'" in page.headers["Content-Security-Policy"]
        found = await desk.look(html.unescape(address))
        assert found.status == 200
        assert found.headers["Content-Security-Policy"] == FRAMED_POLICY
        assert FRAMED_POLICY.startswith("sandbox; default-src 'none'; ")
        assert "script-src" not in FRAMED_POLICY
        assert "allow-" not in FRAMED_POLICY
        assert found.headers["X-Content-Type-Options"] == "nosniff"
        assert '<html lang="en" dir="ltr">' in found.html
        assert "Dear &lt;img src=x" in found.html
        for wrong in (
            "",
            "message=hello&customer=",
            "message=none&customer=ada",
            "message=hello&customer=nobody",
            "message=absent&customer=ada",
        ):
            refused = await desk.look(f"/templates/html?{wrong}")
            assert (refused.status, refused.headers["Content-Security-Policy"]) == (400, SAFE_HEADERS["Content-Security-Policy"])


async def test_a_whole_document_stays_as_it_is(folder: Path) -> None:
    """And one from right to left says so where it is none."""
    write(folder, "hello/en", "S", "T", '<!doctype html><html lang="x"><body>Dear</body></html>')
    write(folder, "hello/fa", "S", "T", "<p>سلام</p>")
    async with looking(RULES) as desk:
        await greet(desk, "ada", name="Ada", lang="en")
        found = await desk.look("/templates/html?message=hello&customer=ada")
        assert found.html == '<!doctype html><html lang="x"><body>Dear</body></html>'
        found = await desk.look("/templates/html?message=hello&customer=ada&language=fa")
        assert '<html lang="fa" dir="rtl">' in found.html


@pytest.fixture
def outgoing(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Outgoing, str]]:
    """What leaves, and where to."""
    left: list[tuple[Outgoing, str]] = []

    async def send(_settings: Settings, found: Outgoing, to: str, _write: object, _now_ms: object) -> Attempt:
        left.append((found, to))
        return Accepted("250 <b>queued") if to == "me@shop.example" else Declined("550 nobody")

    monkeypatch.setenv("STREAMER_SERVE_TEST_ADDRESSES", "me@shop.example, other@shop.example")
    monkeypatch.setattr(test_sends, "send_to", send)
    return left


FORM = {"message": "hello", "customer": "ada", "language": "", "to": "me@shop.example"}


@pytest.mark.usefixtures("folder")
async def test_a_test_goes_to_an_address_that_the_operator_has_allowed(outgoing: list[tuple[Outgoing, str]]) -> None:
    """With the customer's facts, and to nobody else: a form that somebody made has any address in it."""
    async with looking(RULES) as desk:
        await greet(desk, "ada", name="Ada", lang="en", email="ada@shop.example")
        page = await desk.look("/templates?message=hello&customer=ada")
        assert '<option value="me@shop.example">' in page.html
        assert "ada@shop.example" not in page.html

        async def send(**fields: str) -> tuple[int, str]:
            found = await desk.ask("POST", "/templates", form={"form_key": page.form_key, **FORM, **fields})
            check_harmless(found.html)
            return found.status, found.text

        status, text = await send()
        assert (status, "the server has it: 250 <b>queued" in text) == (200, True)
        [(found, to)] = outgoing
        assert (found.content.text.startswith("Dear Ada,"), to) == (True, "me@shop.example")
        status, text = await send(to="other@shop.example")
        assert (status, "not sent, or nobody can tell: 550 nobody" in text) == (409, True)
        for to in ("ada@shop.example", "", "me@shop.example, other@shop.example"):
            status, text = await send(to=to)
            assert (status, "none of STREAMER_SERVE_TEST_ADDRESSES" in text) == (409, True)
        assert (await send(customer=""))[0] == 400
        assert (await send(message="absent"))[0] == 409
        assert len(outgoing) == 2


@pytest.mark.usefixtures("folder")
async def test_without_addresses_nobody_is_offered_a_test() -> None:
    """It is the operator's to say to whom."""
    async with looking(RULES) as desk:
        await greet(desk, "ada", name="Ada", lang="en")
        page = await desk.look("/templates?message=hello&customer=ada")
        assert "Test send" not in page.text
        found = await desk.ask("POST", "/templates", form={"form_key": (await desk.look("/try")).form_key, **FORM})
        assert found.status == 409


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("role", "status"), [("read", 403), ("erase", 403), ("write", 200)])
async def test_a_test_needs_the_role_to_write(outgoing: list[tuple[Outgoing, str]], role: str, status: int) -> None:
    """It has a customer's facts in it."""
    tokens = read_tokens(f'[tokens.x]\nhash = "{hash_of("st_somebody_of_the_page")}"\nroles = ["read", "{role}"]', "tokens")
    async with looking(RULES, tokens=tokens) as desk:
        await greet(desk, "ada", name="Ada", lang="en")
        form_key = (await desk.look("/login")).form_key
        await desk.ask("POST", "/login", form={"form_key": form_key, "token": "st_somebody_of_the_page"})
        page = await desk.look("/templates?message=hello&customer=ada")
        assert ("Test send" in page.text) == (status == 200)
        found = await desk.ask("POST", "/templates", form={"form_key": (await desk.look("/try")).form_key, **FORM})
        assert (found.status, len(outgoing)) == (status, int(status == 200))
