"""Files of events, as they really lie around: gzipped, cut off, without a header, from another system."""

from __future__ import annotations

import gzip
import importlib
import io
import sys
import tracemalloc
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from streamer.errors import HaltError, SettingsError
from streamer.events.adapters.columns import load_mapping
from streamer.events.adapters.outcome import Refusal
from streamer.events.event import Event
from streamer.transports.files.event_files import LINE_MAX, read

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("who", "what", "price")


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Writes bytes under a name and returns the path."""

    def write(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


# NDJSON


def test_lines_come_numbered_and_without_their_ends(written: Any) -> None:
    """The number is where somebody will look, so blank lines count although they say nothing."""
    path = written("events.ndjson", b'{"a":1}\n\n  \r\n{"a":2}\r\n[')
    assert list(read(path)) == [(1, b'{"a":1}'), (4, b'{"a":2}'), (5, b"[")]


@pytest.mark.parametrize("name", ["events.jsonl", "events.ndjson.gz", "events.2026-11.json"])
def test_the_format_is_known_by_the_suffix(written: Any, name: str) -> None:
    """Exports are gzipped more often than not."""
    content = b'{"a":1}\n'
    assert list(read(written(name, gzip.compress(content) if name.endswith(".gz") else content))) == [(1, b'{"a":1}')]


def test_standard_input_is_read_like_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a replay may stand at the end of a pipe; it is not ours to close."""
    stdin = io.BytesIO(b'{"a":1}\n{"a":2}\n')
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin))
    assert [number for number, _ in read("-")] == [1, 2]
    assert not stdin.closed


def test_a_line_without_end_is_cut_and_the_next_one_is_whole(written: Any) -> None:
    """A file that is no NDJSON at all must not be read into memory in one piece; cut, it is refused for its size."""
    path = written("events.ndjson", b"x" * (5 * LINE_MAX) + b"\n{}\n")
    (first, cut), second = read(path)
    assert (first, len(cut), second) == (1, LINE_MAX, (2, b"{}"))


def test_memory_does_not_grow_with_the_file(written: Any) -> None:
    """A year of events does not fit into memory, and need not."""
    path = written("rows.csv", b"who,what,price\n" + b"c-17,view,1\n" * 100_000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(path)) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


# CSV


def test_rows_come_under_the_names_of_the_header(written: Any) -> None:
    """With the number of the line in the file, header included."""
    path = written("rows.csv", b'who,what\r\nc-17,"a ""b"", c"\r\n\r\nc-18,d\r\n')
    assert list(read(path)) == [(2, {"who": "c-17", "what": 'a "b", c'}), (4, {"who": "c-18", "what": "d"})]


def test_a_row_over_several_lines_has_the_number_of_its_first(written: Any) -> None:
    """A description may hold a line end; the numbers after it must still be right."""
    path = written("rows.csv", b'who,what\nc-17,"a\nb"\nc-18,d\n')
    assert list(read(path)) == [(2, {"who": "c-17", "what": "a\nb"}), (4, {"who": "c-18", "what": "d"})]


@pytest.mark.parametrize("header", [b"who,what,price\n", b"price,who,what\n", b"\xef\xbb\xbfwho,what,price\n", b""])
def test_a_file_that_may_lack_its_header_is_read_either_way(written: Any, header: bytes) -> None:
    """Of one data set, October has a header and November has none; the first row must not be taken for it, nor be lost."""
    row = b"1,c-17,view\n" if header.startswith(b"price") else b"c-17,view,1\n"
    [(_, found)] = read(written("rows.csv", header + row), columns=COLUMNS)
    assert found == {"who": "c-17", "what": "view", "price": "1"}


def test_a_header_with_fewer_columns_is_still_one(written: Any) -> None:
    """Somebody has dropped the session from a copy of the file."""
    assert list(read(written("rows.csv", b"what,who\nview,c-17\n"), columns=COLUMNS)) == [(2, {"what": "view", "who": "c-17"})]


def test_a_line_that_does_not_split_into_the_columns_comes_as_it_lies(written: Any) -> None:
    """Too few cells or too many: to guess which is missing would put a price into the name."""
    path = written("rows.csv", b"who,what\nc-17\nc-18,a,b\nc-19,c\n")
    assert list(read(path)) == [(2, b"c-17\n"), (3, b"c-18,a,b\n"), (4, {"who": "c-19", "what": "c"})]


