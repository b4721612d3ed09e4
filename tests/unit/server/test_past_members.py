"""Who was in a segment at a moment of the past, page by page over HTTP."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio

import pytest

from streamer.errors import SettingsError, StreamerError, TooMuchError, UnansweredError
from streamer.previews.past_members import NoSuchSegmentError, PastMembers
from streamer.server import past_member_answers
from streamer.server.errors import AnswerError
from streamer.server.past_member_answers import FindPastMembers, PastMemberAnswers
from streamer.server.tokens import read_tokens
from streamer.values import time_text
from streamer.web.secret_tables import hash_of
from tests.unit.flow.persons import HOUR_MS, START_MS, segments

from .desk import ReaderDesk, reading

RULES = segments(seen='did("A")')
IDS = [f"c-{number:02}" for number in range(25)]
PATH = f"/v1/segments/seen/past-members?at={time_text(START_MS)}"


class Found(FindPastMembers):
    """What is to be found; ``asked`` says how often it was looked for. It waits for ``may_answer``."""

    def __init__(self, error: StreamerError | None = None) -> None:
        self.asked = 0
        self.error = error
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def members_at(self, segment: str, at_ms: int) -> PastMembers:
        self.asked += 1
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return PastMembers(segment, at_ms, IDS, {0: 7, 1: 9})


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past_member_answers, "PATIENCE_SECONDS", 0.02)


async def hour_later(desk: ReaderDesk) -> None:
    desk.shop.write("A", userId="c-1")
    desk.shop.wait(HOUR_MS)
    await desk.shop.settle()


async def reached() -> int:
    """All shards have come beyond what is asked."""
    return START_MS + HOUR_MS


async def until_none_is_kept(answers: PastMemberAnswers) -> None:
    """No question is asked meanwhile."""
    async with asyncio.timeout(60):
        while answers._asked:  # noqa: ASYNC110 - a timer drops them, and tells nobody
            await asyncio.sleep(0)


async def test_pages_have_each_member_once_and_are_found_out_once() -> None:
    """All of it costs as much as one page."""
    found = Found()
    async with reading(RULES, find=found) as desk:
        await hour_later(desk)
        first = (await desk.get(f"{PATH}&limit=10")).body
        assert {**first, "members": None, "next_cursor": None} == {
            "segment": "seen",
            "as_of": time_text(START_MS),
            "size": 25,
            "read": [{"generation": 1, "shard": 0, "offset": 7}, {"generation": 1, "shard": 1, "offset": 9}],
            "members": None,
            "next_cursor": None,
        }
        members, cursor = first["members"], first["next_cursor"]
        while cursor is not None:
            page = (await desk.get(f"{PATH}&limit=10&cursor={cursor}")).body
            assert page["members"]
            members, cursor = members + page["members"], page["next_cursor"]
        assert members == IDS
        assert found.asked == 1
        assert (await desk.get(f"{PATH}&limit=25")).body["next_cursor"] is None


@pytest.mark.usefixtures("impatient")
async def test_what_takes_long_goes_on_and_is_there_when_somebody_comes_back() -> None:
    """Nobody holds a connection open for minutes, and what was begun is not begun again."""
    found = Found()
    async with reading(RULES, find=found) as desk:
        await hour_later(desk)
        found.may_answer.clear()
        answer = await desk.get(PATH)
        assert (answer.status, answer.body["code"], answer.headers["Retry-After"]) == (503, "overloaded", "1")
        for number in range(1, past_member_answers.ASKED_AT_ONCE + 2):
            answer = await desk.get(f"{PATH.partition('=')[0]}={time_text(START_MS + number)}")
            assert answer.status == 503
        assert found.asked == past_member_answers.ASKED_AT_ONCE, "more wait for their turn"
        found.may_answer.set()
        assert (await desk.get(PATH)).body["size"] == 25
        assert found.asked == past_member_answers.ASKED_AT_ONCE


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NoSuchSegmentError("none"), 404, "unknown_segment"),
        (SettingsError("shard 0 does not keep what was said since then"), 404, "past_unknown"),
        (TooMuchError("they are too many"), 404, "past_unknown"),
        (UnansweredError("away"), 503, "kafka_away"),
    ],
)
async def test_what_cannot_be_told_is_an_error_and_is_tried_again(error: StreamerError, status: int, code: str) -> None:
    """Of the same question, too: Kafka may be back."""
    found = Found(error)
    async with reading(RULES, find=found) as desk:
        await hour_later(desk)
        for _ in range(2):
            answer = await desk.get(PATH)
            assert (answer.status, answer.body["code"]) == (status, code)
        assert found.asked == 2
        found.error = None
        assert (await desk.get(PATH)).status == 200


@pytest.mark.usefixtures("impatient")
async def test_what_went_wrong_while_nobody_waited_is_said_once_to_whoever_comes_back() -> None:
    """What takes too long each time would else be begun anew each time, and nobody would read why."""
    found = Found(TooMuchError("not found out after 120 s"))
    async with reading(RULES, find=found) as desk:
        await hour_later(desk)
        found.may_answer.clear()
        assert (await desk.get(PATH)).body["code"] == "overloaded"
        found.may_answer.set()
        assert (await desk.get(PATH)).body["code"] == "past_unknown"
        assert found.asked == 1
        found.error = None
        assert (await desk.get(PATH)).status == 200


@pytest.mark.usefixtures("impatient")
async def test_what_went_wrong_a_while_ago_is_said_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka was away then, and whoever asks now asks of now."""
    monkeypatch.setattr(past_member_answers, "FAILURE_SECONDS", 0.0)
    found = Found(UnansweredError("away"))
    answers = PastMemberAnswers(found, 1, reached)
    found.may_answer.clear()
    with pytest.raises(AnswerError) as caught:
        await answers.page("seen", START_MS, None, 10)
    assert caught.value.body.code == "overloaded"
    found.may_answer.set()
    await until_none_is_kept(answers)
    found.error = None
    assert (await answers.page("seen", START_MS, None, 10)).size == len(IDS)
    assert found.asked == 2


