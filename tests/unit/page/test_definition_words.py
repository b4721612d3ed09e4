"""Every definition can be said in words, in every language, and nothing that it asks is left out of them."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from markupsafe import Markup

from streamer.language import tree
from streamer.language.definitions import parse_definitions
from streamer.language.parse import parse
from streamer.language.references import nodes
from streamer.page import definition_words
from streamer.page.definition_words import DefinitionWords
from streamer.page.languages import LANGUAGES
from streamer.page.rendering import SHOWN_CHARS_MAX
from streamer.page.wording import catalogue, wording
from streamer.printable import printable
from tests.unit.flow.persons import segments
from tests.unit.language.test_round_trip import SAMPLES, conditions

from .desk import looking
from .test_hostile_texts import check_harmless

WORDS = {language: DefinitionWords(wording(language)) for language in LANGUAGES}


def read(said: Markup) -> str:
    """As somebody sees it."""
    return html.unescape(re.sub("<[^>]*>", "", said))


def said_in(node: Any) -> list[str]:
    """All names, paths and texts that a condition has."""
    found: list[str] = []
    for one in nodes(node):
        match one:
            case tree.Events(names=names):
                found += [name for name in names if name != "*"]
            case tree.Compare(right=str() as right):
                found.append(right)
            case tree.OneOf(items=items):
                found += [item for item in items if isinstance(item, str)]
            case tree.Contains(part=str() as part):
                found.append(part)
            case tree.StartsWith(prefix=prefix):
                found.append(prefix)
            case tree.InSegment(segment=name) | tree.Entered(segment=name) | tree.Left(segment=name):
                found.append(name)
            case tree.Score(model=name) | tree.Percentile(model=name) | tree.Group(model=name):
                found.append(name)
            case _:
                pass
        if (path := getattr(one, "path", None)) is not None:
            found.append(".".join(path))
    return found


@given(conditions)
def test_words_leave_out_no_name_and_no_constant(condition: Any) -> None:
    """Whoever cannot read the language of rules believes the words."""
    for words in WORDS.values():
        said = read(words.condition(condition))
        assert [one for one in said_in(condition) if printable(one[:SHOWN_CHARS_MAX]) not in said] == []


@pytest.mark.parametrize("sample", SAMPLES)
def test_each_kind_of_clause_has_words_of_its_own_in_every_language(sample: str) -> None:
    """Two clauses that mean different things are not said alike, and no language falls back on another."""
    clauses = [node for node in nodes(parse(sample)) if isinstance(node, tree.Node)]
    atoms = list({tree.text(one): one for one in clauses if isinstance(one, tree.Condition)}.values())  # pyright: ignore[reportArgumentType]
    for words in WORDS.values():
        said = [read(words.condition(one)) for one in atoms]
        assert len(set(said)) == len(said), said


def test_every_text_is_one_that_is_said() -> None:
    """And none that is said is missing: a name that is put together is found only where its clause is shown."""
    source = Path(definition_words.__file__).read_text(encoding="utf-8")
    said = {*re.findall(r'_say\("([a-z_]+)"', source), *re.findall(r'_joined\("([a-z_]+)"', source)}
    said |= {*definition_words.COMPARED.values(), *definition_words.ORDERED.values(), "true", "false", "score", "like"}
    said |= {*get_args(tree.NumberName), "distinct", *(f"clock_{one}" for one in get_args(tree.ClockUnit))}
    said |= {f"this_{one}" for one in get_args(tree.Period)}
    for language in LANGUAGES:
        assert {key.partition(".")[2] for key in catalogue(language) if key.startswith("words.")} == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('did("Order Completed", within="7d")', "there was Order Completed in the last 7 days"),
        ('never("Order Completed")', "there was no Order Completed"),
        ('not (did("A") and did("B"))', "not so: there was A and there was B"),
        ('(did("A") or did("B")) and did("C")', "(there was A or there was B) and there was C"),
        (
            'count("A", where=prop("x") > 2.5, this="week") >= 3',
            "the number of A (such that its x is more than 2.5) this week is at least 3",
        ),
        (
            'sum("*", "total", within="30d", before="1d") < 1000',
            "the sum of total over anything between 30 days and 1 day ago is less than 1,000",
        ),
        ('idle("*") >= "1d2h"', "the time since the newest anything is at least 1 day 2 hr"),
        ('trait("a.b") in [true, "x", 2]', "the trait a.b is one of true, x, 2"),
        ('last("A") > first("B")', "the newest A is after the oldest B"),
        ('unchanged(trait("plan")) >= "1s500ms"', "the time for which the trait plan has been the same is at least 1 sec 500 ms"),
        (
            'sequence("A", "B", within="1h", then_not="C", wait="1m", over="30d")',
            "one after the other: A, B, all within 1 hr, and no C within 1 min after that, in the last 30 days",
        ),
    ],
)
def test_words_are_those_of_somebody_who_explains(text: str, said: str) -> None:
    """Spot checks by hand."""
    assert read(WORDS["en"].condition(parse(text))) == said


async def test_a_segment_says_who_enters_and_leaves_a_sentence_for_each_clause() -> None:
    """Beside the text as it was written; what stands in it is no HTML."""
    rules = {
        "for": "x",
        "when": 'did("<b>", within="1h") and trait("said") != "</q><script>"',
        "exit": 'did("Order Completed")',
        "stay": "90s",
        "cooldown": "1d",
    }
    async with looking(parse_definitions({"segments": {"seen": rules}})) as desk:
        await desk.settle()
        for language in LANGUAGES:
            found = await desk.look(f"/segments/seen?lang={language}")
            check_harmless(found.html)
            assert found.html.count("<li>") >= 3
        text = (await desk.look("/segments/seen?lang=en")).text
        assert "Who enters: all of this holds there was <b> in the last 1 hr the trait said is not" in " ".join(text.split())
        assert "Who leaves: all of this holds there was Order Completed" in text
        assert "Nobody leaves in the first 1 min 30 sec." in text
        assert "Whoever left enters again after 1 day at the earliest." in text
    async with looking(segments(seen='did("A", within="1h")')) as desk:
        await desk.settle()
        assert "Who leaves: it no longer holds" in (await desk.look("/segments/seen")).text
