"""What `doctor` says of a sender before one is started."""

from __future__ import annotations

import base64
from pathlib import Path

from streamer.cli.checks.sender_checks import check_sender
from streamer.settings import Settings

KEY = f"k1:{base64.b64encode(b's' * 32).decode()}"
MAIL = {"smtp_host": "127.0.0.1", "smtp_from": "Shop <news@shop.example>"}
LINKS = {"link_keys": KEY, "collect_url": "https://shop.example"}


async def said(folder: Path | None, **settings: object) -> list[tuple[str, str]]:
    found = await check_sender(Settings(templates=folder, **settings))  # pyright: ignore[reportArgumentType, reportCallIssue]
    return [(result.verdict, result.found) for result in found]


def a_template(folder: Path, text: str, name: str = "thanks") -> Path:
    place = folder / name / "en"
    place.mkdir(parents=True)
    (place / "subject.liquid").write_text("Thanks")
    (place / "text.liquid").write_text(text)
    return folder


async def test_where_no_sender_is_set_up_nothing_is_said(tmp_path: Path) -> None:
    """Most deployments have none."""
    assert await said(None) == []


async def test_it_counts_templates_and_names_channels(tmp_path: Path) -> None:
    """So that an operator sees what would be sent by what."""
    assert await said(a_template(tmp_path, "Hi"), **MAIL, **LINKS) == [("ok", "1 templates, channels console, email")]


async def test_a_template_that_cannot_be_used_is_named_with_its_place(tmp_path: Path) -> None:
    """At the desk, and not as an outcome at night."""
    a_template(tmp_path, "Hi", "welcome")
    (first, second) = await said(a_template(tmp_path, "Hi\n{% if %}"))
    assert first[0] == "wrong"
    assert "thanks/en/text.liquid:2:" in first[1]
    assert second == ("ok", "1 templates, channels console")


async def test_a_folder_in_which_no_template_can_be_used_is_refused(tmp_path: Path) -> None:
    """A sender on it would give up every message for good; one that does not start leaves them waiting."""
    assert await said(tmp_path) == [("wrong", f"STREAMER_TEMPLATES: there is none in {tmp_path}")]
    ((verdict, found),) = await said(a_template(tmp_path, "{% if %}"))
    assert verdict == "wrong"
    assert found.startswith("STREAMER_TEMPLATES: none can be used; thanks/en/text.liquid:1:")


async def test_mails_from_which_nobody_could_unsubscribe_are_refused(tmp_path: Path) -> None:
    """Mailboxes ask for it, and the law does."""
    ((verdict, found),) = await said(a_template(tmp_path, "Hi"), **MAIL)
    assert verdict == "wrong"
    assert "STREAMER_LINK_KEYS" in found


async def test_a_sender_that_is_no_address_is_refused(tmp_path: Path) -> None:
    """Before the first mail is."""
    ((verdict, found),) = await said(a_template(tmp_path, "Hi"), smtp_host="127.0.0.1", smtp_from="Shop", **LINKS)
    assert (verdict, found.partition(":")[0]) == ("wrong", "STREAMER_SMTP_FROM")
