"""A link of ours is known again, and nobody else can make one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.message_links import LinkKeys, LinkOf

OLD, NEW = b"o" * 32, b"n" * 32
LINK = LinkOf("unsubscribe", "c-1", "cart_reminder", "00ff", "email", "offers")
KEYS = LinkKeys({"new": NEW, "old": OLD}, "https://shop.example/c")

pytestmark = pytest.mark.fast


def test_a_link_says_what_it_was_made_of() -> None:
    """By whatever key of the list it was signed: links in old mails go on working."""
    assert KEYS.read(KEYS.token(LINK)) == LINK
    assert KEYS.read(LinkKeys({"old": OLD}, "").token(LINK)) == LINK
    assert KEYS.url(LINK).startswith("https://shop.example/c/messages/unsubscribe?t=new.")


def test_a_link_by_a_key_that_is_gone_says_nothing() -> None:
    """That is how links are taken back."""
    assert LinkKeys({"new": NEW}, "").read(LinkKeys({"old": OLD}, "").token(LINK)) is None


@given(st.integers(min_value=0), st.characters())
def test_a_link_that_was_touched_says_nothing(place: int, other: str) -> None:
    """Whoever changes one letter would unsubscribe somebody else."""
    token = KEYS.token(LINK)
    at = place % len(token)
    changed = token[:at] + other + token[at + 1 :]
    read = KEYS.read(changed)
    assert (
        read is None or changed == token or at == token.rfind(".") - 1 or at == len(token) - 1
    )  # last letters have bits that nobody reads
    assert read is None or read == LINK


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    """It comes from the open internet."""
    assert KEYS.read(text) is None
    assert KEYS.read(f"new.{text}.{text}") is None
