"""What a form does: forgetting a customer, driving refused records through the log again, trying definitions."""

from __future__ import annotations

import pytest

from streamer.commands import Answer, Erase, LetterFilter, Redrive
from streamer.errors import TooMuchError
from streamer.page.trial_run import SECONDS_MAX, TrialRuns, check
from streamer.previews.result import Day, Difference, Horizon, Overlap, Preview, SampleMember, SegmentPreview
from streamer.previews.share import Estimate
from streamer.segments.explain import ExplainedClause, Explanation
from streamer.server.tokens import read_tokens
from streamer.settings import load_settings
from streamer.web.secret_tables import hash_of
from tests.unit.flow.persons import segments

from .desk import PageDesk, answering, looking

RULES = segments(seen='did("A")')
DONE = Answer("x", "done", "it is in the log", "w", "2026-01-01T00:00:00.000Z")
GOOD = 'segments:\n  x:\n    for: Adds\n    when: did("A", within="1h")\n'


async def shop_of(desk: PageDesk) -> str:
    """A customer, and a record that was refused; the key of the forms."""
    desk.shop.write("A", userId="ada")
    desk.shop.write("A", userId="bob", timestamp="never")
    await desk.settle()
    return (await desk.look("/login")).form_key


async def test_a_customer_is_forgotten_where_the_id_is_written_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be undone, so a slip of the hand is not enough."""
    asked = answering(monkeypatch, DONE)
    async with looking(RULES) as desk:
        form_key = await shop_of(desk)
        for again in ("", "ad", "ADA"):
            found = await desk.ask("POST", "/customers/ada", form={"form_key": form_key, "again": again})
            assert found.status == 400
            assert "nothing was done" in found.text
        assert asked == []
        found = await desk.ask("POST", "/customers/ada", form={"form_key": form_key, "again": "ada"})
        assert (found.status, asked) == (200, [Erase("ada")])
        assert "it is in the log" in found.text


@pytest.mark.parametrize(("role", "status"), [("read", 403), ("write", 403), ("erase", 200)])
async def test_forgetting_needs_its_own_role(monkeypatch: pytest.MonkeyPatch, role: str, status: int) -> None:
    """Who may change messages may not make people vanish."""
    asked = answering(monkeypatch, DONE)
    tokens = read_tokens(f'[tokens.x]\nhash = "{hash_of("st_somebody_of_the_page")}"\nroles = ["read", "{role}"]', "tokens")
    async with looking(RULES, tokens=tokens) as desk:
        desk.shop.write("A", userId="ada")
        await desk.settle()
        form = {"form_key": (await desk.look("/login")).form_key, "token": "st_somebody_of_the_page", "next": "/"}
        await desk.ask("POST", "/login", form=form)
        page = await desk.look("/customers/ada")
        assert ("Erase this customer" in page.text) == (status == 200)
        found = await desk.ask("POST", "/customers/ada", form={"form_key": page.form_key, "again": "ada"})
        assert (found.status, len(asked)) == (status, int(status == 200))


async def test_refused_records_are_driven_through_the_log_again_by_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the record itself, which may hold anything, is on no page."""
    asked = answering(monkeypatch, DONE)
    async with looking(RULES) as desk:
        form_key = await shop_of(desk)
        page = await desk.look("/dead-letters")
        [(reason, times)] = desk.page.sources.letters.reasons()
        assert times == 1
        assert f"{reason} 1 Re-drive" in page.text
        assert "bob" in page.text
        assert "never" not in page.text
        assert (await desk.look("/dead-letters?reason=late")).html.count("<li><time") == 0
        assert (await desk.look(f"/dead-letters?reason={reason}")).html.count("<li><time") == 1
        found = await desk.ask("POST", "/dead-letters", form={"form_key": form_key, "reason": reason})
        assert (found.status, asked) == (200, [Redrive(LetterFilter(reason=reason))])
        assert (await desk.ask("POST", "/dead-letters", form={"form_key": form_key, "reason": "<b>"})).status == 400


def preview_of(count: int) -> Preview:
    """An answer with something in each part of it."""
    some = Estimate(count, count - 1, count + 1)
    clause = ExplainedClause('did("A")', True, "<b>&\u202e")
    why = Explanation("x", "Adds", True, [clause])
    found = SegmentPreview(
        "x",
        "Adds <img src=x onerror=alert(1)>",
        some,
        [Day("2026-01-01", some, some)],
        [Horizon(hours, some, some) for hours in (1, 24, 168)],
        [SampleMember("<script>alert(1)</script>", why)],
        [Overlap("seen", True, some), Overlap("y", False, some)],
        ['did("A", within="1h")'],
        ["model"],
        Difference(some, some, some),
    )
    return Preview("2026-01-01T00:00:00.000Z", None, True, 0.5, some, 1_234, {}, [found])


async def test_definitions_are_judged_and_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is said with its line; what is right is tried if that is asked for, and never published."""
    tried: list[float] = []

    async def share(_settings: object, _events_max: int) -> float:
        return 0.5

    async def preview(_self: object, definitions: object, wishes: object, *, events_max: int, seconds_max: float) -> Preview:
        assert events_max > 0
        tried.append(seconds_max)
        return preview_of(4_321)

    monkeypatch.setattr("streamer.page.trial_run.fitting_share", share)
    monkeypatch.setattr("streamer.previews.aside.PreviewsAside.preview", preview)
    async with looking(RULES) as desk:
        form_key = await shop_of(desk)

        async def send(text: str, what: str) -> str:
            found = await desk.ask("POST", "/try", form={"form_key": form_key, "text": text, "what": what})
            assert found.status == 200
            assert "<script>alert" not in found.html
            assert "onerror=alert(1)>" not in found.html
            return found.text

        assert "Wrong line 4 found the unknown argument" in await send(GOOD.replace("within", "withinn"), "preview")
        assert "Suspicious line 2 x:" in await send(GOOD.replace('did("A", within="1h")', 'did("A") and not did("A")'), "check")
        assert "Nothing is wrong with it." in await send(GOOD, "check")
        assert tried == []
        found = await send(GOOD.replace("\n", "\r\n"), "preview")
        assert tried == [SECONDS_MAX]
        assert "Size 4,321 4,320–4,322 Would enter at once" in found
        assert "On 50.0% of the customers, 1,234 events" in found
        assert "expected at most 20,000 characters" in await send("#" * 20_001, "preview")


async def test_why_there_is_no_preview_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is too long, or somebody else's trial that is under way."""

    async def too_much(_settings: object, _events_max: int) -> float:
        raise TooMuchError("more than 10 events")

    monkeypatch.setattr("streamer.page.trial_run.fitting_share", too_much)
    trials, checked = TrialRuns(load_settings(shards=1)), await check(GOOD)
    assert (await trials.run(checked)).why_not == "more than 10 events"
    monkeypatch.setattr("streamer.previews.aside.PreviewsAside.is_busy", True)
    assert "somebody else's definitions" in (await trials.run(checked)).why_not
