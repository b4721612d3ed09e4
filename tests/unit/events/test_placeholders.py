"""Ids that name nobody."""

from __future__ import annotations

import pytest

from streamer.errors import RefusedError
from streamer.events.event import Event
from streamer.events.placeholders import PLACEHOLDER_IDS, normal_form, settle_customer
from streamer.settings import load_settings


def event(user_id: str | None, anonymous_id: str | None = None) -> Event:
    """An event under these ids."""
    return Event(event="E", message_id="m", user_id=user_id, anonymous_id=anonymous_id, timestamp_ms=0)


@pytest.mark.parametrize("written", ["undefined", "null", "[object Object]", "NaN", "None", "0", " ", "\t\u00a0", " NULL ", "Guest"])
def test_a_placeholder_leaves_the_anonymous_id(written: str) -> None:
    """A slip in a shop's template writes the same word for everybody; the browser's own id still tells them apart."""
    settled = settle_customer(event(written, "a-9"), PLACEHOLDER_IDS)
    assert (settled.user_id, settled.customer) == (None, "a-9")


@pytest.mark.parametrize(
    ("user_id", "anonymous_id", "path"),
    [
        ("undefined", None, "$.userId"),
        ("undefined", "null", "$.userId"),
        (None, "00000000-0000-0000-0000-000000000000", "$.anonymousId"),
        ("  ", None, "$.userId"),
    ],
)
def test_an_event_of_nobody_is_refused(user_id: str | None, anonymous_id: str | None, path: str) -> None:
    """Accepted, it would make one customer of many people, who then all get each other's messages."""
    with pytest.raises(RefusedError) as caught:
        settle_customer(event(user_id, anonymous_id), PLACEHOLDER_IDS)
    assert (caught.value.reason, caught.value.path) == ("placeholder_id", path)


def test_an_anonymous_id_that_is_a_placeholder_is_taken_away() -> None:
    """Beside a good id it would link everybody who logs in to one visitor."""
    settled = settle_customer(event("c-17", "undefined"), PLACEHOLDER_IDS)
    assert (settled.customer, settled.anonymous_id) == ("c-17", None)


@pytest.mark.parametrize("written", ["c-17", "00", "nullius", "0x0", "undefined-17", "Nan Goldin"])
def test_an_id_that_only_resembles_one_is_an_id(written: str) -> None:
    """The whole id must be a placeholder, not a part of it."""
    assert settle_customer(event(written, "a-9"), PLACEHOLDER_IDS).customer == written


def test_spaces_name_nobody_whatever_the_list() -> None:
    """A list can be emptied, by a file whose customers are numbered from 0."""
    assert settle_customer(event("0"), ()).customer == "0"
    with pytest.raises(RefusedError):
        settle_customer(event(" "), ())


def test_the_list_is_a_setting_and_part_of_the_story(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers under different lists would tell two stories, so the manifest holds it."""
    monkeypatch.setenv("STREAMER_PLACEHOLDER_IDS", "Nobody, undefined ,,")
    assert load_settings().rules.placeholder_ids == ("nobody", "undefined")
    assert load_settings().shown()["placeholder_ids"] == "nobody,undefined"
    monkeypatch.delenv("STREAMER_PLACEHOLDER_IDS")
    assert load_settings().rules.placeholder_ids == PLACEHOLDER_IDS == normal_form(PLACEHOLDER_IDS)


def test_a_refusal_repeats_no_id() -> None:
    """The list is the operator's, and may hold somebody's name by mistake."""
    with pytest.raises(RefusedError) as caught:
        settle_customer(event("jane"), ("jane",))
    assert "jane" not in str(caught.value)
