"""No page has a hole in it where another language has a text, and a plural is there for every number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from babel import Locale

from streamer.events.redaction import CLOCK_STEPS, ValueKind
from streamer.messages.decision import REASONS, DecisionOutcome
from streamer.page import rendering
from streamer.page.languages import LANGUAGES, PageLanguage, direction_of, known_language, language_of
from streamer.page.standing import SegmentReadiness
from streamer.page.wording import TEXTS, catalogue, wording
from streamer.segments.change import CauseKind
from streamer.sender.ledger import SendState
from streamer.server.errors import CODES
from streamer.webhooks.schedule import AttemptVerdict
from streamer.webhooks.subscription import Status
from streamer.worker.status.lane_status import LaneState
from streamer.worker.status.shard_state import ShardState

HOLES = re.compile(r"\{(\w*)\}")
USED = re.compile(r"""\bt\(\s*["']([a-z_]+\.[a-z_]+)["']""")
TEMPLATES = {path.name: path.read_text(encoding="utf-8") for path in sorted(rendering.TEMPLATES.glob("*.html"))}
WORDS = (TEXTS / "en.toml").read_text(encoding="utf-8").partition("\n[words]\n")[2].partition("\n[")[0]
BUILT = {  # texts whose names a template puts together
    *(f"error.{code}" for code in CODES),
    *(f"cause.{kind}" for kind in get_args(CauseKind)),
    *(f"state.{state.value}" for state in ShardState),
    *(f"lane.{state}" for state in get_args(LaneState)),
    *(f"words.{name}" for name in re.findall(r"^([a-z_]+) = ", WORDS, flags=re.MULTILINE)),  # each is held by test_definition_words.py
    *(f"models.{figure}" for figure in ("base_rate", "log_loss", "entropy", "auc", "ratio", "coverage")),
    *(f"clock.{step}" for step in CLOCK_STEPS),
    *(f"kind.{kind}" for kind in get_args(ValueKind)),
    "state.unknown",
    "lift.sent",
    "lift.held_out",
    *(f"decided.{outcome}" for outcome in get_args(DecisionOutcome)),
    *(f"reason.{reason}" for reason in REASONS),
    *(f"became.{state}" for state in get_args(SendState)),
    *(f"delivery.{verdict}" for verdict in get_args(AttemptVerdict)),
    *(f"subscribed.{status}" for status in get_args(Status)),
    *(f"frame.{how}{more}" for how in get_args(SegmentReadiness) if how != "ready" for more in ("", "_why")),
}


def shapes(language: PageLanguage) -> dict[str, tuple[bool, frozenset[str]]]:
    """Of each text: whether it has plurals, and what is put into it."""
    found: dict[str, tuple[bool, frozenset[str]]] = {}
    for key, entry in catalogue(language).items():
        texts = [entry] if isinstance(entry, str) else list(entry.values())
        found[key] = not isinstance(entry, str), frozenset(name for text in texts for name in HOLES.findall(text))
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_text(language: PageLanguage) -> None:
    """One that is missing ends a page with an error, and only for those who read that language."""
    assert shapes(language) == shapes("en")
    assert all(text.strip() for entry in catalogue(language).values() for text in ([entry] if isinstance(entry, str) else entry.values()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plural_is_there_for_every_number(language: PageLanguage) -> None:
    """Arabic has six, and which of them a number wants nobody here knows by heart."""
    tags = {*Locale.parse(language).plural_form.tags, "other"}
    plurals = {key: set(entry) for key, entry in catalogue(language).items() if not isinstance(entry, str)}
    assert plurals, "the check reads nothing"
    assert {key: found for key, found in plurals.items() if found != tags} == {}


def test_every_text_that_a_template_names_is_there_and_no_other() -> None:
    """A misspelt name is found before somebody looks at the page, and a text that nobody needs is not translated again."""
    named = {name for text in TEMPLATES.values() for name in USED.findall(text)}
    titles = {key for key in catalogue("en") if key.endswith(".title")}
    others = {f"segments.{sort}" for sort in ("name", "size", "entered", "left", "leaves")}
    assert len(named) > 50
    assert named - set(catalogue("en")) == set()
    assert BUILT - set(catalogue("en")) == set()
    assert set(catalogue("en")) - named - BUILT - titles - others == set()


def test_every_catalogue_is_of_a_language_that_can_be_chosen() -> None:
    """A file that nothing reads is a translation that nobody sees."""
    assert {path.stem for path in Path(TEXTS).iterdir()} == set(LANGUAGES)


@pytest.mark.parametrize(
    ("accept", "language"),
    [("ar-EG,ar;q=0.9,en;q=0.8", "ar"), ("de,en;q=0.3,uk;q=0.7", "uk"), ("fa-IR", "fa"), ("*", "en"), (";;;q=x,,\x00", "en"), ("de", "en")],
)
def test_a_browser_gets_the_language_that_it_likes_best(accept: str, language: str) -> None:
    """Of those that there are; whatever it sends."""
    assert language_of(accept) == language


def test_a_language_is_only_one_of_ours() -> None:
    """The name comes from a query, and a file is read by it."""
    assert known_language("fa") == "fa"
    assert [known_language(text) for text in (None, "", "../en", "EN")] == [None] * 4
    assert [direction_of(language) for language in LANGUAGES] == ["ltr", "ltr", "rtl", "rtl"]


def test_numbers_and_moments_are_those_of_the_language_with_european_digits() -> None:
    """A figure on the page is compared with one on a command line, which has no others."""
    assert (wording("en").number(1234567), wording("uk").number(1234567)) == ("1,234,567", "1\xa0234\xa0567")
    assert wording("en").percent(0.1234) == "12.3%"
    assert wording("en").moment("2026-01-31T09:12:03.250Z") == "31 Jan 2026, 09:12:03"
    assert wording("en").clock(1_769_850_723_250) == "09:12:03.250"
    assert [wording("en").length(ms) for ms in (250, 61_000, 90_000_000)] == ["250 ms", "1 min 1 sec", "1 day 1 hr"]
    for language in LANGUAGES:
        found = wording(language)
        assert found.number(12345, 1).isascii() == (language in ("en", "fa", "ar")) or "\xa0" in found.number(12345, 1)
        assert re.search("[٠-٩۰-۹]", found.number(98765) + found.moment(0) + found.hour(0) + found.percent(0.5)) is None


def test_a_text_says_a_number_in_its_plural() -> None:
    """As somebody would say it."""
    assert [wording("en")("workers.shards", n=n) for n in (1, 2)] == ["1 shard", "2 shards"]
    assert [wording("uk")("workers.shards", n=n) for n in (1, 3, 5, 21)] == ["1 шард", "3 шарди", "5 шардів", "21 шард"]
    assert len({wording("ar")("workers.shards", n=n) for n in (0, 1, 2, 3, 11, 100)}) == 6
