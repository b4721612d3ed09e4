"""Messages on the page: what was decided, why, what became of it; the pause, and who may press it."""

from __future__ import annotations

import pytest

from streamer.commands import Answer, PauseMessages, ResumeMessages
from streamer.errors import SettingsError, UnansweredError
from streamer.language.definitions import parse_definitions
from streamer.messages.decision import decode_decision
from streamer.page.decision_history import DecisionHistory
from streamer.sender.ledger import GoOn, SendEntry, encode_entry
from streamer.server.tokens import read_tokens
from streamer.settings import load_settings
from streamer.transports.kafka.topic_tail import TailRecord
from streamer.web.secret_tables import hash_of
from streamer.wire import LEDGER, SENDS
from tests.unit.flow.persons import DAY_MS, MINUTE_MS

from .desk import SHARDS, PageDesk, answering, looking

RULES = parse_definitions(
    """
segments:
  left: {for: Left something., when: 'did("A") and idle("A") >= "5m"'}
messages:
  reminder: {for: Reminds., on: entered("left"), channel: email, kind: transactional}
  word: {for: A word., on: entered("left"), delay: 30m, channel: webhook, kind: transactional, again: 7d}
"""
)


async def shop_of(desk: PageDesk) -> None:
    """Two customers, one of whom has an address; both left something."""
    desk.shop.write("", type="identify", userId="ada", traits={"email": "ada@shop.example"})
    desk.shop.write("A", userId="ada")
    desk.shop.write("A", userId="bob")
    await desk.shop.settle()
    desk.shop.wait(10 * MINUTE_MS)
    await desk.settle()


async def test_decisions_are_shown_as_the_ledger_has_them() -> None:
    """Counted a second time here, from the topic."""
    async with looking(RULES) as desk:
        await shop_of(desk)
        all_of_them = [decode_decision(record.value) for shard in range(SHARDS) for record in desk.shop.log.records(LEDGER, shard)]
        assert sorted((one.subject, one.data.message, one.outcome) for one in all_of_them) == [
            ("ada", "reminder", "send"),
            ("bob", "reminder", "skip"),
        ]
        page = await desk.look("/messages")
        assert "send 1 hold 0 skip 1 no address 1" in page.text
        ledger = await desk.look("/ledger")
        assert "skip reminder bob no address" in ledger.text
        assert "send reminder ada no sender has tried it yet" in ledger.text
        assert "ada@shop.example" not in page.html + ledger.html


async def test_what_became_of_a_message_stands_beside_it() -> None:
    """The newest that a sender wrote down."""
    async with looking(RULES) as desk:
        await shop_of(desk)
        decisions = desk.page.sources.decisions
        [sent] = [one for one in decisions.newest() if one.decision.outcome == "send"]
        for state in ("attempting", "sent"):
            entry = SendEntry(state, "2026-01-01T00:10:01.000Z", GoOn(), sent.decision.data.key, "reminder", "email", 0, 1)
            decisions.take(TailRecord(SENDS, 0, 0, encode_entry(entry)))
        assert "send reminder ada sent" in (await desk.look("/ledger")).text
        assert "send reminder sent" in (await desk.look("/customers/ada")).text
        assert "sent 1" in (await desk.look("/messages")).text


async def test_the_ledger_is_searched_by_customer_message_and_reason() -> None:
    """All that is given must fit."""
    async with looking(RULES) as desk:
        await shop_of(desk)
        for query, rows in (
            ("", 2),
            ("customer=ada", 1),
            ("customer=ad", 0),
            ("message=reminder", 2),
            ("message=word", 0),
            ("reason=no_address", 1),
            ("reason=no_address&customer=ada", 0),
        ):
            assert (await desk.look(f"/ledger?{query}")).html.count('class="decided') == rows, query


