"""Which segments expressions refer to, and the order in which segments can be judged: those referred to first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

from streamer.errors import DefinitionError
from streamer.examples import ModelSpec
from streamer.suggest import did_you_mean

from . import tree
from .model_specs import check_use
from .segment_specs import Segment
from .tree import AnyNode, Expression


def nodes(root: AnyNode) -> Iterator[AnyNode]:
    """Every node of a tree, ``root`` first."""
    yield root
    for name in root.__struct_fields__:
        value: object = getattr(root, name)
        for item in cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,):
            if isinstance(item, (tree.Node, tree.Events)):
                yield from nodes(cast("AnyNode", item))


def references(expressions: Iterable[Expression]) -> list[str]:
    """Names of the segments that expressions refer to, each once, in order."""
    found = (node.segment for root in expressions for node in nodes(root) if isinstance(node, (tree.InSegment, tree.Entered, tree.Left)))
    return list(dict.fromkeys(found))


def in_order(segments: Mapping[str, Segment]) -> tuple[Segment, ...]:
    """Those referred to first, else by name. Raises DefinitionError for unknown names and cycles."""
    order: dict[str, Segment] = {}
    for name in sorted(segments):
        _visit(name, segments, order)
    return tuple(order.values())


def _visit(start: str, segments: Mapping[str, Segment], order: dict[str, Segment]) -> None:
    """Depth first without recursion: a chain of thousands of segments is legal."""
    path: dict[str, Iterator[str]] = {}
    todo = [start]
    while todo:
        name = todo[-1]
        if name in order:
            todo.pop()
            continue
        if name not in path:
            path[name] = iter(sorted(_known_references(segments[name], segments)))
        for other in path[name]:
            if other in path and other not in order:
                cycle = [*list(path)[list(path).index(other) :], other]
                raise DefinitionError(
                    f"found a cycle of segments: {' -> '.join(cycle)}", file=segments[name].file, line=segments[name].line
                )
            if other not in order:
                todo.append(other)
                break
        else:
            order[name] = segments[name]
            del path[name]
            todo.pop()


def _known_references(segment: Segment, segments: Mapping[str, Segment]) -> list[str]:
    found = references(segment.conditions)
    for name in found:
        if name not in segments:
            raise DefinitionError(
                f"the segment {segment.name!r} refers to the unknown segment {name!r:.80}",
                file=segment.file,
                line=segment.line,
                hint=did_you_mean(name, segments),
            )
    return found


def check_models(
    expressions: Iterable[Expression], models: Mapping[str, ModelSpec], *, of: str, file: str, at: Callable[[str], tuple[int, int]]
) -> None:
    """Raise DefinitionError for a model that is not defined or of a wrong kind. ``of`` says whose expressions they are, ``at`` on
    which line and in which column a name of a model stands (column 0: not known)."""
    for root in expressions:
        for node in nodes(root):
            if isinstance(node, (tree.Score, tree.Percentile, tree.Group)):
                function = node.function if isinstance(node, tree.Score) else type(node).__name__.lower()
                wrong = check_use(node.model, function, models)
                if wrong is not None:
                    line, column = at(node.model)
                    raise DefinitionError(f"in {of}: {wrong}", file=file, line=line, column=column)
