"""What docstrings and pages name is there: a module that was moved or renamed is looked for in vain by whoever reads on."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
SOURCES = sorted((ROOT / "streamer").rglob("*.py"))
NAMED = re.compile(r"`([A-Za-z_]\w*(?:[./]\w+)+)(?:\(\))?`")
SUFFIXES = {"py", "md", "json", "yaml", "ndjson"}
OTHERS = {  # names of other things that begin like a module of ours
    "customer.merged",  # a type of our records
    "customer.unmerged",  # another
    "keys.toml",  # a file of an operator
    "tokens.toml",  # another
    "library.name",  # a field of an event's context
    "metrics.ROCAUC",  # river's
}

pytestmark = pytest.mark.fast


def names_of(tree: ast.Module) -> set[str]:
    """Everything that a module defines, imports or sets, at any depth."""
    found = set[str]()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                found.add(name)
            case ast.alias(name=name):
                found.add(name.rpartition(".")[2])
            case _:
                pass
    return found


def ours() -> dict[str, set[str]]:
    """What can stand behind the name of each module or folder: names in it, and modules under it."""
    found = defaultdict[str, set[str]](set)
    for source in SOURCES:
        names = names_of(ast.parse(source.read_text(encoding="utf-8")))
        found[source.parent.name if source.stem == "__init__" else source.stem] |= names
        found[source.parent.name].add(source.stem)
        found[source.parent.parent.name].add(source.parent.name)
    del found["streamer"]  # behind it topics are named as well
    return found


def test_what_is_named_in_backquotes_is_there() -> None:
    """Of names with a module or folder of ours before the last dot or stroke; others are of libraries, topics, fields."""
    inside, lost, seen = ours(), list[str](), 0
    for file in [*SOURCES, *PAGES]:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            for named in NAMED.findall(line):
                *_, home, name = re.split(r"[./]", named)
                if home in inside and named not in OTHERS and name not in SUFFIXES:
                    seen += 1
                    if name not in inside[home]:
                        lost.append(f"{file.relative_to(ROOT)}:{number}: {named}")
    assert not lost
    assert seen > 30, "backquotes are read"


def test_each_file_that_a_docstring_or_page_names_is_there() -> None:
    """Of Python files and pages, by the end of their path."""
    files = [file.relative_to(ROOT).as_posix() for file in [*SOURCES, *PAGES, *(ROOT / "tests").rglob("*.py"), *ROOT.rglob("LANGUAGE.md")]]
    lost, seen = list[str](), 0
    for file in [*SOURCES, *PAGES]:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            for named in re.findall(r"`([\w./]+\.(?:py|md))`", line):
                seen += 1
                if not any(f"/{there}".endswith(f"/{named}") for there in files):
                    lost.append(f"{file.relative_to(ROOT)}:{number}: {named}")
    assert not lost
    assert seen > 20, "backquotes are read"
