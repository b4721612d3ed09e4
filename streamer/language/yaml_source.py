# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""One text of YAML: its nodes, what they must be, and errors with the place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

import yaml

from streamer.errors import DefinitionError
from streamer.suggest import did_you_mean
from streamer.values import Json

from . import slips
from .durations import parse_duration
from .limits import WINDOW_MS_MAX
from .parse import parse, parse_expression
from .tree import Condition, Expression

YAML_DEPTH_MAX: Final = 20  # five are needed; the composer is recursive and would take the process down
_SCALAR_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp"))
_UNREADABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")

Parsed = TypeVar("Parsed", bound=Expression)


class YamlSource:
    """A text and the name of its file. Every method raises DefinitionError with line and column."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self.file = file

    def root(self) -> yaml.Node:
        """The outermost node."""
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            self._measure(loader)
            node = yaml.compose(self._text, Loader=loader)
        except yaml.YAMLError as error:
            self._refuse(error)
        if node is None:
            raise DefinitionError("expected a mapping with 'segments', found an empty file", file=self.file)
        return node

    def _refuse(self, error: yaml.YAMLError) -> NoReturn:
        found = slips.in_yaml(self._text, error) if isinstance(error, yaml.MarkedYAMLError) else None
        if found is not None:
            row, slip = found
            message = f"expected YAML, found {slip.found}"
            raise DefinitionError(message, file=self.file, line=row + 1, column=slip.at + 1, hint=slip.remedy) from None
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not YAML"
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise DefinitionError(f"expected YAML, found: {problem}", file=self.file, line=line, column=column) from None

    def _measure(self, loader: Any) -> None:
        depth = 0
        for event in yaml.parse(self._text, Loader=loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > YAML_DEPTH_MAX:
                    self.fail(event, f"expected YAML at most {YAML_DEPTH_MAX} deep, found more")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1

    def fail(self, node: yaml.Node | yaml.Event, message: str, hint: str = "") -> NoReturn:
        """Raise DefinitionError at a node."""
        raise DefinitionError(message, file=self.file, line=node.start_mark.line + 1, column=node.start_mark.column + 1, hint=hint)

    def place_of(self, node: yaml.Node, name: str) -> tuple[int, int]:
        """Line and column at which a name stands in quotes within a node; those of the node where it is written in another way."""
        rows = self._text.split("\n")
        for line in range(node.start_mark.line, min(node.end_mark.line + 1, len(rows))):
            found = [at for quote in "\"'" if (at := rows[line].find(f"{quote}{name}{quote}")) >= 0]
            if found:
                return line + 1, min(found) + 2
        return node.start_mark.line + 1, node.start_mark.column + 1

    # mappings and lists ---------------------------------------------------------------------------------------------

    def entries(self, node: yaml.Node, *, what: str) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """Keys and values of a mapping, no key twice. ``what`` says what was expected."""
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, f"expected {what}, found {kind_of(node)}")
        if node.tag != "tag:yaml.org,2002:map":
            self.fail(node, f"expected {what}, found the tag {node.tag!r:.60}")
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.fail(key, "expected a name as key")
            if key.value in seen:
                self.fail(key, f"found the key {key.value!r:.80} twice")
            seen.add(key.value)
            yield key, value

    def known_entries(self, node: yaml.Node, known: tuple[str, ...], *, what: str, of: str) -> dict[str, yaml.Node]:
        """Values of a mapping by key, where every key must be one of ``known``. ``of`` says whose keys they are."""
        found: dict[str, yaml.Node] = {}
        for key, value in self.entries(node, what=what):
            if key.value not in known:
                hint = did_you_mean(key.value, known) or f"known are {', '.join(known)}"
                self.fail(key, f"found the unknown key {key.value!r:.80} in {of}", hint)
            found[key.value] = value
        return found

    def items(self, node: yaml.Node) -> list[yaml.Node]:
        """The items of a list; a text alone is a list of one."""
        if not isinstance(node, yaml.SequenceNode):
            return [node]
        if node.tag != "tag:yaml.org,2002:seq":
            self.fail(node, f"expected a list, found the tag {node.tag!r:.60}")
        return list(node.value)

    # texts ----------------------------------------------------------------------------------------------------------

    def scalar(self, node: yaml.Node) -> str:
        """A text, number, truth or time as it was written."""
        if not isinstance(node, yaml.ScalarNode):
            self.fail(node, f"expected a text, found {kind_of(node)}")
        if node.tag not in _SCALAR_TAGS:
            self.fail(node, f"expected a text, found the tag {node.tag!r:.60}")
        return node.value

    def printable(self, node: yaml.Node) -> str:
        """A text that the canonical JSON can carry: it is read as YAML again, where some characters are line breaks and others forbidden.

        Else what ``check`` passed would be refused by every shard.
        """
        value = self.scalar(node)
        if (found := _UNREADABLE.search(value)) is not None:
            self.fail(node, f"expected a printable text, found the character U+{ord(found[0]):04X}")
        return value

    def plain(self, node: yaml.Node) -> Json:
        """What was written, as JSON: texts, lists and mappings of them."""
        if isinstance(node, yaml.MappingNode):
            return {self.printable(key): self.plain(value) for key, value in self.entries(node, what="a mapping")}
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item) for item in self.items(node)]
        return self.printable(node)

    def duration(self, node: yaml.Node, *, most_ms: int = WINDOW_MS_MAX, most: str = "400d") -> int:
        """A length of time in milliseconds, at most ``most_ms``, which an error calls ``most``."""
        try:
            ms = parse_duration(self.scalar(node))
        except ValueError as error:
            self.fail(node, str(error))
        if ms > most_ms:
            self.fail(node, f"expected at most {most}")
        return ms

    # expressions ----------------------------------------------------------------------------------------------------

    def condition(self, node: yaml.Node) -> Condition:
        """A condition of the language."""
        return self._parsed(node, parse)

    def expression(self, node: yaml.Node) -> Expression:
        """Anything that the language can say."""
        return self._parsed(node, parse_expression)

    def _parsed(self, node: yaml.Node, read: Callable[..., Parsed]) -> Parsed:
        value, mark = self.scalar(node), node.start_mark
        try:
            return read(value, file=self.file, line=mark.line + 1, column=mark.column + 1 + _is_quoted(node))
        except DefinitionError as error:
            raise self._as_written(error, node, read) from None

    def _as_written(self, error: DefinitionError, node: yaml.Node, read: Callable[..., Expression]) -> DefinitionError:
        """YAML joins the lines of a condition before it is parsed; find the place of an error in the lines as they stand in the file."""
        start, end = node.start_mark, node.end_mark
        if start.line == end.line:
            return error
        rows = self._text.split("\n")
        if getattr(node, "style", None) in ("|", ">"):  # the text begins on the next line, indented
            written, line, column = rows[start.line + 1 : end.line + (end.column > 0)], start.line + 2, 1
        else:
            quoted = _is_quoted(node)
            written = [*rows[start.line : end.line], rows[end.line][: end.column - quoted]]
            written[0] = written[0][start.column + quoted :]
            line, column = start.line + 1, start.column + 1 + quoted
        try:
            read("\n".join(written).rstrip(), file=self.file, line=line, column=column)
        except DefinitionError as found:
            return found if found.message == error.message else error
        return error


def kind_of(node: yaml.Node) -> str:
    """What kind of node it is, in words."""
    return {"ScalarNode": "a text", "SequenceNode": "a list", "MappingNode": "a mapping"}.get(type(node).__name__, "something else")


def _is_quoted(node: yaml.Node) -> bool:
    return getattr(node, "style", None) in ("'", '"')


class WrittenEntry(NamedTuple):
    """A named definition as it was written, and in which text."""

    key: yaml.ScalarNode
    body: yaml.Node
    source: YamlSource
