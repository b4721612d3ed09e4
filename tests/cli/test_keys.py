"""``streamer keys``: a key is drawn, told to the settings, and named; its secret is shown once and never again."""

from __future__ import annotations

import pytest

from streamer.signing import read_keys
from tests.cli.conftest import Run


def test_a_new_key_is_what_the_setting_wants(run: Run) -> None:
    """Nobody should have to know what a good secret is."""
    once, again = run("keys", "new", "2026-11"), run("keys", "new", "2026-11")
    assert (once.code, once.err) == (0, "")
    assert once.out != again.out
    assert list(read_keys(f"{once.out},{again.out.replace('2026-11', '2026-12')}")) == ["2026-11", "2026-12"]


@pytest.mark.parametrize("name", ["Key", "a b", "", "x" * 33, "a:b"])
def test_a_name_that_cannot_stand_in_a_record_is_refused(run: Run, name: str) -> None:
    """It goes into headers and into the setting."""
    assert run("keys", "new", name).code == 3


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("2026-11:short", "is not base64"),
        ("2026-11:c2hvcnQ=", "shorter than 32 bytes"),
        ("c2VjcmV0c2VjcmV0c2VjcmV0", "item 1: expected id:base64"),
    ],
)
def test_a_bad_key_is_refused_without_being_shown(run: Run, monkeypatch: pytest.MonkeyPatch, keys: str, says: str) -> None:
    """An error ends up in logs."""
    monkeypatch.setenv("STREAMER_SIGNING_KEYS", keys)
    outcome = run("keys", "use", "2026-11")
    assert outcome.code == 3
    assert says in outcome.err
    assert keys.partition(":")[2] not in outcome.err or ":" not in keys
    assert "c2Vjcm" not in outcome.err


def test_a_key_that_the_settings_lack_cannot_be_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """All workers would halt for want of it."""
    monkeypatch.setenv("STREAMER_SIGNING_KEYS", run("keys", "new", "a").out.strip())
    outcome = run("keys", "use", "a", "b")
    assert (outcome.code, outcome.err.strip()) == (3, "STREAMER_SIGNING_KEYS has no key 'b'; it has a")


def test_keys_are_never_shown_by_config(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """`streamer config` is what people paste into tickets."""
    secret = run("keys", "new", "a").out.strip()
    monkeypatch.setenv("STREAMER_SIGNING_KEYS", secret)
    shown = run("config").out
    assert "signing_keys" in shown.lower()
    assert secret.partition(":")[2] not in shown