@pytest.mark.parametrize("rows_behind", [0, 1, 50_000])
def test_a_quote_that_is_never_closed_swallows_nothing(written: Any, rows_behind: int) -> None:
    """Only its own line is refused; up to 131,072 characters behind it used to lie within its cell."""
    path = written("rows.csv", b'who,what\nc-17,"oops\n' + b"c-18,d\n" * rows_behind)
    first, *others = read(path)
    assert first == (2, b'c-17,"oops\n')
    assert others == [(3 + number, {"who": "c-18", "what": "d"}) for number in range(rows_behind)]


def test_quotes_that_are_not_closed_do_not_pair_up(written: Any) -> None:
    """The second closes the first; what lies between them is no cell of anybody."""
    path = written("rows.csv", b'who,what\na,"x\nb,1\nc,"y\nd,2\ne,"f"\n')
    assert list(read(path)) == [
        (2, b'a,"x\n'),
        (3, {"who": "b", "what": "1"}),
        (4, b'c,"y\n'),
        (5, {"who": "d", "what": "2"}),
        (6, {"who": "e", "what": "f"}),
    ]


def test_a_row_of_which_the_end_was_cut_is_no_row(written: Any) -> None:
    """It splits into its columns all the same, the last of them shorter than it was."""
    names = b",".join(b"c%d" % number for number in range(10))
    row = b",".join([b"x" * 110_000] * 9) + b"," + b"y" * 120_000
    found = list(read(written("rows.csv", names + b"\n" + row + b"\n" + b",".join([b"z"] * 10) + b"\n")))
    assert len(row) > LINE_MAX
    assert [(number, type(what)) for number, what in found] == [(2, bytes), (3, dict)]


def test_an_inch_is_no_quote(written: Any) -> None:
    """Within a cell it is a letter; where it closes the cell too early its line is refused."""
    path = written("rows.csv", b'who,what\na,5" screen\nb,"24" screen, black"\nc,"24"" screen"\n')
    assert list(read(path)) == [
        (2, {"who": "a", "what": '5" screen'}),
        (3, b'b,"24" screen, black"\n'),
        (4, {"who": "c", "what": '24" screen'}),
    ]


def test_files_with_a_quote_in_every_line_are_read_in_one_go(written: Any) -> None:
    """Reading lines again must not take a time that grows with the square of their number."""
    path = written("rows.csv", b"who,what\n" + b'c-17,"oops\nc-18,d\n' * 20_000)
    kinds = [type(row) for _, row in read(path)]
    assert (len(kinds), kinds.count(bytes)) == (40_000, 20_000)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"who;when;what\n", 'separated by ";", not by ","; say delimiter: ";" in the mapping'),
        (b"who\twhen\twhat\n", 'separated by "\\t", not by ","; say delimiter: "\\t" in the mapping'),
        (b"who, when, what\n", "the header has ' when', with spaces around it"),
        (b"who,whn,what\n", "the mapping reads the column 'when', the header has 'who', 'whn', 'what'; did you mean 'whn'"),
        (b"c-17,1000,view\n", "the mapping reads the column 'who'"),
    ],
)
def test_a_column_that_is_not_there_is_told_before_the_first_row(written: Any, header: bytes, says: str) -> None:
    """A slip in a name is a property that is missing for ever, or a file of which every row is skipped."""
    with pytest.raises(SettingsError) as caught:
        list(read(written("rows.csv", header + b"c-17,1000,view\n"), needed=("who", "when", "what")))
    assert says in str(caught.value)


@pytest.mark.parametrize("header", [b"who;what;price\n", b"who,what,prize\n"])
def test_a_header_of_other_columns_is_not_taken_for_a_row(written: Any, header: bytes) -> None:
    """Of a file that may lack its header, one with another column would be a file of rows that do not split."""
    with pytest.raises(SettingsError, match=r"rows\.csv: (the columns are separated|the mapping lists other columns)"):
        list(read(written("rows.csv", header + b"c-17,view,1\n"), columns=COLUMNS))


def test_cells_may_be_separated_by_something_else(written: Any) -> None:
    """Where a comma is the mark of decimals, spreadsheets write semicolons."""
    path = written("rows.csv", b"who;price\nc-17;120,50\n")
    assert list(read(path, needed=("who", "price"), delimiter=";")) == [(2, {"who": "c-17", "price": "120,50"})]


# files that are something else


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["events.ndjson", "rows.csv"])
def test_utf_16_is_told_as_such(written: Any, name: str, encoding: str) -> None:
    """Otherwise each line of it is refused for itself, and for another reason."""
    with pytest.raises(SettingsError, match=r"expected UTF-8, found UTF-16; convert it: iconv"):
        list(read(written(name, '{"a":1}\n{"a":2}\n'.encode(encoding))))


