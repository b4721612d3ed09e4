"""How much of the package has no type: the figures fall and do not rise again."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import aiokafka
import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "streamer"
FILES = {str(file.relative_to(PACKAGE)): file.read_text(encoding="utf-8") for file in sorted(PACKAGE.rglob("*.py"))}
MOST_ANY = 168  # lower it with each that goes
# What they use of a library has no type there. Take a file out, with its comment, when it has one; put none in.
PARTLY_UNKNOWN = {
    "cli/texts.py",
    "flow/evaluation.py",
    "language/yaml_source.py",
    "language/lint/feasible.py",
    "learning/online/linear.py",
    "learning/online/river_privates.py",
    "offline.py",
    "segments/change.py",
    "segments/plan/memory_inputs.py",
    "segments/plan/plan_expressions.py",
    "segments/plan/predicates/numbers.py",
    "segments/plan/where.py",
    "settings.py",
    "stores/redis.py",
    "values.py",
    "worker/application.py",
    "worker/pages.py",
}
UNKNOWN = {
    "reportUnknownMemberType",
    "reportUnknownArgumentType",
    "reportUnknownVariableType",
    "reportUnknownLambdaType",
    "reportUnknownParameterType",
}

pytestmark = pytest.mark.fast


def test_any_grows_rarer() -> None:
    """``Any`` switches the checker off for all that it touches, in callers too: a value of JSON is ``Json``."""
    found = {name: len(re.findall(r"\bAny\b", text)) for name, text in FILES.items()}
    assert sum(found.values()) <= MOST_ANY, sorted(found.items(), key=lambda item: -item[1])[:10]


def test_only_the_listed_files_may_use_what_has_no_type() -> None:
    """Pyright says where a type is unknown; a file that switches this off at its top is an exception."""
    waived = {name for name, text in FILES.items() if re.search(r"^# pyright:.*=false", text, re.MULTILINE)}
    assert waived <= PARTLY_UNKNOWN


def test_the_checker_says_where_a_type_is_unknown() -> None:
    """One line in the settings would switch it off for everything and make the list above mean nothing."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pyright"]
    assert settings["typeCheckingMode"] == "strict"
    assert not UNKNOWN & set(settings)
    assert [place["root"] for place in settings["executionEnvironments"]] == ["tests"]


def _stub_signatures() -> Iterator[tuple[str, str, set[str]]]:
    """Class, method and parameters, as they stand in the stub of aiokafka."""
    tree = ast.parse((ROOT / "typings/aiokafka/__init__.pyi").read_text(encoding="utf-8"))
    for written in tree.body:
        if isinstance(written, ast.ClassDef) and not written.name.startswith("_"):
            for method in written.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    given = method.args
                    names = {argument.arg for argument in (*given.args, *given.kwonlyargs, given.vararg) if argument is not None}
                    yield written.name, method.name, names


@pytest.mark.parametrize(("owner", "method", "names"), list(_stub_signatures()))
def test_what_is_written_of_a_library_is_there(owner: str, method: str, names: set[str]) -> None:
    """A stub is believed without a look at the library: a name that an update took away would be found by running into it."""
    assert names <= set(inspect.signature(getattr(getattr(aiokafka, owner), method)).parameters)
