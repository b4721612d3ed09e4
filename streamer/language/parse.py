"""From the text of an expression to the typed tree, or to an error that says where and what to write instead.

Python's own parser reads the syntax (``parser/source``); every node it makes is looked at and only those of the language are taken
(``parser/expressions``). Nothing of the text is ever executed, and a node that is not listed there is refused, not guarded against.
"""

from __future__ import annotations

from .parser.expressions import Parser
from .parser.functions import EVENT_FUNCTIONS, FUNCTIONS
from .tree import Condition, Expression


def parse(text: str, *, file: str = "", line: int = 1, column: int = 1) -> Condition:
    """The condition a text says. ``line`` and ``column`` (from 1) are where the text begins in ``file``.

    Raises DefinitionError, never anything else.

    >>> text(parse('count("Order Completed", within="90d") >= 3 and not did("Order Refunded")'))
    'count("Order Completed", within="90d") >= 3 and not did("Order Refunded")'
    """
    parser = Parser(text, FUNCTIONS, EVENT_FUNCTIONS, file=file, line=line, column=column)
    return parser.condition(parser.syntax())


def parse_expression(text: str, *, file: str = "", line: int = 1, column: int = 1) -> Expression:
    """What a text says, be it a condition, a value, a number, a time or a duration. Raises DefinitionError, never anything else.

    >>> parse_expression('trait("email")')
    Trait(path=('email',))
    """
    parser = Parser(text, FUNCTIONS, EVENT_FUNCTIONS, file=file, line=line, column=column)
    return parser.any_node(parser.syntax())