@pytest.mark.parametrize(("name", "content"), [("events.ndjson", b'{"a":1}\r{"a":2}\r'), ("rows.csv", b"who,what\rc-17,view\r")])
def test_lines_of_old_macs_are_told_as_such(written: Any, name: str, content: bytes) -> None:
    """The whole file is one line to everybody else."""
    with pytest.raises(SettingsError, match="lines end with CR alone"):
        list(read(written(name, content)))


@pytest.mark.parametrize("content", [b'[{"a":1},{"a":2}]', b'\n [\n{"a":1},\n{"a":2}\n]\n', b"\xef\xbb\xbf[]"])
def test_a_json_array_is_no_file_of_lines(written: Any, content: bytes) -> None:
    """Of an array with an event a line only the last had counted: it alone has no comma behind it."""
    with pytest.raises(SettingsError, match=r"found a JSON array; take it apart: jq -c '\.\[\]'"):
        list(read(written("events.json", content)))


def test_marks_of_files_that_were_put_together_are_no_part_of_their_lines(written: Any) -> None:
    """``cat`` leaves the mark of the second file in the middle."""
    assert list(read(written("events.ndjson", b"\xef\xbb\xbf{}\n\xef\xbb\xbf{}\n"))) == [(1, b"{}"), (2, b"{}")]


@pytest.mark.parametrize("name", ["events.ndjson.gz", "rows.csv.gz"])
def test_an_archive_without_a_byte_is_no_archive(written: Any, name: str) -> None:
    """A download that failed leaves one; an empty file that was packed has twenty bytes."""
    with pytest.raises(HaltError, match="damaged: it has no bytes at all"):
        list(read(written(name, b"")))
    assert list(read(written(name, gzip.compress(b"")))) == []


def test_bytes_that_are_not_utf8_refuse_their_row_and_no_other(written: Any) -> None:
    """An old export in Latin-1 should say where, not end the replay."""
    row = b"2021-01-14 22:09:05 UTC,view,1,2,,%s,1.5,9,s\n"
    mapping = load_mapping("rees46")
    path = written("rows.csv", row % b"acme" + row % b"caf\xe9" + row % "café".encode())
    (_, first), (line, second), (_, third) = mapping.numbered(read(path, columns=mapping.columns))
    assert isinstance(second, Refusal)
    assert (line, second.reason) == (2, "bad_utf8")
    assert [item.properties and item.properties["brand"] for item in (first, third) if isinstance(item, Event)] == ["acme", "café"]


def test_a_column_that_stands_twice_is_a_setting_gone_wrong(written: Any) -> None:
    """One of the two would quietly win."""
    with pytest.raises(SettingsError, match="twice"):
        list(read(written("rows.csv", b"who,who\n1,2\n")))


# Parquet


def test_parquet_rows_come_with_their_types(tmp_path: Path) -> None:
    """Numbers stay numbers and moments moments; those of nanoseconds, as pandas writes them, are cut and not a crash."""
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    moments = pyarrow.array([1_500, None], pyarrow.timestamp("ns", tz="UTC"))
    table = pyarrow.table({"who": [17, 18], "price": [1.5, None], "when": moments, "tags": [["a"], []]})
    parquet.write_table(table, tmp_path / "rows.parquet")
    moment = datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert list(read(tmp_path / "rows.parquet")) == [
        (1, {"who": 17, "price": 1.5, "when": moment, "tags": ["a"]}),
        (2, {"who": 18, "price": None, "when": None, "tags": []}),
    ]


def test_moments_that_python_has_no_date_for_end_no_replay(tmp_path: Path) -> None:
    """The year 30000 of a garbled export is refused with its row; the rows beside it are read."""
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    moments = pyarrow.array([0, 884_541_600_000_000], pyarrow.timestamp("ms"))
    parquet.write_table(pyarrow.table({"who": ["a", "b"], "when": moments}), tmp_path / "rows.parquet")
    first, second = read(tmp_path / "rows.parquet", needed=("who", "when"))
    assert first == (1, {"who": "a", "when": datetime(1970, 1, 1)})  # noqa: DTZ001 - the file names no zone
    assert isinstance(second[1], dict)
    assert str(second[1]["when"]).startswith("884541600000000")


def test_a_column_that_parquet_does_not_have_is_told(tmp_path: Path) -> None:
    """As for CSV."""
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"who": ["a"]}), tmp_path / "rows.parquet")
    with pytest.raises(SettingsError, match="the mapping reads the column 'what', the header has 'who'"):
        list(read(tmp_path / "rows.parquet", needed=("who", "what")))


