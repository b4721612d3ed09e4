"""A word of the language lives in several files; one that is forgotten somewhere must be told, and never be silently wrong."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import streamer.language
from streamer.language.message_entries import MESSAGE_KEYS
from streamer.language.parser.functions import FUNCTION_NAMES
from tests.oracle import expressions
from tests.property import sentences
from tests.unit.language.test_message_fuzz import GOOD

LANGUAGE = (Path(streamer.language.__file__).parent / "LANGUAGE.md").read_text(encoding="utf-8")
FUNCTIONS = sorted(FUNCTION_NAMES)
OF_MODELS = {"score", "like", "percentile", "group"}  # what they answer is learned, and proved in tests/unit/flow/test_scoring.py


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_stands_in_the_language_page(name: str) -> None:
    """The page is the specification: what is not in it does not exist."""
    assert re.search(rf"`[^`]*\b{name}\(", LANGUAGE) or re.search(rf"\b{name}\b[ a-z]*\(E", LANGUAGE)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in OF_MODELS])
def test_each_function_has_an_independent_meaning_in_the_oracle(name: str) -> None:
    """Without it nothing says that the compiled one is right."""
    assert f"def _{name}(" in inspect.getsource(expressions)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in OF_MODELS])
def test_each_function_is_among_the_sentences_that_are_drawn(name: str) -> None:
    """What is never drawn is never compared with the oracle."""
    assert re.search(rf"\b{name}\b", inspect.getsource(sentences))


def test_the_language_page_promises_no_function_that_is_not_there() -> None:
    """A marketer copies from the page."""
    rows = [line.split("|")[1] for line in LANGUAGE.splitlines() if line.startswith("| `") and line.count("|") >= 5]
    promised = {name for row in rows for name in re.findall(r"`([a-z]+)\(", row)}
    assert promised - set(FUNCTIONS) == set()
    assert len(promised) > 10, "the page's tables are read"


@pytest.mark.parametrize("key", MESSAGE_KEYS)
def test_each_key_of_a_message_stands_in_the_language_page_and_is_drawn(key: str) -> None:
    """One row says what it may be, and what it is if left out; what is never drawn may mean something else in a shard."""
    keys = LANGUAGE.partition("\n## 7. Messages\n")[2].partition("\n### ")[0]
    assert sum(line.startswith(f"| `{key}` |") for line in keys.splitlines()) == 1
    assert key in GOOD
