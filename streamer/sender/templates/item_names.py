"""Which names of an item a template uses, of which list: found in what the library parsed, so a mistake is known before anything is sent.

Only what is certain is said: the variable of a loop over a list itself, and an item by its place. A name that the template assigns, another
loop's variable of the same name, and what a filter makes of a list are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from liquid import BoundTemplate, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import Path
from liquid.builtin.tags.for_tag import ForNode
from liquid.expression import Expression
from liquid.span import Span

BlockNames = Mapping[str, str]  # names that a block gives, with the list of which each is an item; empty: of none

ENDS: Final = frozenset({"first", "last"})
OF_ANYTHING: Final = frozenset({"size", *ENDS})  # properties that the library gives to whatever has a length


class ItemNames:
    """``found`` has the names by list, each with the place of its first use. Names of ``own`` are no lists."""

    def __init__(self, template: BoundTemplate, own: Collection[str]) -> None:
        self.found: dict[str, dict[str, Span]] = {}
        self._template = template
        self._own = own
        self._context = RenderContext(template)
        for node in template.nodes:
            self._read_node(node, {})

    def _read_node(self, node: Node, scope: BlockNames) -> None:
        for expression in node.expressions():
            self._read_expression(expression, scope)
        if isinstance(node, ForNode):
            name = node.expression.identifier
            self._read_node(node.block, {**scope, "forloop": "", name: self._list_of(node.expression.iterable, name, scope)})
            if node.default is not None:
                self._read_node(node.default, scope)
            return
        inner = {**scope, **{str(name): "" for name in node.block_scope()}}
        for child in node.children(self._context, include_partials=False):
            self._read_node(child, inner)

    def _read_expression(self, expression: Expression, scope: BlockNames) -> None:
        if isinstance(expression, Path):
            self._read_path(expression, scope)
        inner = {**scope, **{str(name): "" for name in expression.scope() or ()}}
        for child in expression.children():
            self._read_expression(child, inner)

    def _read_path(self, path: Path, scope: BlockNames) -> None:
        match path.path:
            case [str(root), str(name), *_] if root in scope:
                self._add(scope[root], name, path)
            case [str(root), (int() | str()) as place, str(name), *_] if root not in scope and root not in self._own:
                if isinstance(place, int) or place in ENDS:
                    self._add(root, name, path)
            case _:
                return

    def _list_of(self, iterable: Expression, name: str, scope: BlockNames) -> str:
        match iterable:
            case Path(path=[str(root)]) if root not in scope and root not in self._own and name not in self._own:
                return root
            case _:
                return ""

    def _add(self, list_name: str, name: str, path: Path) -> None:
        if list_name and name not in OF_ANYTHING:
            self.found.setdefault(list_name, {}).setdefault(name, Span(self._template.name, path.token.start_index))


__all__ = ["ItemNames"]
