"""Files of events, read for a replay: NDJSON, CSV and Parquet, also gzipped, also from standard input.

Memory is bounded whatever the file: lines, rows and batches come one by one, and a line that does not end is cut. Lines are numbered as
an editor numbers them, rows of Parquet from 1. Nothing here knows what an event is: NDJSON comes as bytes, a table as rows, and a line
that does not split into the columns of its table as bytes too, for whoever refuses it.

A file that cannot be opened is a ``SettingsError``. A file that breaks off in the middle (a truncated gzip) is a ``HaltError``: what was
read is not the whole story.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import sys
import zlib
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, cast

from streamer.errors import HaltError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

Format = Literal["ndjson", "csv", "parquet"]
Row = dict[str, Any]
Numbered = tuple[int, Row | bytes]

STDIN: Final = "-"
LINE_MAX: Final = (
    1 << 20
) + 1  # bytes kept of one line: one more than any reader of lines accepts, so that it refuses and does not misread
BATCH_ROWS: Final = 1_000
METERED_LINES: Final = 1_000
BOM: Final = b"\xef\xbb\xbf"
SUFFIXES: Final[dict[str, Format]] = {".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson", ".csv": "csv", ".parquet": "parquet"}


def read(
    path: Path | str, *, file_format: Format | None = None, columns: Sequence[str] = (), meter: Meter | None = None
) -> Iterator[Numbered]:
    """(number, line or row) of everything in the file, in its order.

    The format is that of the suffix unless given; ``-`` is standard input, NDJSON unless given. ``columns`` are the names for CSV files
    that may come without a header: their first line is a header only if each of its cells is one of these names. ``meter`` is told
    now and then how far the reading has come.
    """
    match file_format or _format_of(path):
        case "ndjson":
            return _ndjson(path, meter)
        case "csv":
            return _csv(path, columns, meter)
        case "parquet":
            return _parquet(path, meter)


def _format_of(path: Path | str) -> Format:
    if path == STDIN:
        return "ndjson"
    suffixes = [suffix for suffix in Path(path).suffixes if suffix != ".gz"]
    found = SUFFIXES.get(suffixes[-1]) if suffixes else None
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


class _Lines:
    """The lines of a stream, cut at ``LINE_MAX``; remembers the number and the bytes of the last one."""

    def __init__(self, stream: IO[bytes], meter: Meter | None) -> None:
        self.number = 0
        self.last = b""
        self._stream = stream
        self._meter = meter
        self._on_disk: Any = getattr(stream, "fileobj", stream)  # of a gzip the file that is unpacked

    def __iter__(self) -> Iterator[bytes]:
        while line := self._stream.readline(LINE_MAX):
            # Editors on Windows begin a file with a mark of the order of bytes: no part of the text.
            self.last = line if self.number else line.removeprefix(BOM)
            self.number += 1
            if self._meter is not None and self.number % METERED_LINES == 0:
                self._meter.at(self._on_disk.tell())
            while len(line) == LINE_MAX and not line.endswith(b"\n"):
                line = self._stream.readline(LINE_MAX)
            yield self.last


@contextmanager
def _lines_of(path: Path | str, meter: Meter | None) -> Generator[_Lines]:
    """The lines of the file, unpacked. Standard input stays open: it is not ours."""
    with _opened(path) as stream:
        lines = _Lines(stream, None if path == STDIN else meter)
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
        return cast("IO[bytes]", gzip.open(path)) if Path(path).suffix == ".gz" else Path(path).open("rb")
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None


def _ndjson(path: Path | str, meter: Meter | None) -> Iterator[Numbered]:
    """Lines without their ends. Blank lines say nothing, but count."""
    with _lines_of(path, meter) as lines:
        for line in lines:
            if not line.isspace():
                yield lines.number, line.rstrip(b"\r\n")


def _csv(path: Path | str, columns: Sequence[str], meter: Meter | None) -> Iterator[Numbered]:
    """Rows under the names of the header. Bytes that are not UTF-8 become halves of surrogate pairs, which no event may carry."""
    with _lines_of(path, meter) as lines:
        reader = csv.reader(line.decode("utf-8", "surrogateescape") for line in lines)
        header: list[str] = []
        while True:
            number = lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:  # a cell of more than 131,072 characters: a quote was opened and never closed
                yield number, lines.last
                continue
            if not header and cells:
                header = _header(path, cells, columns)
                if header == cells:
                    continue
            if cells:
                yield number, dict(zip(header, cells, strict=True)) if len(cells) == len(header) else lines.last


def _header(path: Path | str, cells: list[str], columns: Sequence[str]) -> list[str]:
    """The names of the columns, by the first line: itself, or ``columns`` if it is a row already."""
    header = cells if not columns or set(cells) <= set(columns) else list(columns)
    if len(set(header)) < len(header):
        raise SettingsError(f"{path}: a column stands twice in the header")
    return header


def _parquet(path: Path | str, meter: Meter | None) -> Iterator[Numbered]:
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
        size, rows = Path(path).stat().st_size, max(1, file.metadata.num_rows)
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            if meter is not None:
                meter.at(size * number // rows)
            for row in _rows_of(pyarrow, batch):
                number += 1
                yield number, row


def _rows_of(pyarrow: Any, batch: Any) -> list[Row]:
    fields = [
        field.with_type(pyarrow.timestamp("us", field.type.tz))
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns"
        else field
        for field in batch.schema
    ]
    return cast("list[Row]", batch.cast(pyarrow.schema(fields), safe=False).to_pylist())