async def test_an_answer_is_dropped_in_time_where_nobody_asks_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be of half a million ids."""
    monkeypatch.setattr(past_member_answers, "KEPT_SECONDS", 0.0)
    found = Found()
    answers = PastMemberAnswers(found, 1, reached)
    assert (await answers.page("seen", START_MS, None, 10)).size == len(IDS)
    await until_none_is_kept(answers)
    assert (await answers.page("seen", START_MS, None, 10)).size == len(IDS)
    assert found.asked == 2


async def test_a_question_that_is_none_is_refused_before_anything_is_read() -> None:
    """No moment, one that has not come, and a cursor of another segment or moment."""
    found = Found()
    async with reading(RULES, find=found) as desk:
        await hour_later(desk)
        later = time_text(START_MS + 1)
        for query in ("", "?at=then", f"?at={time_text(START_MS + 2 * HOUR_MS)}"):
            answer = await desk.get(f"/v1/segments/seen/past-members{query}")
            assert (answer.status, answer.body["code"], answer.body["path"]) == (400, "bad_request", "query.at"), query
        assert found.asked == 0
        cursor = (await desk.get(f"{PATH}&limit=3")).body["next_cursor"]
        for path in (f"/v1/segments/seen/past-members?at={later}", f"/v1/segments/other/past-members?at={time_text(START_MS)}"):
            answer = await desk.get(f"{path}&cursor={cursor}")
            assert (answer.status, answer.body["code"]) == (400, "bad_cursor")
        assert (await desk.get(f"{PATH}&cursor=no")).body["code"] == "bad_cursor"
        assert found.asked == 1


async def test_it_asks_for_the_role_that_the_members_of_now_ask_for() -> None:
    """Whoever may not read the one may not read the other."""
    tokens = read_tokens(f'[tokens.office]\nhash = "{hash_of("st_writer")}"\nroles = ["write", "erase"]', "tokens.toml")
    async with reading(RULES, tokens=tokens, find=Found()) as desk:
        for path in (PATH, "/v1/segments/seen/members"):
            assert (await desk.get(path)).body["code"] == "missing_token"
            assert (await desk.get(path, Authorization="Bearer st_writer")).body["code"] == "role_missing"
