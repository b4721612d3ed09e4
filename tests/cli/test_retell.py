"""``streamer shards retell``: what an audit wrote is told again on any machine."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streamer.customers.state import Membership, decode_state, encode_state
from streamer.flow.mismatch import Mismatch, encode_mismatch, retell
from streamer.flow.rules import Rules
from streamer.language.definitions import parse_definitions
from streamer.wire import LogRecord, definitions_control
from tests.cli.conftest import Run

SEEN = parse_definitions({"segments": {"seen": {"for": "x", "when": 'did("Product Viewed")'}}})
EVENT = b'{"event": "Product Viewed", "messageId": "m", "userId": "secret-name", "timestamp": 900}'
RECORDS = [LogRecord(0, 1_000, definitions_control(SEEN.content(), SEEN.digest, 1), control=True), LogRecord(7, 1_000, EVENT)]


def found() -> Mismatch:
    """As the worker writes it that found somebody outside who is inside by the log."""
    empty = Mismatch(0, 8, 1_000, "secret-name", Rules(shards=1), b"", None, [], RECORDS)
    told = retell(empty).state
    assert told is not None
    state = decode_state(told)
    state.members[0] = Membership(2, 0)
    return msgspec.structs.replace(empty, stored=encode_state(state), folded=told)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mismatch-0-8-1.json"
    path.write_bytes(encode_mismatch(found()))
    return path


def test_what_differs_is_named_and_nothing_of_the_customer_is_shown(run: Run, file: Path) -> None:
    """Without Kafka and without a store."""
    told = run("shards", "retell", file)
    assert told.code == 1
    assert told.out.splitlines() == [
        "shard 0 up to offset 8: one customer, 2 records",
        "this program comes to what the worker was told",
        "  differs: segment seen",
    ]
    assert "secret-name" not in told.out + told.err


def test_a_program_that_comes_to_what_the_store_had_says_so(run: Run, file: Path) -> None:
    """The release that mends a fault shows it by the files of the one before."""
    mismatch = found()
    assert mismatch.folded is not None
    file.write_bytes(encode_mismatch(msgspec.structs.replace(mismatch, stored=mismatch.folded)))
    told = run("shards", "retell", file)
    assert (told.code, "the fault is not here any more" in told.out) == (0, True)


def test_another_file_is_refused(run: Run, tmp_path: Path) -> None:
    """In a line that says what was expected; a file that is not there likewise."""
    other = tmp_path / "other.json"
    other.write_text('{"shard": 1}')
    for path in (other, tmp_path / "none.json"):
        told = run("shards", "retell", path)
        assert (told.code, told.out, told.err.count("\n")) == (3, "", 1)