async def test_a_customer_has_decisions_in_their_time_line_and_what_waits_beside_it() -> None:
    """Which message was sent or held, and which will be if nothing happens."""
    async with looking(RULES) as desk:
        await shop_of(desk)
        found = await desk.look("/customers/ada")
        assert found.text.index("send reminder") < found.text.index("by time alone")
        assert "word A word. 1 Jan 2026, 00:35:00 send if nothing happens" in found.text
        desk.shop.wait(DAY_MS)
        await desk.settle()
        later = await desk.look("/customers/ada")
        assert "Messages that wait" not in later.text
        assert "send word" in later.text


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (Answer("x", "done", "it is paused", "w", "2026-01-01T00:00:00.000Z"), 200, "it is paused"),
        (Answer("x", "refused", "it cannot be", "w", "2026-01-01T00:00:00.000Z"), 409, "it cannot be"),
        (UnansweredError("no worker answered"), 503, "no worker answered"),
        (SettingsError("STREAMER_KAFKA: away"), 502, "STREAMER_KAFKA: away"),
    ],
)
async def test_a_pause_is_asked_of_the_workers_and_what_they_say_is_shown(
    monkeypatch: pytest.MonkeyPatch, answer: Answer | Exception, status: int, says: str
) -> None:
    """Whoever presses the button learns whether it is done."""
    asked = answering(monkeypatch, answer)
    async with looking(RULES) as desk:
        await shop_of(desk)
        form_key = (await desk.look("/messages")).form_key
        for what, action in (("pause", PauseMessages("word")), ("resume", ResumeMessages("word"))):
            found = await desk.ask("POST", "/messages", form={"form_key": form_key, "message": "word", "what": what})
            assert (found.status, asked[-1]) == (status, action)
            assert says in found.text
        assert (await desk.ask("POST", "/messages", form={"form_key": form_key, "message": "<b>", "what": "pause"})).status == 400
        assert (await desk.ask("POST", "/messages", form={"form_key": form_key, "message": "*", "what": "pause"})).status == status
        assert (await desk.ask("POST", "/messages", form={"message": "word", "what": "pause"})).status == 403
        assert len(asked) == 3


async def test_only_who_may_write_has_the_button(monkeypatch: pytest.MonkeyPatch) -> None:
    """And who has none cannot press it either."""
    asked = answering(monkeypatch, UnansweredError("nobody is asked"))
    tokens = read_tokens(f'[tokens.shop]\nhash = "{hash_of("st_reader_of_the_page")}"\nroles = ["read"]', "tokens")
    async with looking(RULES, tokens=tokens) as desk:
        await shop_of(desk)
        form = {"form_key": (await desk.look("/login")).form_key, "token": "st_reader_of_the_page", "next": "/"}
        await desk.ask("POST", "/login", form=form)
        page = await desk.look("/messages")
        assert "Pause" not in page.text
        found = await desk.ask("POST", "/messages", form={"form_key": page.form_key, "message": "word", "what": "pause"})
        assert found.status == 403
        assert "role write" in found.text
        assert asked == []


async def test_a_decision_that_is_published_again_counts_once_and_others_are_passed_over() -> None:
    """A relay that starts again says what it said; and what else lies there is no decision."""
    async with looking(RULES) as desk:
        await shop_of(desk)
        history = DecisionHistory(load_settings(shards=SHARDS))
        for _ in range(2):
            for shard in range(SHARDS):
                for record in desk.shop.log.records(LEDGER, shard):
                    history.take(TailRecord(LEDGER, shard, 0, record.value))
        for topic in (LEDGER, SENDS):
            for value in (b"", b"{", b"\xff", b"[]"):
                history.take(TailRecord(topic, 0, 0, value))
        assert len(list(history.newest())) == 2
        assert [len(history.of_customer(name)) for name in ("ada", "bob", "nobody")] == [1, 1, 0]


async def test_what_is_decided_is_seen_live_and_buttons_stay_with_whoever_may_press_them() -> None:
    """What is live is rendered once for all who look, so no form is in it."""
    async with looking(RULES) as desk:
        await desk.settle()
        page = await desk.look("/messages")
        live, _, foot = page.html.partition('<div id="live"')[2].partition("</main>")[0].partition("<section><h2>Pause and resume</h2>")
        assert "/live/messages" in live
        assert "<form" not in live
        assert foot.count("<form") == 1 + live.count("<section>")
