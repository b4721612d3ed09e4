"""Rows of a file to events, as a mapping says.

Decided here is what a row means: an event, a part of one, nothing on purpose, or nothing we can read. No file is opened here and no clock
is read; the same rows give the same events, ids included. A row that cannot be used is a value, not an exception: a file goes on.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final, cast

import msgspec

from streamer.errors import RefusedError
from streamer.events.adapters import cells
from streamer.events.adapters.digest import content_id
from streamer.events.adapters.mapping import Cell, Format, MappingFile, NameColumns, cell_of, columns_used, read_mapping
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.events.admission import BODY_MAX_BYTES, INTEGER_MAX, INTEGER_MIN
from streamer.events.codec import from_fields, read_object
from streamer.events.json_limits import is_whole_text, json_type, within_limits
from streamer.events.placeholders import PLACEHOLDER_IDS, normal_form
from streamer.zones import PINNED, find_zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

Row = dict[str, object]  # column -> cell
Numbered = tuple[int, Row | bytes]  # a line's number and its row; bytes are a line of NDJSON, or a line that did not split into a row

GROUP_MAX: Final = 10_000  # rows of one group
CASTS: Final[dict[str, cells.Cast]] = {"text": cells.text, "number": cells.number, "as_is": cells.as_is}


class _NumberedRow(msgspec.Struct, frozen=True):
    """A row with its place: ``part`` counts the items of an exploded row."""

    number: int
    part: int
    row: Row

    def refusal(self, error: RefusedError) -> Refusal:
        return Refusal.of(error, self.row)


def load_mapping(path_or_name: str | Path) -> Mapping:
    """The mapping in a YAML file, or the shipped one of that name (``rees46``, ``otto``, ``online_retail``); else ``MappingError``."""
    return Mapping(read_mapping(path_or_name))


class Mapping:
    """Turns rows into events. ``format``, ``columns``, ``needed``, ``delimiter`` and ``sort`` are for whoever reads the file,
    ``placeholder_ids`` for whoever admits the events."""

    def __init__(self, file: MappingFile) -> None:
        self.format: Format = file.format
        self.columns = tuple(file.columns)
        self.sort = file.sort
        self.delimiter = file.delimiter
        used = tuple(dict.fromkeys(column for _, column in columns_used(file)))
        # Where the mapping lists the columns, all that it reads are among them, and a copy of the file may have fewer.
        self.needed = () if file.columns or file.explode else used
        self._unseen: dict[str, None] = dict.fromkeys(used, None) if file.format == "ndjson" else {}
        self.placeholder_ids = PLACEHOLDER_IDS if file.placeholder_ids is None else normal_form(file.placeholder_ids)
        self._file = file
        formats = [file.timestamp.format] if isinstance(file.timestamp.format, str) else file.timestamp.format
        self._moment = cells.moment(formats, find_zone(file.timestamp.zone) or PINNED.utc)
        self._as_written = cells.with_point if file.decimal == "," else cells.unchanged
        self._sections = {name: self._reader(getattr(file, name)) for name in ("properties", "traits", "context")}
        self._item = self._reader(file.collect.item if file.collect else {})

    @property
    def unseen(self) -> tuple[str, ...]:
        """Columns that the mapping reads and no line of NDJSON had so far: there is no header to compare with."""
        return tuple(self._unseen)

    def events(self, rows: Iterable[Row]) -> Iterator[Outcome]:
        """An event or a refusal for each row, or for each group of rows, in their order. Rows are counted from 1."""
        return (found for _, found in self.numbered(enumerate(rows, 1)))

    def numbered(self, rows: Iterable[Numbered]) -> Iterator[tuple[int, Outcome]]:
        """The same, each with its line (of a group the first), for rows numbered as ``transports.files.event_files`` reads them."""
        for number, found in self._groups(self._lines(rows)):
            yield number, found if isinstance(found, Refusal) else self._event(found)

    def _lines(self, rows: Iterable[Numbered]) -> Iterator[tuple[int, _NumberedRow | Refusal]]:
        for number, raw in rows:
            try:
                lines = self._exploded(number, self._row(raw))
            except RefusedError as error:
                yield number, Refusal.of(error, raw)
                continue
            if not lines:
                yield number, Refusal("skipped", f"$.{self._file.explode}", "", raw)
            for line in lines:
                if self._unseen:
                    self._unseen = {column: None for column in self._unseen if column not in line.row}
                empty = next((column for column in self._file.skip_if_empty if cells.is_empty(line.row.get(column))), None)
                yield number, line if empty is None else line.refusal(RefusedError("skipped", path=f"$.{empty}"))

    def _row(self, raw: Row | bytes) -> Row:
        if not isinstance(raw, bytes):
            return raw
        if self.format != "ndjson":
            raise RefusedError("not_a_row", detail="another number of cells than the header, or a quote that is not closed")
        if len(raw) > BODY_MAX_BYTES:
            raise RefusedError("too_large", detail=f"a line of more than {BODY_MAX_BYTES} bytes")
        return within_limits(read_object(raw))

    def _exploded(self, number: int, row: Row) -> list[_NumberedRow]:
        key = self._file.explode
        if key is None:
            return [_NumberedRow(number, 0, row)]
        items: object = row.get(key)
        if not isinstance(items, list):
            raise RefusedError("wrong_type", path=f"$.{key}", detail=f"expected an array, found {json_type(items)}")
        lines: list[_NumberedRow] = []
        rest = {column: cell for column, cell in row.items() if column != key}
        for part, item in enumerate(cast("list[object]", items)):
            if not isinstance(item, dict):
                raise RefusedError("wrong_type", path=f"$.{key}[{part}]", detail=f"expected an object, found {json_type(item)}")
            lines.append(_NumberedRow(number, part, {**rest, **cast("Row", item)}))
        return lines

    def _groups(self, lines: Iterable[tuple[int, _NumberedRow | Refusal]]) -> Iterator[tuple[int, list[_NumberedRow] | Refusal]]:
        """Lines that follow each other and agree in ``group_by``, refused ones not counted; without it, each for itself."""
        columns = self._file.group_by
        group: list[_NumberedRow] = []
        for number, line in lines:
            if isinstance(line, Refusal):
                yield number, line
                continue
            if group and not (columns and all(group[0].row.get(column) == line.row.get(column) for column in columns)):
                yield group[0].number, group
                group = []
            if len(group) <= GROUP_MAX:  # one more than allowed, by which _event knows
                group.append(line)
        if group:
            yield group[0].number, group

    def _event(self, group: list[_NumberedRow]) -> Outcome:
        first = group[0]
        try:
            if len(group) > GROUP_MAX:
                raise RefusedError("too_large", detail=f"more than {GROUP_MAX} rows in one group")
            properties = self._sections["properties"](first.row)
            return from_fields(
                {
                    "type": "track",
                    "event": _event_name(self._file.event, first.row),
                    "messageId": self._message_id(group),
                    "userId": cells.identifier(first.row.get(self._file.customer), self._file.customer),
                    "properties": {**properties, **self._collected(group), **self._totals(group)} or None,
                    "traits": self._sections["traits"](first.row) or None,
                    "context": self._sections["context"](first.row) or None,
                },
                timestamp_ms=self._moment(first.row.get(self._file.timestamp.column), self._file.timestamp.column),
            )
        except RefusedError as error:
            return first.refusal(error)

    def _message_id(self, group: list[_NumberedRow]) -> str | None:
        wanted = self._file.message_id
        first = group[0]
        if wanted == "content":
            return content_id([_writable(line.row) for line in group])
        if wanted == "row":
            return content_id([(line.number, line.part, _writable(line.row)) for line in group])
        if isinstance(wanted, list):
            return content_id([_writable({column: first.row.get(column)})[column] for column in wanted])
        return cells.identifier(first.row.get(wanted), wanted)

    def _collected(self, group: list[_NumberedRow]) -> Row:
        collect = self._file.collect
        if collect is None:
            return {}
        found: Row = {collect.property: [self._item(line.row) for line in group[: collect.max]]}
        if len(group) > collect.max:
            found[f"{collect.property}_omitted"] = len(group) - collect.max
        return found

    def _totals(self, group: list[_NumberedRow]) -> Row:
        """Exact until the end, then rounded once, half to even: some shops price a screw at 0.001."""
        total = self._file.total
        if total is None:
            return {}
        exact = sum(
            (self._exact(line.row, total.price) * self._exact(line.row, total.quantity) for line in group),
            Decimal(0),
        )
        cents = int((exact * 100).to_integral_value(ROUND_HALF_EVEN))
        if not INTEGER_MIN <= cents <= INTEGER_MAX:
            raise RefusedError("not_finite", path=f"$.{total.price}", detail="the sum of price times quantity, in cents, is beyond 64 bits")
        return {total.property: cents / 100, f"{total.property}_cents": cents}

    def _exact(self, row: Row, column: str) -> Decimal:
        return cells.exact(self._as_written(row.get(column)), column)

    def _reader(self, wanted: dict[str, str | Cell]) -> Callable[[Row], Row]:
        """A function from a row to the named values in it; empty cells are left out."""
        plan = [(name, cell_of(cell).column, self._cast(cell_of(cell))) for name, cell in wanted.items()]

        def read(row: Row) -> Row:
            found = ((name, cast_to(row.get(column), column)) for name, column, cast_to in plan)
            return {name: value for name, value in found if value is not None}

        return read

    def _cast(self, cell: Cell) -> cells.Cast:
        as_written = self._as_written
        if cell.type != "number" or as_written is cells.unchanged:
            return CASTS[cell.type]
        return lambda found, column: cells.number(as_written(found), column)


def _writable(row: Row) -> Row:
    """The same row, where texts that are not UTF-8 are the bytes they were: no column that is not read may cost a row its id."""
    if all(not isinstance(cell, str) or is_whole_text(cell) for cell in row.values()):
        return row
    return {column: cell.encode("utf-8", "surrogateescape") if isinstance(cell, str) else cell for column, cell in row.items()}


def _event_name(wanted: NameColumns, row: Row) -> str | None:
    said = None if wanted.column is None else cells.text(row.get(wanted.column), wanted.column)
    if said is None:
        return wanted.otherwise
    if said in wanted.names:
        return wanted.names[said]
    for prefix, name in wanted.prefixes.items():
        if said.startswith(prefix):
            return name
    if wanted.otherwise is not None:
        return wanted.otherwise
    if not wanted.names and not wanted.prefixes:
        return said
    raise RefusedError("missing_event_name", path=f"$.{wanted.column}", detail="the mapping has no name for it")