def test_a_column_that_stands_twice_in_parquet_is_a_setting_gone_wrong(tmp_path: Path) -> None:
    """The last of them had quietly won: events went to other customers."""
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    table = pyarrow.Table.from_arrays([pyarrow.array(["a"]), pyarrow.array(["b"])], names=["who", "who"])
    parquet.write_table(table, tmp_path / "rows.parquet")
    with pytest.raises(SettingsError, match="the column 'who' stands twice"):
        list(read(tmp_path / "rows.parquet", needed=("who",)))


def test_parquet_that_is_damaged_in_the_middle_halts(tmp_path: Path) -> None:
    """Its end is whole, so it opens; what was read before the damage is not the whole story."""
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    file = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table({"who": [f"customer {number}" for number in range(4_000)]}), file, row_group_size=1_000)
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 300] = b"\xff" * 300
    file.write_bytes(content)
    rows = read(file)
    assert next(rows) == (1, {"who": "customer 0"})
    with pytest.raises(HaltError, match=r"rows\.parquet: damaged after row [0-9]+ \(.+\); get a whole copy"):
        list(rows)


def test_a_text_of_parquet_that_is_not_utf_8_is_its_bytes(tmp_path: Path) -> None:
    """It had become the text of an address in memory, another in each run, and that a customer's id; whoever reads bytes refuses them."""
    pyarrow: Any = pytest.importorskip("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    ends = pyarrow.array([0, 1, 2], pyarrow.int32()).buffers()[1]
    texts = pyarrow.Array.from_buffers(pyarrow.utf8(), 2, [None, ends, pyarrow.py_buffer(b"a\xff")])
    lists = pyarrow.ListArray.from_arrays(pyarrow.array([0, 1, 2], pyarrow.int32()), texts)
    table = pyarrow.table({"who": texts, "tags": lists, "at": pyarrow.StructArray.from_arrays([texts], names=["place"])})
    parquet.write_table(table, tmp_path / "rows.parquet")
    assert [row for _, row in read(tmp_path / "rows.parquet")] == [
        {"who": "a", "tags": ["a"], "at": {"place": "a"}},
        {"who": b"\xff", "tags": [b"\xff"], "at": {"place": b"\xff"}},
    ]


def test_blank_lines_before_the_header_are_no_rows(written: Any) -> None:
    """They were counted as refused, each as a row without a moment."""
    assert [row for _, row in read(written("rows.csv", b"\n\r\nwho\n\na\n"))] == [{"who": "a"}]


def test_without_pyarrow_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional: it is larger than everything else together."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingsError, match=r"streamer\[parquet\]"):
        list(read("rows.parquet"))


@pytest.mark.parametrize("path", ["-", "rows.parquet.gz"])
def test_parquet_that_cannot_be_read_from_its_end_is_refused(path: str) -> None:
    """Its table of contents stands last."""
    with pytest.raises(SettingsError, match="from its end"):
        list(read(path, file_format="parquet"))


# files that are not there, or not whole


@pytest.mark.parametrize("name", ["absent.csv", "absent.csv.gz", "absent.ndjson", "absent.parquet"])
def test_a_file_that_is_not_there_is_a_setting_gone_wrong(tmp_path: Path, name: str) -> None:
    """The operator mistyped it; nothing was started."""
    with pytest.raises(SettingsError, match="No such file"):
        list(read(tmp_path / name))


@pytest.mark.parametrize("name", ["events", "events.xml", "events.gz", "events.csv.zip"])
def test_a_file_of_unknown_format_is_asked_about(name: str) -> None:
    """To guess by the content would be wrong on the one file that matters."""
    with pytest.raises(SettingsError, match="what format"):
        read(name)


@pytest.mark.parametrize("damage", ["cut", "garbled"])
@pytest.mark.parametrize("name", ["events.ndjson.gz", "rows.csv.gz"])
def test_a_damaged_archive_stops_the_replay_and_says_where(written: Any, name: str, damage: str) -> None:
    """A download that broke off looks like a short file; taken for the whole story, everybody after it never bought."""
    packed = bytearray(gzip.compress(b"".join(b"c-%d,%d\n" % (n, n * n) for n in range(50_000))))
    path = written(name, bytes(packed[: len(packed) // 2] if damage == "cut" else packed[:-8] + bytes(8)))
    with pytest.raises(HaltError, match=r"damaged after line \d+"):
        list(read(path))


def test_a_text_file_named_gz_is_damaged_from_the_start(written: Any) -> None:
    """Some tools unpack and keep the name."""
    with pytest.raises(HaltError, match="damaged after line 0"):
        list(read(written("events.ndjson.gz", b'{"a":1}\n')))
