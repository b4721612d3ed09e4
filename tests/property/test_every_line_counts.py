"""No line of a file is lost in silence: each is an event, or refused or skipped for a reason, exactly once."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamer.cli.event_source import EventSource, Rejected
from streamer.errors import SettingsError
from streamer.events.admission import REASONS

MAPPING = """
format: csv
customer: who
timestamp: {column: when, format: [iso, ms]}
event: {column: what}
message_id: row
skip_if_empty: [who]
properties: {note: note}
"""
HEADER = b"who,when,what,note\n"
GOOD_ROWS = (b"a,2026-03-01T10:00:00Z,A,x\n", b'b,1772359200000,B,"two words"\n', b",2026-03-01,A,\n")
BAD_ROWS = (
    b'a,2026-03-01,A,"x\n',
    b"a,1772359200,A,x\n",
    b"a,2026-03-01,A\n",
    b'a,2026-03-01,A,"24" x"\n',
    b"\xff,\xff,\xff,\xff\n",
)
GOOD_LINES = (
    b'{"event":"A","messageId":"1","userId":"u","timestamp":"2026-03-01T10:00:00Z"}\n',
    b'{"event":"A","messageId":"2","userId":"u","timestamp":1772359200000,"properties":[],"x":NaN}\n',
)
BAD_LINES = (b"{}\n", b"[1]\n", b"null\n", b"\x00\x00\n", b'{"batch":[]}\n', b'{"event":"A"\n', b"\xef\xbb\xbf{}\r\n", b"\xff\n", b'"\r"\n')

rows = st.lists(st.sampled_from(GOOD_ROWS + BAD_ROWS), max_size=12)
lines = st.lists(st.sampled_from(GOOD_LINES + BAD_LINES), max_size=12)


def counted(name: str, content: bytes, mapping: str | None = None) -> Counter[int]:
    """How often each line of a file comes out, one way or the other."""
    with tempfile.TemporaryDirectory() as folder:
        file, found = Path(folder) / name, Counter[int]()
        file.write_bytes(content)
        if mapping is not None:
            (Path(folder) / "map.yaml").write_text(mapping, encoding="utf-8")

        def reject(refused: Rejected) -> None:
            assert refused.reason in REASONS
            found[refused.line] += 1

        source = EventSource([str(file)], mapping_name=None if mapping is None else str(Path(folder) / "map.yaml"))
        found.update(arrival.line for arrival in source.log(reject))
        return found


@given(rows)
@example([BAD_ROWS[0], GOOD_ROWS[0], BAD_ROWS[0], GOOD_ROWS[1]])
def test_every_row_of_a_table_counts_once(written: list[bytes]) -> None:
    """Quotes that do not pair up, cells that are missing, bytes that are no text, in any order."""
    assert counted("rows.csv", HEADER + b"".join(written), MAPPING) == Counter(range(2, len(written) + 2))


@given(st.lists(st.sampled_from([b'"', b"a", b",", b"\n", b"x\n", b'",', b',"']), max_size=40))
def test_every_line_of_a_hostile_table_lies_in_a_row_that_counts(parts: list[bytes]) -> None:
    """A row may take several lines; then the next begins where it ends, and none lies in two."""
    content = b"".join(parts)
    number_of_lines = content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
    found = counted("rows.csv", HEADER + content, MAPPING)
    assert set(found.values()) <= {1}
    assert all(2 <= line < number_of_lines + 2 for line in found)


@given(lines)
def test_every_line_of_events_counts_once(written: list[bytes]) -> None:
    """Whatever it holds; only a whole file that begins as an array is refused at once, and says so."""
    if written[:1] == [b"[1]\n"]:
        with pytest.raises(SettingsError, match="JSON array"):
            counted("events.ndjson", b"".join(written))
    else:
        assert counted("events.ndjson", b"".join(written)) == Counter(range(1, len(written) + 1))
