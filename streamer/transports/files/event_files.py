"""Files of events, read for a replay: NDJSON, CSV and Parquet, also gzipped, also from standard input.

Memory is bounded whatever the file: lines, rows and batches come one by one, and a line that does not end is cut. Lines are numbered as
an editor numbers them, rows of Parquet from 1. Nothing here knows what an event is: NDJSON comes as bytes, a table as rows, and a line
that does not split into the columns of its table as bytes too, for whoever refuses it.

A file that cannot be opened, or is of another kind than it seems (UTF-16, a JSON array, a table without a column that is needed), is a
``SettingsError`` before its first line counts. A file that breaks off in the middle (a truncated gzip) is a ``HaltError``: what was read is
not the whole story.
"""

from __future__ import annotations

import gzip
import importlib
import sys
import zlib
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, cast

from streamer.errors import HaltError, SettingsError

from .csv_rows import check_columns, csv_rows

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from streamer.events.adapters.columns import Numbered, Row

FileFormat = Literal["ndjson", "csv", "parquet"]

STDIN: Final = "-"
LINE_MAX: Final = (
    1 << 20
) + 1  # bytes kept of one line: one more than any reader of lines accepts, so that it refuses and does not misread
BATCH_ROWS: Final = 1_000
METERED_LINES: Final = 1_000
BOM: Final = b"\xef\xbb\xbf"
UTF_16_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")
UTF_32_BOM: Final = b"\xff\xfe\0\0"
PACKED: Final = {  # how files begin that are no text yet
    b"\x1f\x8b": "gzip; unpack it, or let its name end in .gz",
    b"PK\x03\x04": "a zip archive; unpack it",
    b"\x28\xb5\x2f\xfd": "zstd; unpack it",
    b"PAR1\x15": "Parquet; let its name end in .parquet",
}
SUFFIXES: Final[dict[str, FileFormat]] = {".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson", ".csv": "csv", ".parquet": "parquet"}


def read(
    path: Path | str,
    *,
    file_format: FileFormat | None = None,
    columns: Sequence[str] = (),
    needed: Sequence[str] = (),
    delimiter: str = ",",
    meter: Meter | None = None,
) -> Iterator[Numbered]:
    """(number, line or row) of everything in the file, in its order.

    The format is that of the suffix unless given; ``-`` is standard input, NDJSON unless given. ``columns`` are the names for CSV files
    that may come without a header: their first line is a header only if each of its cells is one of these names. A table must have the
    columns ``needed``. ``delimiter`` separates the cells of CSV. ``meter`` is told now and then how far the reading has come.
    """
    match file_format or _format_of(path):
        case "ndjson":
            return _ndjson(path, meter)
        case "csv":
            return _csv(path, columns, needed, delimiter, meter)
        case "parquet":
            return _parquet(path, needed, meter)


def format_of_suffix(path: Path | str) -> FileFormat | None:
    """The format that a file's name tells of; None where it tells of none."""
    suffixes = [suffix for suffix in Path(path).suffixes if suffix != ".gz"]
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def _format_of(path: Path | str) -> FileFormat:
    found = "ndjson" if path == STDIN else format_of_suffix(path)
    if found is None:
        raise SettingsError(f"{path}: what format is it? Known by their suffix: {', '.join(SUFFIXES)} (and .gz)")
    return found


class Meter:
    """How far the reading of some files has come, in bytes as they lie on the disk."""

    def __init__(self, paths: Sequence[Path | str]) -> None:
        self.total: int | None = None  # not known of standard input and pipes
        self._before = 0
        self._at = 0
        if all(path != STDIN and Path(path).is_file() for path in paths):
            self.total = sum(Path(path).stat().st_size for path in paths)

    @property
    def read(self) -> int:
        """Bytes so far."""
        return self._before + self._at

    def at(self, position: int) -> None:
        """So far in the present file."""
        self._at = position

    def next_file(self) -> None:
        """The present file is read."""
        self._before, self._at = self.read, 0


class _NumberedLines:
    """The lines of a stream with their numbers, cut at ``LINE_MAX``; remembers the number of the last one."""

    def __init__(self, path: Path | str, stream: IO[bytes], meter: Meter | None) -> None:
        self.number = 0
        self._path = path
        self._stream = stream
        self._meter = meter
        self._on_disk: Any = getattr(stream, "fileobj", stream)  # of a gzip the file that is unpacked

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while line := self._stream.readline(LINE_MAX):
            if not self.number:
                _check_text(self._path, line)
            # Editors on Windows begin a file with a mark of the order of bytes: no part of the text, also where files were put together.
            kept = line.removeprefix(BOM)
            self.number += 1
            if self._meter is not None and self.number % METERED_LINES == 0:
                self._meter.at(self._on_disk.tell())
            while len(line) == LINE_MAX and not line.endswith(b"\n"):
                line = self._stream.readline(LINE_MAX)
            yield self.number, kept


def _check_text(path: Path | str, line: bytes) -> None:
    """Refuse a file whose first line shows that no other will be read as it was meant."""
    for magic, what in PACKED.items():
        if line.startswith(magic):
            raise SettingsError(f"{path}: expected text, found {what}")
    if line.startswith(UTF_32_BOM):
        raise SettingsError(f"{path}: expected UTF-8, found UTF-32; convert it: iconv -f UTF-32 -t UTF-8")
    if line.startswith(UTF_16_BOMS) or (line[:2].count(0) == 1 and len(line) > 1):
        raise SettingsError(f"{path}: expected UTF-8, found UTF-16; convert it: iconv -f UTF-16 -t UTF-8")
    if b"\r" in line.rstrip(b"\r") and not line.endswith(b"\n"):
        raise SettingsError(f"{path}: its lines end with CR alone, as on old Macs; convert them: tr '\\r' '\\n'")


