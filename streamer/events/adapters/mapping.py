"""A mapping as written: a small YAML file that says which column of a file of rows means what.

    format: csv                         # csv, ndjson or parquet; how lines become rows is the reader's business
    delimiter: ";"                      # optional: what separates the cells of CSV, a comma if left out
    decimal: ","                        # optional: what stands before the cents in cells of text, a point if left out
    columns: [event_time, user_id]      # optional: the names, for files that may come without a header
    customer: user_id                   # becomes userId
    timestamp: {column: event_time, format: ["%Y-%m-%d %H:%M:%S UTC", iso], zone: UTC}
    event: {column: event_type, names: {view: Product Viewed}, prefixes: {C: Order Refunded}, otherwise: Order Completed}
                                        # without a column all are what otherwise says
    message_id: content                 # a column; a list of columns; content: equal rows are duplicates; row: they are not
    properties: {product_id: product_id, price: {column: price, type: number}}
    traits: {country: Country}          # and context, likewise
    skip_if_empty: [user_id]            # such rows are no events, and no faults either
    placeholder_ids: []                 # ids that name nobody in this file; left out, undefined, null, 0 and their like
    sort: true                          # the rows are not in the order of time: a replay reads all of them before the first counts
    explode: events                     # a row holds a list of objects; each, laid over its row, is a row of its own
    group_by: [order_id]                # rows that follow each other and agree here are one event, told by the first of them
    collect: {property: products, item: {product_id: sku}, max: 250}    # of a group: a list with an object per row
    total: {property: total, price: price, quantity: quantity}          # of a group: their sum, exact, in whole cents

Decided here is whether a mapping can be used at all. What it makes of a row is in ``columns``.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Final, Literal, cast

import msgspec
import yaml

from streamer.errors import MappingError
from streamer.events.admission import TEXT_MAX
from streamer.zones import find_zone

SHIPPED: Final = Path(__file__).parent.parent / "mappings"
COLLECT_MAX: Final = 250  # an order of 1,000 lines would be larger than an event may be

Format = Literal["csv", "ndjson", "parquet"]
Named = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)]


class TimeColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When it happened; ``format`` is ``iso``, ``ms``, ``s`` or one of ``strptime``, or several to be tried in turn.

    ``zone`` is where a clock without an offset hangs, by the installed zone data: a file is read before there is a log, which has the
    moments that were made of it, whatever zone data its definitions are read by.
    """

    column: Named
    format: str | list[str] = "iso"
    zone: str = "UTC"


class NameColumns(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happened: the cell looked up in ``names``, then by its first letters in ``prefixes``, then ``otherwise``.

    With none of the three the cell itself is the name; without a ``column`` it is always ``otherwise``.
    """

    column: Named | None = None
    names: dict[str, Named] = {}
    prefixes: dict[str, Named] = {}
    otherwise: Named | None = None


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a value comes from."""

    column: Named
    type: Literal["text", "number", "as_is"] = "as_is"


class Collect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A list made of the rows of a group. Rows above ``max`` are counted in ``<property>_omitted``."""

    property: Named
    item: dict[Named, Named | Cell]
    max: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = COLLECT_MAX


class Total(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sum of price times quantity over a group: ``<property>`` in units of money, ``<property>_cents`` in whole cents."""

    property: Named
    price: Named
    quantity: Named


class MappingFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    format: Format
    columns: list[Named] = []
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1, pattern=r'[^"\r\n]')] = ","
    decimal: Literal[".", ","] = "."
    customer: Named
    timestamp: TimeColumn
    event: NameColumns
    message_id: Named | list[Named]
    properties: dict[Named, Named | Cell] = {}
    traits: dict[Named, Named | Cell] = {}
    context: dict[Named, Named | Cell] = {}
    placeholder_ids: list[str] | None = None
    skip_if_empty: list[Named] = []
    explode: Named | None = None
    sort: bool = False
    group_by: list[Named] = []
    collect: Collect | None = None
    total: Total | None = None


class _EachKeyOnce(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping: YAML would keep the last, and the columns under the first be gone without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """The mapping in ``node``."""
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_mapping(path_or_name: str | Path) -> MappingFile:
    """The mapping in a file, or the shipped one of that name. ``MappingError`` with the file and the field if it cannot be used."""
    path = _locate(path_or_name)
    try:
        content: object = yaml.load(path.read_text(encoding="utf-8"), Loader=_EachKeyOnce)  # noqa: S506 - it is a safe one
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise MappingError(f"not YAML: {error.problem}", file=str(path), line=line, column=column) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MappingError(f"cannot be read: {error}", file=str(path)) from None
    try:
        mapping = msgspec.convert(content, MappingFile)
    except msgspec.ValidationError as error:
        raise MappingError(str(error).replace("`", "'").replace("$.", "").replace(" - at ", ", at "), file=str(path)) from None
    for complaint in _complaints(mapping):
        raise MappingError(complaint, file=str(path))
    return mapping


def cell_of(cell: str | Cell) -> Cell:
    """A bare column name means the cell as it is."""
    return Cell(column=cell) if isinstance(cell, str) else cell


def _locate(path_or_name: str | Path) -> Path:
    path = Path(path_or_name)
    if path.suffix in {".yaml", ".yml"}:
        return path
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.yaml"))}
    if str(path_or_name) not in shipped:
        raise MappingError(
            "no such mapping", file=str(path_or_name), hint=f"name a .yaml file, or one that ships with us: {', '.join(shipped)}"
        )
    return shipped[str(path_or_name)]


def _complaints(mapping: MappingFile) -> list[str]:
    """What is wrong although every field has its type, in the order of the file."""
    complaints = [
        f"column '{column}' is not among 'columns', at '{field}'"
        for field, column in columns_used(mapping)
        if mapping.columns and not mapping.explode and column not in mapping.columns
    ]
    if find_zone(mapping.timestamp.zone) is None:
        complaints.append(f"'{mapping.timestamp.zone}' is no time zone (say Europe/London), at 'timestamp.zone'")
    if not mapping.timestamp.format:
        complaints.append("at least one format is needed, at 'timestamp.format'")
    if mapping.event.column is None and (mapping.event.otherwise is None or mapping.event.names or mapping.event.prefixes):
        complaints.append("without a column all events have the name of 'otherwise', and no other, at 'event'")
    if not mapping.group_by and (mapping.collect or mapping.total):
        complaints.append("'collect' and 'total' speak of groups, but there is no 'group_by'")
    return complaints


def columns_used(mapping: MappingFile) -> list[tuple[str, str]]:
    """(field, column) for every column that the mapping reads; where rows explode some of them are in the list."""
    used = [("customer", mapping.customer), ("timestamp", mapping.timestamp.column)]
    if mapping.event.column is not None:
        used.append(("event", mapping.event.column))
    if isinstance(mapping.message_id, list):
        used += [("message_id", column) for column in mapping.message_id]
    elif mapping.message_id not in {"content", "row"}:
        used.append(("message_id", mapping.message_id))
    for section in ("properties", "traits", "context"):
        cells = cast("dict[str, str | Cell]", getattr(mapping, section))
        used += [(f"{section}.{name}", cell_of(cell).column) for name, cell in cells.items()]
    used += [("skip_if_empty", column) for column in mapping.skip_if_empty]
    used += [("group_by", column) for column in mapping.group_by]
    if mapping.collect:
        used += [(f"collect.item.{name}", cell_of(cell).column) for name, cell in mapping.collect.item.items()]
    if mapping.total:
        used += [("total.price", mapping.total.price), ("total.quantity", mapping.total.quantity)]
    return used
