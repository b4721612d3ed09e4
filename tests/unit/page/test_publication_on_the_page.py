"""Publishing from the page: what would change is seen before it is, and only who may write does it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import pytest

from streamer.deployment import publishing
from streamer.errors import SettingsError
from streamer.flow.published import Publication
from streamer.page import publishing as page_publishing
from streamer.page.languages import LANGUAGES
from streamer.previews.result import Difference, Preview, SegmentPreview
from streamer.previews.share import Estimate
from streamer.server.tokens import read_tokens
from streamer.settings import Settings
from streamer.web.secret_tables import hash_of
from streamer.worker.status.lane_status import LaneStatus
from streamer.worker.status.publication_status import PublicationStatus, ShardVersion, Version, Warming
from tests.unit.flow.persons import segments

from .desk import PageDesk, looking
from .test_hostile_texts import check_harmless

RULES: Final = segments(seen='did("A")', often='count("A") >= 3')
TEXT: Final = "segments:\n  fresh: {for: x, when: 'segment(\"seen\")'}\n"
ON_ITS_WAY: Final = PublicationStatus(
    [
        ShardVersion(0, 7, True),
        ShardVersion(1, 6, True, LaneStatus(7, "folds", 25, 100, 1_767_225_600_000, "<script>why</script>")),
        ShardVersion(2, 6, False),
        ShardVersion(3, 6, True),
    ],
    Version(7, "abc"),
    Version(8, "def"),
    [Warming('did("<b>", within="30d")', "2026-01-01T00:00:00.000Z")],
)
OBEYED: Final = PublicationStatus([ShardVersion(0, 7, True)], Version(7, "abc"))


class Publisher:
    """In the place of Kafka: what was published last, and what is asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.status, self.refuses = OBEYED, ""
        self.asked: list[tuple[str, object]] = []
        self.previewed: list[list[str]] = []
        monkeypatch.setattr(page_publishing, "read_status", self._status)
        monkeypatch.setattr(page_publishing, "newest_content", self._newest)
        monkeypatch.setattr(publishing, "at_once", self._at_once)
        monkeypatch.setattr(publishing, "propose", self._propose)
        monkeypatch.setattr(publishing, "cancel", self._cancel)
        monkeypatch.setattr("streamer.page.trial_run.fitting_share", self._share)
        monkeypatch.setattr("streamer.previews.aside.PreviewsAside.preview", self._preview)

    async def _status(self, _settings: Settings, _plans: object) -> PublicationStatus:
        return self.status

    async def _newest(self, _settings: Settings) -> tuple[int, bytes]:
        return 7, RULES.content()

    async def _at_once(self, _settings: Settings, work: Callable[..., Awaitable[publishing.Proposal]]) -> publishing.Proposal:
        if self.refuses:
            raise SettingsError(self.refuses)
        return await work(None, None)

    async def _propose(self, _settings: Settings, _client: None, _store: None, definitions: Any, *, over: int) -> publishing.Proposal:
        self.asked.append(("publish", (sorted(one.name for one in definitions.segments), over)))
        return publishing.Proposal(cast("Publication", None), True, [])

    async def _cancel(self, _settings: Settings, _client: None, _store: None) -> publishing.Proposal:
        self.asked.append(("cancel", None))
        return publishing.Proposal(cast("Publication", None), True, [])

    async def _share(self, _settings: Settings, _events: int) -> float:
        return 1.0

    async def _preview(self, definitions: Any, wishes: Any, *, events_max: int, seconds_max: float) -> Preview:
        assert (wishes.replaces, events_max > 0, seconds_max > 0) == (True, True, True)
        names = sorted(one.name for one in definitions.segments)
        self.previewed.append(names)
        none, some = Estimate(0, 0, 0), Estimate(1_234, 1_234, 1_234)
        found = [
            SegmentPreview(name, "x", some, [], [], [], [], [], [], Difference(none, some if name == "fresh" else none, none))
            for name in names
        ]
        return Preview("2026-01-01T00:00:00.000Z", None, False, 1.0, some, 99, {}, found, {"<i>gone": Estimate(5, 5, 5)})


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """Version 7 was published last, and holds everywhere."""
    return Publisher(monkeypatch)


async def send(desk: PageDesk, **fields: str) -> tuple[int, str, str]:
    """A form of this page: status, text, and where to go on."""
    form_key = (await desk.look("/login")).form_key
    found = await desk.ask("POST", "/publication", form={"form_key": form_key, **fields})
    check_harmless(found.html)
    return found.status, found.text, found.headers.get("Location", "")


async def test_what_a_text_would_change_is_seen_and_then_published_over_what_was_published_last(publisher: Publisher) -> None:
    """One segment is written, and what else there is stays; what is looked at is what is published."""
    async with looking(RULES) as desk:
        await desk.settle()
        status, text, _ = await send(desk, what="look", text=TEXT.replace("\n", "\r\n"))
        assert (status, publisher.previewed, publisher.asked) == (200, [["fresh", "often", "seen"]], [])
        assert "fresh 0 1,234 0 1,234 <i>gone 5 0 5 0 2 more segments: nobody would enter or leave" in text
        form_key = (await desk.look("/login")).form_key
        shown = await desk.ask("POST", "/publication", form={"form_key": form_key, "what": "look", "text": TEXT})
        hidden = dict(re.findall(r'<input type="hidden" name="(version|text)" value="([^"]*)">', shown.html))
        assert hidden["version"] == "7"
        assert await send(desk, what="publish", text=TEXT, version="7") == (303, "", "/publication")
        assert publisher.asked == [("publish", (["fresh", "often", "seen"], 7))]


