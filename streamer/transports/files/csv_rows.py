"""The rows of a CSV file, each under the names of its header.

A quote that is not closed swallows the rows behind it, up to the next quote or the end of the file. So quoting is read strictly, and where
a row over several lines cannot be what it seems, only its first line is refused: the others are read again, as rows of their own. No line
is lost, and none is read more than a few times.
"""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING, Final

from streamer.errors import SettingsError
from streamer.suggest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from streamer.events.adapters.columns import Row

NumberedLine = tuple[int, bytes]  # its number and its bytes, end included

SEPARATORS: Final = (",", ";", "\t", "|")
SHOWN_MAX: Final = 20  # columns of a header that a message names


def csv_rows(
    path: Path | str,
    lines: Iterator[NumberedLine],
    *,
    line_max: int,
    columns: Sequence[str] = (),
    needed: Sequence[str] = (),
    delimiter: str = ",",
) -> Iterator[tuple[int, Row | bytes]]:
    """(number, row) of everything below the header; the bytes of a line that does not split into the columns.

    ``columns`` are the names for files that may come without a header: the first line is a header only if each of its cells is one of
    them. ``needed`` must be in the header. A line of ``line_max`` bytes without an end was cut, so its row is none. Bytes that are not
    UTF-8 become halves of surrogate pairs, which no event may carry. ``SettingsError`` when the header cannot be used.
    """
    spread = _Spread(lines)
    reader = csv.reader(spread, delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        spread.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a quote that is not closed, or closed in the middle of a cell, or a cell of more than 131,072 characters
            yield spread.refuse_first()
            continue
        if not cells:  # a blank line says nothing
            continue
        if not header:
            header = _header(path, cells, columns, needed, delimiter)
            if header == cells:
                continue
        if len(cells) == len(header) and not spread.is_cut(line_max):
            yield spread.taken[0][0], dict(zip(header, cells, strict=True))
        else:
            yield spread.refuse_first()


class _Spread:
    """Lines as the texts that a reader of CSV asks for; remembers those of the present row, and gives some of them out again."""

    def __init__(self, lines: Iterator[NumberedLine]) -> None:
        self.taken: list[NumberedLine] = []
        self._lines = lines
        self._again: deque[NumberedLine] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        return line[1].decode("utf-8", "surrogateescape")

    def is_cut(self, line_max: int) -> bool:
        """Whether something is missing of the row, as a line of it was too long."""
        return any(len(line) >= line_max and not line.endswith(b"\n") for _, line in self.taken)

    def refuse_first(self) -> NumberedLine:
        """The first line of the row, for whoever refuses it. The others are given out again."""
        self._again.extendleft(reversed(self.taken[1:]))
        return self.taken[0]


def _header(path: Path | str, cells: list[str], columns: Sequence[str], needed: Sequence[str], delimiter: str) -> list[str]:
    """The names of the columns, by the first line: itself, or ``columns`` if it is a row already."""
    known = set(columns)
    if columns and not set(cells) <= known:
        if _is_nearly_a_header(cells, known, delimiter):
            raise SettingsError(f"{path}: {_missing(columns[0], cells, delimiter, 'the mapping lists other columns')}")
        header = list(columns)
    else:
        header = cells
    check_columns(path, header, needed, delimiter)
    return header


def check_columns(path: Path | str, header: Sequence[str], needed: Sequence[str], delimiter: str = ",") -> None:
    """``SettingsError`` for a column that stands twice, or the first that a mapping reads and the file does not have."""
    if len(set(header)) < len(header):
        twice = next(name for index, name in enumerate(header) if name in header[:index])
        raise SettingsError(f"{path}: the column {twice!r} stands twice in the header")
    for column in needed:
        if column not in header:
            raise SettingsError(f"{path}: {_missing(column, header, delimiter, f'the mapping reads the column {column!r}')}")


def _is_nearly_a_header(cells: Sequence[str], known: set[str], delimiter: str) -> bool:
    """Whether a first line that is no header of these columns is no row either: most of its names are known, or would be if split."""
    parts = {part.strip() for cell in cells for part in cell.split(_other_separator(cells, delimiter) or delimiter)}
    return 2 * len(parts & known) >= len(parts)


def _other_separator(cells: Sequence[str], delimiter: str) -> str | None:
    """What seems to separate the columns of a header that was not split."""
    if len(cells) != 1:
        return None
    return next((mark for mark in SEPARATORS if mark != delimiter and mark in cells[0]), None)


def _missing(column: str, header: Sequence[str], delimiter: str, wanted: str) -> str:
    """What to say of a header without ``column``."""
    mark = _other_separator(header, delimiter)
    if mark is not None:
        found, expected = _quoted(mark), _quoted(delimiter)
        return f"the columns are separated by {found}, not by {expected}; say delimiter: {found} in the mapping"
    shown = ", ".join(repr(name) for name in header[:SHOWN_MAX]) + (", …" if len(header) > SHOWN_MAX else "")
    spaced = next((name for name in header if name.strip() == column and name != column), None)
    if spaced is not None:
        return f"{wanted}, the header has {spaced!r}, with spaces around it; write it so in the mapping, or take them away"
    close = nearest(column, header)
    return f"{wanted}, the header has {shown}{f'; did you mean {close!r}?' if close is not None else ''}"


def _quoted(mark: str) -> str:
    """As YAML has it."""
    return '"\\t"' if mark == "\t" else f'"{mark}"'
