"""The text of one expression: from it to Python's syntax tree, and from a node back to a place in the file for errors."""

from __future__ import annotations

import ast
import warnings
from typing import NoReturn

from streamer.errors import DefinitionError
from streamer.language import slips
from streamer.language.limits import DEPTH_MAX, EXPRESSION_CHARS_MAX, NODES_MAX


class Source:
    """A text with the place in ``file`` at which it begins; raises DefinitionError with the place of what is wrong."""

    def __init__(self, text: str, *, file: str, line: int, column: int) -> None:
        self._text = text
        self._file = file
        self._line = line
        self._column = column

    def syntax(self) -> ast.expr:
        """Python's tree of the text, not too large and not too deep. Nothing is executed."""
        if len(self._text) > EXPRESSION_CHARS_MAX:
            self.fail(None, f"expected at most {EXPRESSION_CHARS_MAX} characters, found {len(self._text)}")
        try:
            # Parentheses let an expression run over several lines, as it does in a YAML block. A warning (of "\d", say) is a mistake here.
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                parsed = ast.parse(f"({self._text}\n)", mode="eval").body
        except SyntaxError as error:
            self._syntax(error)
        except (RecursionError, MemoryError, ValueError):
            self.fail(None, f"expected an expression at most {DEPTH_MAX} deep, found one nested too deeply to read")
        if isinstance(parsed, ast.Tuple) and not parsed.elts:
            self.fail(None, "expected an expression, found nothing")
        if (parsed.lineno, parsed.col_offset) == (1, 0) and not isinstance(parsed, (ast.Tuple, ast.GeneratorExp)):
            self.fail(None, "expected an expression, found a ) that closes nothing")  # it closed the added one
        self._measure(parsed)
        return parsed

    def _measure(self, root: ast.AST) -> None:
        nodes, level, depth = 0, [root], 0
        while level:
            nodes += sum(1 for node in level if isinstance(node, ast.expr))
            depth += 1
            if depth > 2 * DEPTH_MAX or nodes > NODES_MAX:
                self.fail(root, f"expected at most {NODES_MAX} nodes and depth {DEPTH_MAX}, found more", "split it and use segment(...)")
            level = [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, (ast.expr, ast.keyword))]

    def slip(self) -> slips.Slip | None:
        """What of another language stands in the text, if anything known does."""
        return slips.in_expression(self._text)

    def fail(self, node: ast.AST | None, message: str, hint: str = "") -> NoReturn:
        """Raise DefinitionError at the place of a node; None: at the beginning."""
        line, column = self._place(node)
        raise DefinitionError(message, file=self._file, line=line, column=column, hint=hint)

    def _syntax(self, error: SyntaxError) -> NoReturn:
        slip = self.slip()
        if slip is not None:
            before = self._text[: slip.at].split("\n")
            line, column = self._at(len(before), len(before[-1]) + (len(before) == 1))
            message = f"expected an expression, found {slip.found}"
            raise DefinitionError(message, file=self._file, line=line, column=column, hint=slip.remedy) from None
        row, found = error.lineno or 1, error.msg or "a mistake"
        line, column = self._at(row, (error.offset or 2) - 1)
        if "never closed" in found or row > self._text.count("\n") + 1:
            line, column = self._at(row + len(self._text), 0)
            found = "a ) that closes nothing" if "unmatched" in found else "the end"
        hint = "compare with ==, not =" if "=" in found and "==" in found else ""
        hint = hint or ("a ( is opened and never closed" if "never closed" in (error.msg or "") else "")
        raise DefinitionError(f"expected an expression, found: {found}", file=self._file, line=line, column=column, hint=hint) from None

    def _place(self, node: ast.AST | None) -> tuple[int, int]:
        row, col = getattr(node, "lineno", 1), getattr(node, "col_offset", 1)
        if node is not None:
            col = self._characters(row, col)
        return self._at(row, col)

    def _characters(self, row: int, byte: int) -> int:
        """Python counts the columns of nodes in UTF-8 bytes."""
        rows = f"({self._text}".split("\n")
        return len(rows[row - 1].encode()[:byte].decode(errors="ignore")) if row <= len(rows) else byte

    def _at(self, row: int, col: int) -> tuple[int, int]:
        """A place in the file: the first row begins where the value does and has one column more, nothing is behind the end."""
        rows = self._text.split("\n")
        if row > len(rows):
            row, col = len(rows), len(rows[-1]) + (len(rows) == 1)
        if row == 1:
            return self._line, self._column + max(col, 1) - 1
        return self._line + row - 1, col + 1
