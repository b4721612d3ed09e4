"""A record that is refused is put aside whole, with the reason and the place, and the shard goes on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from streamer.errors import StoreUnavailableError
from streamer.events.admission import REASONS
from streamer.events.dead_letter import raw_of, read_dead_letter
from streamer.flow.catalog import Plans
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import Definitions, content_digest
from streamer.stores.memory import MemoryStore
from streamer.wire import DEAD_LETTERS, DEAD_RAW_MAX, DeadLetter, LogRecord, Output, definitions_control

SCHEMA = json.loads((Path(__file__).parents[3] / "schemas" / "dead-letter.v1.json").read_text(encoding="utf-8"))
conforms = jsonschema_rs.Draft202012Validator(SCHEMA).validate

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SKEW_MS, LATENESS_MS = Rules().skew_ms, Rules().lateness_ms
ACCEPTED, DUPLICATE = "accepted", "duplicate"


def event(**fields: Any) -> bytes:
    """A right event, but for ``fields``; None takes a field out."""
    right = {"event": "Cart Viewed", "messageId": "m-1", "userId": "c-17", "timestamp": NOW_MS}
    return json.dumps({key: value for key, value in {**right, **fields}.items() if value is not None}).encode()


def about(properties: bytes) -> bytes:
    """A right event with these properties, which need not be JSON."""
    return event()[:-1] + b', "properties": ' + properties + b"}"


RECORDS: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "not_json", "$"),
    "null": (b"null", "not_an_object", "$"),
    "a list": (b"[1]", "not_an_object", "$"),
    "a number": (b"17", "not_an_object", "$"),
    "half a record": (event()[:-9], "not_json", "$"),
    "bytes that are no text": (b"\x80\xff\x00\x01", "bad_utf8", "$"),
    "a text that is not UTF-8": (about(b'{"name": "M\xfcller"}'), "bad_utf8", "$"),
    "half of a surrogate pair": (event(userId="\ud83d"), "bad_utf8", "$.userId"),
    "65,537 bytes": (event(event="E" * 65_500)[:65_500].ljust(65_537), "too_large", "$"),
    "a megabyte": (b"x" * 1_000_000, "too_large", "$"),
    "33 deep": (about(b'{"a": ' + b"[" * 31 + b"]" * 31 + b"}"), "too_deep", "$.properties.a" + "[0]" * 30),
    "100,000 deep": (b"[" * 50_000, "too_deep", "$"),
    "NaN": (about(b'{"price": NaN}'), ACCEPTED, ""),
    "Infinity": (about(b'{"price": -Infinity}'), ACCEPTED, ""),
    "1e999": (about(b'{"price": 1e999}'), ACCEPTED, ""),
    "2^70": (about(b'{"price": 1180591620717411303424}'), ACCEPTED, ""),
    "no messageId": (event(messageId=None), "missing_message_id", "$.messageId"),
    "an empty messageId": (event(messageId=""), "missing_message_id", "$.messageId"),
    "no id": (event(userId=None), "missing_id", "$.userId"),
    "empty ids": (event(userId="", anonymousId=""), "missing_id", "$.userId"),
    "an id that is a number": (event(userId=17), "wrong_type", "$.userId"),
    "an id of 257 characters": (event(userId="c" * 257), "bad_text", "$.userId"),
    "an id that forges a line of a log": (event(userId="c\nERROR"), "bad_text", "$.userId"),
    "a placeholder": (event(userId="undefined"), "placeholder_id", "$.userId"),
    "a placeholder for a visitor": (event(userId=None, anonymousId=" NULL "), "placeholder_id", "$.anonymousId"),
    "a placeholder beside an id": (event(userId="[object Object]", anonymousId="a-1"), ACCEPTED, ""),
    "no name": (event(event=None), "missing_event_name", "$.event"),
    "a name that is an object": (event(event={"a": 1}), "wrong_type", "$.event"),
    "properties that are a list": (event(properties=[1]), "wrong_type", "$.properties"),
    "a type that we do not know": (event(type="purchase"), "unknown_type", "$.type"),
    "an alias that says no other id": (event(type="alias"), "bad_alias", "$.properties.previousId"),
    "an alias of a number": (event(type="alias", properties={"previousId": 5}), "bad_alias", "$.properties.previousId"),
    "an alias to oneself": (event(type="alias", properties={"previousId": "c-17"}), "bad_alias", "$.properties.previousId"),
    "an alias of a placeholder": (event(type="alias", properties={"previousId": "null"}), "placeholder_id", "$.properties.previousId"),
    "an alias that forges a line": (event(type="alias", properties={"previousId": "c\nERROR"}), "bad_text", "$.properties.previousId"),
    "an alias of 257 characters": (event(type="alias", properties={"previousId": "c" * 257}), "bad_text", "$.properties.previousId"),
    "an alias to nobody": (event(type="alias", userId=None, anonymousId="a", properties={"previousId": "b"}), "bad_alias", "$.userId"),
    "an alias to a placeholder": (
        event(type="alias", userId="null", anonymousId="a", properties={"previousId": "b"}),
        "bad_alias",
        "$.userId",
    ),
    "no timestamp": (event(timestamp=None), "bad_timestamp", "$.timestamp"),
    "a timestamp that cannot be read": (event(timestamp="yesterday"), "bad_timestamp", "$.timestamp"),
    "a timestamp without a zone": (event(timestamp="2026-01-01T00:00:00"), "bad_timestamp", "$.timestamp"),
    "seconds": (event(timestamp=NOW_MS // 1_000), "epoch_seconds", "$.timestamp"),
    "the body of a batch": (b'{"batch": [], "sentAt": "2026-01-01T00:00:00Z"}', "batch_body", "$.batch"),
    "from the future": (event(timestamp=NOW_MS + SKEW_MS + 1), "future", "$.timestamp"),
    "too late": (event(timestamp=NOW_MS - LATENESS_MS), "late", "$.timestamp"),
    "a clock that runs ahead": (event(timestamp=NOW_MS + SKEW_MS), ACCEPTED, ""),
    "just in time": (event(timestamp=NOW_MS - LATENESS_MS + 1), ACCEPTED, ""),
    "empty lists for empty objects": (event(properties=[], traits=[], context=[]), ACCEPTED, ""),
    "a key written twice": (about(b'{"price": 1, "price": 2}'), ACCEPTED, ""),
    "foreign fields": (event(receivedAt="whenever", version=7), ACCEPTED, ""),
}
CONTROLS: dict[str, tuple[bytes, str, str]] = {
    "no control record": (b"{}", "bad_control", "$"),
    "an unknown control": (b'{"control": "stop"}', "bad_control", "$"),
    "an erasure of nobody": (b'{"control": "erase"}', "bad_control", "$.customer"),
    "definitions that are not packed": (
        b'{"control": "definitions", "version": 1, "digest": "d", "packed": "AAAA"}',
        "bad_control",
        "$.packed",
    ),
    "definitions under another name": (
        definitions_control(Definitions(()).content(), "0" * 32, 1),
        "bad_control",
        "$.digest",
    ),
    "definitions that are no text": (definitions_control(b"\xff\xfe", content_digest(b"\xff\xfe"), 1), "bad_control", "$.packed"),
    "two megabytes": (b" " * 2_000_000, "too_large", "$"),
}


async def new_shard() -> Shard:
    """A shard at NOW_MS, without segments."""
    given = Rules(shards=1)
    store = MemoryStore()
    shard = await Shard.acquire(0, store, Plans(store, given), given, pause=_never)
    await shard.process([LogRecord(0, NOW_MS, b'{"control":"tick"}', control=True)])
    return shard


async def _never(_seconds: float) -> None:
    raise StoreUnavailableError("a store in memory does not come and go")


async def outputs_of(shard: Shard, *values: bytes, control: bool = False) -> list[Output]:
    """What the shard puts out for these records."""
    at = shard.position.offset
    records = [LogRecord(at + index, NOW_MS, value, control=control) for index, value in enumerate(values)]
    return [output for _, outputs in await shard.process(records) for output in outputs]


def letter_in(outputs: list[Output]) -> DeadLetter:
    """The one dead letter, checked against its schema."""
    [output] = outputs
    assert output.topic == DEAD_LETTERS
    conforms(json.loads(output.value))
    return read_dead_letter(output.value)


@pytest.mark.parametrize("name", RECORDS)
async def test_a_record_is_accepted_or_put_aside_whole(name: str) -> None:
    """Whoever mends the producer needs the reason, the place and every byte; the next record has done nothing wrong."""
    raw, reason, path = RECORDS[name]
    shard = await new_shard()
    outputs = await outputs_of(shard, raw)
    if reason == ACCEPTED:
        assert outputs == []
    else:
        letter = letter_in(outputs)
        assert (letter.reason, letter.path) == (reason, path)
        assert raw_of(letter) == raw[:DEAD_RAW_MAX]
        assert letter.origin is not None
        assert (letter.origin.topic, letter.origin.partition, letter.origin.offset) == ("events", 0, 1)
        assert letter.at == "2026-01-01T00:00:00.000Z"
    assert shard.body.counts == {reason: 1}
    assert await outputs_of(shard, event(messageId="the next one")) == []
    assert shard.body.counts[ACCEPTED] == 1 + (reason == ACCEPTED)


@pytest.mark.parametrize("name", CONTROLS)
async def test_a_damaged_control_record_is_put_aside_too(name: str) -> None:
    """It can only come from us or from an attacker: in both cases somebody must see it, and the shop goes on."""
    raw, reason, path = CONTROLS[name]
    shard = await new_shard()
    letter = letter_in(await outputs_of(shard, raw, control=True))
    assert (letter.reason, letter.path) == (reason, path)
    assert raw_of(letter) == raw[:DEAD_RAW_MAX]
    assert await outputs_of(shard, event()) == []


async def test_accepted_duplicates_and_refused_are_all_that_was_received() -> None:
    """Nothing disappears."""
    shard = await new_shard()
    raws = [raw.replace(b'"m-1"', f'"m-{number}"'.encode()) for number, (raw, _, _) in enumerate(RECORDS.values())]
    outputs = await outputs_of(shard, *raws, *raws)
    wanted = Counter(reason for _, reason, _ in RECORDS.values())
    again = Counter({DUPLICATE if reason == ACCEPTED else reason: number for reason, number in wanted.items()})
    assert shard.body.counts == wanted + again
    assert sum(shard.body.counts.values()) == len(raws) * 2
    assert len(outputs) == 2 * (len(raws) - wanted[ACCEPTED])
    assert [output.ordinal for output in outputs] == [0] * len(outputs)


def test_every_reason_of_bytes_and_fields_is_tried_here() -> None:
    """A reason that no record earns is a promise nobody has looked at."""
    elsewhere = {"bad_example", "bad_model", "wrong_shard", "unknown_format"}  # forwarded; adapters
    elsewhere |= {"not_a_row", "not_finite", "ahead", "skipped"}  # files
    elsewhere |= {"too_many_hops"}  # of linked ids: test_identity
    elsewhere |= {"bad_signature", "replayed"}  # where keys hold: test_signed
    elsewhere |= {"not_allowed"}  # refused by a collector, before the log
    elsewhere |= {"fault", "passed_over"}  # decided about a place in the log, whatever lies there: test_isolation
    tried = {reason for _, reason, _ in (*RECORDS.values(), *CONTROLS.values())}
    assert tried - {ACCEPTED} == set(REASONS) - elsewhere


async def test_no_number_of_refused_records_stops_a_shard() -> None:
    """Anybody can send bad lines; what is right between them counts all the same, and each bad one is a dead letter at once."""
    shard = await new_shard()
    outputs = await outputs_of(shard, *[b"{}"] * 1_000, event())
    assert len(outputs) == 1_000
    assert shard.body.counts == {"missing_message_id": 1_000, ACCEPTED: 1}


@pytest.mark.parametrize(
    ("raw", "customer", "producer"),
    [
        (event(event=5), b"c-17", ""),
        (event(userId=None, anonymousId="a-1", messageId=None), b"a-1", ""),
        (event(messageId=None, context={"library": {"name": "analytics-php", "version": "3.8.0"}}), b"c-17", "analytics-php 3.8.0"),
        (event(messageId=None, context={"library": {"name": "x\nERROR"}}), b"c-17", ""),
        (event(userId=["c-17"]), b"the key", ""),
        (b"{", b"the key", ""),
    ],
)
async def test_a_dead_letter_says_whose_it_is_and_who_wrote_it(raw: bytes, customer: bytes, producer: str) -> None:
    """Letters of one customer are found by their key, those of one release by its name; else the record's own key stays."""
    shard = await new_shard()
    [(_, outputs)] = await shard.process([LogRecord(1, NOW_MS, raw, key=b"the key")])
    assert outputs[0].key == customer
    assert letter_in(list(outputs)).producer == producer


async def test_where_the_program_is_not_named_the_write_key_says_where_a_record_came_from() -> None:
    """Not all of it: who reads dead letters need not be able to write as that source."""
    shard = await new_shard()
    [(_, outputs)] = await shard.process([LogRecord(1, NOW_MS, b"{", headers=(("Write-Key", b"abcdefgh-secret"),))])
    assert letter_in(list(outputs)).producer == "write key abcdefgh…"