@contextmanager
def _lines_of(path: Path | str, meter: Meter | None) -> Generator[_NumberedLines]:
    """The lines of the file, unpacked. Standard input stays open: it is not ours."""
    with _opened(path) as stream:
        lines = _NumberedLines(path, stream, None if path == STDIN else meter)
        try:
            yield lines
        except IsADirectoryError:
            raise SettingsError(f"{path}: expected a file, found a folder") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise HaltError(f"{path}: damaged after line {lines.number} ({error}); get a whole copy and replay it from the start") from None


def _opened(path: Path | str) -> AbstractContextManager[IO[bytes]]:
    if path == STDIN:
        return nullcontext(sys.stdin.buffer)
    try:
        if Path(path).suffix == ".gz" and Path(path).stat().st_size == 0:
            raise HaltError(f"{path}: damaged: it has no bytes at all, not even those of an empty gzip; get a whole copy")
        return cast("IO[bytes]", gzip.open(path)) if Path(path).suffix == ".gz" else Path(path).open("rb")
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None


def _ndjson(path: Path | str, meter: Meter | None) -> Iterator[Numbered]:
    """Lines without their ends. Blank lines say nothing, but count."""
    with _lines_of(path, meter) as lines:
        is_begun = False
        for number, line in lines:
            if line.isspace() or not line:
                continue
            if not is_begun and line.lstrip().startswith(b"["):
                raise SettingsError(f"{path}: expected an event a line, found a JSON array; take it apart: jq -c '.[]'")
            if not is_begun and line.strip() == b"{":
                raise SettingsError(f"{path}: expected an event a line, found an object over several lines; join them: jq -c .")
            is_begun = True
            yield number, line.rstrip(b"\r\n")


def _csv(path: Path | str, columns: Sequence[str], needed: Sequence[str], delimiter: str, meter: Meter | None) -> Iterator[Numbered]:
    with _lines_of(path, meter) as lines:
        cut_at = LINE_MAX - len(BOM)  # of the first line a mark was taken away
        yield from csv_rows(path, iter(lines), line_max=cut_at, columns=columns, needed=needed, delimiter=delimiter)


def _parquet(path: Path | str, needed: Sequence[str], meter: Meter | None) -> Iterator[Numbered]:
    """Rows in batches. Moments finer than microseconds are cut: Python knows none."""
    try:
        pyarrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise SettingsError("reading Parquet needs pyarrow: pip install 'streamer[parquet]'") from None
    if path == STDIN or Path(path).suffix == ".gz":
        raise SettingsError(f"{path}: Parquet is read from its end; give it as a plain file")
    try:
        file = parquet.ParquetFile(path, coerce_int96_timestamp_unit="us")
    except (OSError, pyarrow.ArrowException) as error:
        raise SettingsError(f"{path}: {error}") from None
    number = 0
    with file:
        check_columns(path, file.schema_arrow.names, needed)
        size, rows = Path(path).stat().st_size, max(1, file.metadata.num_rows)
        for batch in _batches(path, pyarrow, file):
            if meter is not None:
                meter.at(size * number // rows)
            for row in _rows_of(pyarrow, batch):
                number += 1
                yield number, row


def _batches(path: Path | str, pyarrow: Any, file: Any) -> Iterator[Any]:
    """The file's batches. One whose end is whole may be damaged in the middle."""
    count = 0
    try:
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            yield batch
            count += batch.num_rows
    except (OSError, pyarrow.ArrowException) as error:
        why = " ".join(f"{error}".split())
        raise HaltError(f"{path}: damaged after row {count} ({why}); get a whole copy and replay it from the start") from None


def _rows_of(pyarrow: Any, batch: Any) -> list[Row]:
    fields = [
        field.with_type(pyarrow.timestamp("us", field.type.tz))
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in batch.schema
    ]
    batch = batch.cast(pyarrow.schema(fields), safe=False)
    try:
        return cast("list[Row]", batch.to_pylist())
    except (ValueError, OverflowError):  # a moment that Python knows no date for, a text that is none
        columns = {name: [_cell(pyarrow, item) for item in column] for name, column in zip(batch.schema.names, batch.columns, strict=True)}
        return [{name: cells[index] for name, cells in columns.items()} for index in range(batch.num_rows)]


def _cell(pyarrow: Any, item: Any) -> Any:
    """What Python makes of a value, part by part where it makes nothing of the whole.

    Of a text that is not UTF-8 its bytes, which whoever reads them refuses; of a moment beyond the years 1 to 9999, or within a list finer
    than microseconds, its number and unit as text, which is no moment to anybody.
    """
    try:
        return item.as_py()
    except (ValueError, OverflowError):
        pass
    if isinstance(item, pyarrow.StructScalar):
        return {name: _cell(pyarrow, part) for name, part in item.items()}
    if isinstance(item, pyarrow.MapScalar):
        return [tuple(_cell(pyarrow, part) for part in pair.values()) for pair in item.values]
    if isinstance(item, (pyarrow.ListScalar, pyarrow.LargeListScalar, pyarrow.FixedSizeListScalar)):
        return [_cell(pyarrow, part) for part in item.values]
    if isinstance(item, pyarrow.DictionaryScalar):
        return _cell(pyarrow, item.value)
    if hasattr(item, "as_buffer"):
        return item.as_buffer().to_pybytes()
    return f"{item.value} {item.type}"
