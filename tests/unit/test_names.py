"""One word for one thing: whoever reads a name need not ask which of several it is."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "streamer"
FILES = sorted(PACKAGE.rglob("*.py"))

# Names that mean two things still: no name is added here
TYPES_TWICE: set[str] = set()

pytestmark = pytest.mark.fast


def types_of(tree: ast.Module) -> Iterator[str]:
    """Classes, and aliases of types, without the underscore of what is private; no type variables."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name.lstrip("_")
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id.lstrip("_")
            is_variable = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "TypeVar"
            if name[:1].isupper() and not name.isupper() and not is_variable:
                yield name


def test_a_type_name_means_one_thing() -> None:
    """A second meaning of a name is learned by a wrong guess."""
    homes: dict[str, list[str]] = defaultdict(list)
    for file in FILES:
        for name in types_of(ast.parse(file.read_text(encoding="utf-8"))):
            homes[name].append(str(file.relative_to(PACKAGE)))
    twice = {name: found for name, found in homes.items() if len(found) > 1}
    assert twice.keys() - TYPES_TWICE == set(), {name: found for name, found in twice.items() if name not in TYPES_TWICE}
    assert TYPES_TWICE - twice.keys() == set(), "these mean one thing by now: take them off the list"


def test_a_file_name_is_met_once_within_its_stage() -> None:
    """Editors and tracebacks show the file's name, often without its folder."""
    stages: dict[str, Counter[str]] = defaultdict(Counter)
    for file in FILES:
        if file.stem != "__init__":
            stages[file.relative_to(PACKAGE).parts[0]][file.stem] += 1
    assert [(stage, name) for stage, found in stages.items() for name, times in found.items() if times > 1] == []


def test_test_files_outside_packages_have_names_of_their_own() -> None:
    """pytest imports them by their bare names: of two that share one it takes neither in a run of all tests, and both in a run of few."""
    files = [file for file in Path(__file__).parents[1].rglob("test_*.py") if not (file.parent / "__init__.py").exists()]
    assert len(files) > 100
    assert [name for name, times in Counter(file.name for file in files).items() if times > 1] == []
