"""Names of events that are nearly those at hand: free names cannot be refused, but a slip can be pointed out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


def definitions(tmp_path: Path, name: str) -> Path:
    """One segment that listens to ``name``."""
    path = tmp_path / "names.yaml"
    path.write_text(f"segments:\n  one: {{for: A test., when: 'did(\"{name}\")'}}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["Prodct Viewd", "product_viewed", "PRODUCT VIEWED"])
@pytest.mark.parametrize("command", [("replay",), ("explain", "anna", "--events")])
def test_a_slip_in_a_name_is_pointed_out(run: Run, events: Path, tmp_path: Path, name: str, command: tuple[str, ...]) -> None:
    """The segment loads, and stays empty for ever: nothing else would say why."""
    told = run(*command, events, "--segments", definitions(tmp_path, name))
    assert told.code == 0
    assert f'hint: one listens to "{name}", which no event here is called; is "Product Viewed" meant?' in told.err


def test_a_slip_in_a_message_is_pointed_out_too(run: Run, events: Path, tmp_path: Path) -> None:
    """Its goal is never reached, and no answer says so."""
    path = tmp_path / "names.yaml"
    goal = "goal: {event: Prodct Viewd, within: 3d}"
    message = f"{{for: x, on: hour() == 1, channel: email, kind: transactional, {goal}}}"
    path.write_text(f"segments: {{}}\nmessages:\n  one: {message}\n", encoding="utf-8")
    told = run("replay", events, "--segments", path)
    assert 'hint: message one listens to "Prodct Viewd", which no event here is called; is "Product Viewed" meant?' in told.err


@pytest.mark.parametrize(("name", "is_slip"), [("emial", True), ("E-Mail", True), ("email", False), ("plan", False), ("email.home", False)])
def test_a_slip_in_a_trait_is_pointed_out(run: Run, tmp_path: Path, name: str, *, is_slip: bool) -> None:
    """An address that nobody has is a message that nobody gets."""
    path, log = tmp_path / "names.yaml", tmp_path / "log.ndjson"
    message = f"{{for: x, on: hour() == 1, channel: console, kind: transactional, address: 'trait(\"{name}\")'}}"
    path.write_text(f"segments: {{}}\nmessages:\n  one: {message}\n", encoding="utf-8")
    identify = '{"type": "identify", "messageId": "1", "userId": "ada", "timestamp": "2026-03-01T10:00:00Z", "traits": {"email": "a@b.c"}}'
    log.write_text(identify + "\n", encoding="utf-8")
    hint = f'hint: message one reads the trait "{name}", which no event here has; is "email" meant?'
    for command in (("replay",), ("explain", "ada", "--events")):
        assert (hint in run(*command, log, "--segments", path).err) is is_slip


@pytest.mark.parametrize("name", ["Product Viewed", "Product Reviewed", "Product Card Viewed", "Coupon Denied", "Prod*", "*"])
def test_other_names_are_other_events(run: Run, events: Path, tmp_path: Path, name: str) -> None:
    """A file need not have every event that segments know."""
    assert "hint" not in run("replay", events, "--segments", definitions(tmp_path, name)).err