async def test_what_cannot_be_published_says_why(publisher: Publisher) -> None:
    """A text that is wrong, something that was published meanwhile, a form that somebody made."""
    async with looking(RULES) as desk:
        await desk.settle()
        status, text, _ = await send(desk, what="look", text=TEXT.replace("seen", "sene"))
        assert (status, publisher.previewed) == (200, [])
        assert "Wrong line 2" in text
        assert "sene" in text
        assert (await send(desk, what="publish", text=TEXT.replace("seen", "sene"), version="7"))[0] == 409
        assert [(await send(desk, what="publish", text=TEXT, version=version))[0] for version in ("", "x", "²", "-1")] == [400] * 4
        assert (await send(desk, what="erase"))[0] == 400
        assert publisher.asked == []
        publisher.refuses = "something else was published meanwhile; <b>look again"
        status, text, _ = await send(desk, what="publish", text=TEXT, version="7")
        assert (status, publisher.refuses in text) == (409, True)
        assert (await send(desk, what="cancel"))[0] == 409


@pytest.mark.parametrize("language", LANGUAGES)
async def test_how_far_the_shards_are_is_seen_in_every_language_and_can_be_given_up(publisher: Publisher, language: str) -> None:
    """What is not in all shards yet is on its way, and whoever published it may have been wrong."""
    async with looking(RULES) as desk:
        await desk.settle()
        assert 'value="cancel"' not in (await desk.look(f"/publication?lang={language}")).html
        publisher.status = ON_ITS_WAY
        found = await desk.look("/publication")
        check_harmless(found.html)
        assert found.status == 200
        if language == "en":
            assert "Version 7 was published last. abc Version 8 is in shadow." in found.text
            assert "1 6 to version 7: folds the past 25.0%" in found.text
            assert "2 6 waits for a worker 3 6 its worker has yet to notice" in found.text
            assert 'did("<b>", within="30d") events are known since 1 Jan 2026, 00:00:00' in found.text
        assert await send(desk, what="cancel") == (303, "", "/publication")
        assert publisher.asked == [("cancel", None)]
        publisher.status = PublicationStatus([ShardVersion(0, 0, False)])
        assert (await desk.look("/publication")).status == 200


@pytest.mark.parametrize(("role", "status"), [("read", 403), ("erase", 403), ("write", 303)])
async def test_publishing_needs_the_role_to_write(publisher: Publisher, role: str, status: int) -> None:
    """Whoever may look may try; whether it holds is for others."""
    tokens = read_tokens(f'[tokens.x]\nhash = "{hash_of("st_somebody_of_the_page")}"\nroles = ["read", "{role}"]', "tokens")
    async with looking(RULES, tokens=tokens) as desk:
        await desk.settle()
        form_key = (await desk.look("/login")).form_key
        await desk.ask("POST", "/login", form={"form_key": form_key, "token": "st_somebody_of_the_page"})
        assert ('formaction="/publication"' in (await desk.look("/try")).html) == (status == 303)
        publisher.status = ON_ITS_WAY
        page = await desk.look("/publication")
        assert ('value="cancel"' in page.html) == (status == 303)
        form_key = (await desk.look("/try")).form_key
        for fields in ({"what": "publish", "text": TEXT, "version": "7"}, {"what": "cancel"}):
            assert (await desk.ask("POST", "/publication", form={"form_key": form_key, **fields})).status == status
        assert len(publisher.asked) == (2 if status == 303 else 0)


async def test_where_kafka_does_not_answer_the_page_says_so(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published last stands there alone."""

    async def away(*_: object) -> PublicationStatus:
        raise SettingsError("STREAMER_KAFKA: x did not answer (TimeoutError)")

    async with looking(RULES) as desk:
        await desk.settle()
        monkeypatch.setattr(page_publishing, "read_status", away)
        assert (await desk.look("/publication")).status == 503
        monkeypatch.setattr(page_publishing, "newest_content", away)
        assert (await send(desk, what="look", text=TEXT))[0] == 503
    assert publisher.asked == []


async def test_a_text_that_refers_to_what_holds_can_be_tried(publisher: Publisher) -> None:
    """By itself it is wrong: the segment that it names is in nobody's text."""
    async with looking(RULES) as desk:
        await desk.settle()
        form_key = (await desk.look("/login")).form_key
        found = await desk.ask("POST", "/try", form={"form_key": form_key, "text": TEXT, "what": "check"})
        assert "Suspicious line 2 fresh: nobody can leave" in found.text
        found = await desk.ask("POST", "/try", form={"form_key": form_key, "text": TEXT.replace("seen", "sene"), "what": "check"})
        assert "Wrong line 2" in found.text
    assert publisher.asked == []
