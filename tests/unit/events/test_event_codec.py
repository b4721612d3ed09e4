"""What bytes are an event, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from event_strategies import nearly_right, right
from hypothesis import assume, example, given
from hypothesis import strategies as st

from streamer.errors import RefusedError
from streamer.events.admission import REASONS, SIZE_MAX
from streamer.events.codec import NO_BRACKETS, decode, encode, from_fields, from_json, nesting, read_json, read_object
from streamer.events.event import Event

RIGHT: dict[str, Any] = {"event": "Cart Viewed", "messageId": "m-1", "userId": "c-17", "timestamp": 1_000}
ABSENT = object()
NESTED: list[Any] = json.loads("[" * 40 + "]" * 40)


def raw(**changes: Any) -> bytes:
    """The bytes of a right event with these fields changed, or taken away."""
    return json.dumps({key: value for key, value in {**RIGHT, **changes}.items() if value is not ABSENT}).encode()


def refusal(record: bytes) -> tuple[str, str]:
    """Reason and place for which ``record`` is refused."""
    with pytest.raises(RefusedError) as caught:
        decode(record)
    return caught.value.reason, caught.value.path


def outcome(record: bytes) -> Event | str:
    """The event, or the reason why there is none."""
    try:
        return decode(record)
    except RefusedError as error:
        return error.reason


# what an event says


def test_an_event_without_a_type_is_a_track_event() -> None:
    """The one kind of event that every shop sends should need the fewest words."""
    event = decode(raw())
    assert (event.type, event.name) == ("track", "Cart Viewed")


def test_an_event_of_another_type_is_named_by_its_type() -> None:
    """Rules speak of "page" or "identify"; a page event that also carries an event name is no event of that name."""
    assert decode(raw(type="page", event="Cart Viewed")).name == "page"


def test_the_customer_is_the_user_and_else_the_anonymous_visitor() -> None:
    """Once somebody has logged in, their history belongs to the account and not to the browser."""
    assert decode(raw(anonymousId="a-9")).customer == "c-17"
    assert decode(raw(userId=ABSENT, anonymousId="a-9")).customer == "a-9"


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_id_is_no_id(empty: str | None) -> None:
    """SDKs send an empty userId for visitors who are not logged in; they must not all become one customer."""
    event = decode(raw(userId=empty, anonymousId="a-9"))
    assert (event.user_id, event.customer) == (None, "a-9")


def test_null_is_the_same_as_nothing() -> None:
    """The language says so of properties; for whole sections it would be strange to say otherwise."""
    assert decode(raw()) == decode(raw(properties=None, traits=None, context=None, anonymousId=None))


def test_fields_we_do_not_know_are_ignored() -> None:
    """A producer may be a version ahead of us, and Segment's messages carry more than we read."""
    assert decode(raw()) == decode(raw(sentAt="whenever", integrations={"All": True}, version=2))


def test_of_a_key_written_twice_the_last_counts() -> None:
    """JSON leaves it open; the two ways of reading must at least agree, in every place."""
    twice = b'{"userId":"a","userId":"c-17","event":"E","messageId":"m","timestamp":1,"properties":{"x":1,"x":2}}'
    assert (decode(twice).customer, decode(twice).properties) == ("c-17", {"x": 2})
    assert decode(twice) == from_fields(read_object(twice))


# time


@pytest.mark.parametrize(
    ("written", "expected_ms"),
    [
        (0, 0),
        (1_771_885_735_387, 1_771_885_735_387),
        (1_771_885_735_387.0, 1_771_885_735_387),
        ("1970-01-01T00:00:00Z", 0),
        ("2026-02-23T22:28:55.387Z", 1_771_885_735_387),
        ("2026-02-24T03:58:55.387+05:30", 1_771_885_735_387),
        ("2026-02-23T22:28:55.387999Z", 1_771_885_735_387),
        ("2026-02-23t22:28:55z", 1_771_885_735_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("2017-01-01T05:29:60.250+05:30", 1_483_228_800_250),
        (99_999_999, 99_999_999),
        (100_000_000_000, 100_000_000_000),
    ],
)
def test_a_timestamp_becomes_whole_milliseconds(written: object, expected_ms: int) -> None:
    """Windows are exact to the millisecond, so the conversion must be too: integers all the way, rounding down."""
    assert expected_ms == decode(raw(timestamp=written)).timestamp_ms


NO_INSTANTS: list[object] = [
    *("2026-02-23T22:28:55", "2026-02-23T22:28Z", "2026-02-23", "2026-02-30T00:00:00Z", "2026-02-23T24:00:00Z", "2016-12-31T12:00:60Z"),
    *("1969-12-31T23:59:59.999Z", "1970-01-01T00:30:00+01:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z"),
    *("9999-12-31T23:59:60Z", "2016-12-31T23:59:61Z", float("nan"), float("inf"), 2**70, 1e300),
    *("NOW", "", "1771885735387", 1.5, True, -1, 253_402_300_800_000, 2**63 - 1, [], {}, None, ABSENT),
]


@pytest.mark.parametrize("written", NO_INSTANTS)
def test_a_timestamp_that_is_not_an_instant_is_refused(written: object) -> None:
    """A time without a zone is anybody's guess, and a guess puts a purchase into the wrong window."""
    assert refusal(raw(timestamp=written)) == ("bad_timestamp", "$.timestamp")


@pytest.mark.parametrize("written", [100_000_000, 1_772_359_200, 1_772_359_200.0, 1_772_359_200.25, 99_999_999_999])
def test_seconds_are_no_milliseconds_of_1970(written: float) -> None:
    """Read as milliseconds, the carts of today would be left in January 1970, and a second would last a millisecond."""
    assert refusal(raw(timestamp=written)) == ("epoch_seconds", "$.timestamp")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (1_772_359_200, "looks like seconds; milliseconds or RFC 3339 text expected"),
        (1_772_359_200_000_000, "are they microseconds or nanoseconds?"),
        ("1772359200000", "a number as a text"),
        ("2026-03-01", "a date without a time"),
        ("2026-03-01T10:00:00", "a time without a zone"),
        (ABSENT, "absent"),
        (1_772_359_200_000.5, "a fraction"),
        ("1969-12-31T23:59:59Z", "outside 1970 to 9999"),
        ("soon", "neither RFC 3339 text with a zone nor whole milliseconds"),
    ],
)
def test_a_refused_timestamp_says_what_it_looks_like(written: object, says: str) -> None:
    """A producer who sends seconds, or leaves the zone out, finds the slip by reading one dead letter."""
    with pytest.raises(RefusedError) as caught:
        decode(raw(timestamp=written))
    assert says in caught.value.detail


def test_a_moment_of_1970_survives_the_log() -> None:
    """Written as a number of milliseconds it would look like seconds."""
    event = decode(raw(timestamp="1971-02-03T04:05:06.007Z"))
    assert decode(encode(event)) == event


# parts that nobody may ever read


@pytest.mark.parametrize("key", ["properties", "traits", "context"])
def test_an_empty_array_is_an_empty_object(key: str) -> None:
    """PHP writes an empty map so; no customer's event is lost for it."""
    event = decode(raw(**{key: []}))
    assert getattr(event, key) == {}
    assert event == decode(encode(event))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("9223372036854775807", 9_223_372_036_854_775_807),
        ("9" * 256, "9" * 256),
        ("9" * 257, None),
        ("9" * 5_000, None),
        ("NaN", None),
        ("-Infinity", None),
        ("1e999", None),
        ('"shoes \\ud83d"', "shoes \ufffd"),
    ],
)
@pytest.mark.parametrize("where", ['{"x":%s}', '{"x":[[{"y":[%s]}]]}'])
def test_a_value_that_cannot_be_held_does_not_cost_its_event(written: str, expected: object, where: str) -> None:
    """Click ids of thirty digits, and texts that were cut within an emoji, lie in properties that no rule reads."""
    event = decode(raw()[:-1] + b',"properties":' + (where % written).encode() + b"}")
    found: Any = (event.properties or {})["x"]
    while isinstance(found, (list, dict)):
        found = found[0] if isinstance(found, list) else found["y"]
    assert found == expected
    assert type(found) is type(expected)
    assert event == decode(encode(event))


@pytest.mark.parametrize("written", ["NaN", "1e999", "9" * 5_000, "9" * 30, '"\\ud800"', "[" * 40 + "]" * 40])
def test_a_field_we_do_not_know_costs_nothing(written: str) -> None:
    """Nobody reads it, so nothing in it can be wrong."""
    assert decode(raw()[:-1] + f',"integrations":{written}}}'.encode()) == decode(raw())


def test_the_body_of_a_batch_is_told_from_an_event() -> None:
    """Without this it is refused for lack of an id, and somebody looks for the id."""
    assert refusal(b'{"batch":[{"event":"E"}],"sentAt":"2026-03-01T10:00:02Z"}') == ("batch_body", "$.batch")
    assert decode(raw(batch=[1])) == decode(raw())


# refusals


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (raw(type="Track"), ("unknown_type", "$.type")),
        (raw(type=None), ("wrong_type", "$.type")),
        (raw(messageId=ABSENT), ("missing_message_id", "$.messageId")),
        (raw(messageId=""), ("missing_message_id", "$.messageId")),
        (raw(messageId=7), ("wrong_type", "$.messageId")),
        (raw(userId=ABSENT), ("missing_id", "$.userId")),
        (raw(userId="", anonymousId=""), ("missing_id", "$.userId")),
        (raw(anonymousId=7), ("wrong_type", "$.anonymousId")),
        (raw(event=ABSENT), ("missing_event_name", "$.event")),
        (raw(event=""), ("missing_event_name", "$.event")),
        (raw(properties=[1]), ("wrong_type", "$.properties")),
        (raw(context="x"), ("wrong_type", "$.context")),
        (raw(userId="c" * 257), ("bad_text", "$.userId")),
        (raw(event="a\r\nb"), ("bad_text", "$.event")),
        (raw(messageId="\u2028"), ("bad_text", "$.messageId")),
        (raw(anonymousId="\x9b2J"), ("bad_text", "$.anonymousId")),
        (raw(userId="\ud800"), ("bad_utf8", "$.userId")),
        (raw(userId=2**70), ("wrong_type", "$.userId")),
        (raw(event=float("nan")), ("wrong_type", "$.event")),
        (raw(properties={"products": [{}, {"a": NESTED}]}), ("too_deep", f"$.properties.products[1].a{'[0]' * 28}")),
    ],
)
def test_a_refusal_names_the_reason_and_the_place(record: bytes, expected: tuple[str, str]) -> None:
    """Somebody has to mend the producer, and has only the dead letter to go by."""
    assert expected == refusal(record)


@pytest.mark.parametrize("name", ["Bestellung abgeschlossen", "購入完了", "a\u00a0b", "👍🏽", "x" * 256])
def test_a_name_may_be_in_any_language(name: str) -> None:
    """Only control characters forge lines; the quick check for them also stumbles over harmless spaces and emoji."""
    assert name == decode(raw(event=name)).name


@pytest.mark.parametrize(
    ("record", "first"),
    [
        (b"\xff" * (SIZE_MAX + 1), "too_large"),
        (b'{"a": \xff NaN', "bad_utf8"),
        (b"[" * 40 + b"}", "not_json"),
        (b"[" * 40 + b"NaN" + b"]" * 40, "not_an_object"),
        (b'{"a":' * 201 + b"}" * 201, "too_deep"),
        (b'{"userId": 7}', "missing_message_id"),
        (raw(userId=ABSENT, timestamp=1_772_359_200), "epoch_seconds"),
        (raw(messageId=7, timestamp=1_772_359_200), "wrong_type"),
    ],
)
def test_of_several_faults_the_first_in_the_order_of_checks_is_named(record: bytes, first: str) -> None:
    """The same bytes must be refused for the same reason on every run, and counters must not depend on the order of fields."""
    assert first == outcome(record)


def test_a_refusal_repeats_nothing_of_the_customer() -> None:
    """Dead letters' reasons go to logs and dashboards, where personal data has no place; keys can be personal data too."""
    canary = "jane.doe@example.com"
    records = [
        raw(userId=[canary]),
        raw(type=canary),
        raw(timestamp=canary),
        raw(userId=f"{canary}\n"),
        raw(event=canary * 20),
        raw(properties={canary: NESTED}),
        raw(properties=[canary]),
        raw(messageId=ABSENT, userId=canary),
        f'{{"{canary}": "{canary}'.encode(),
        f'["{canary}"]'.encode(),
        raw(userId=f"{canary}\ud800"),
        raw(type="track", userId=canary, timestamp=f"{canary} 12:00:00"),
    ]
    for record in records:
        with pytest.raises(RefusedError) as caught:
            decode(record)
        assert canary not in str(caught.value)


def test_a_path_cannot_forge_a_log_line() -> None:
    """Paths are logged, and the keys in them were written by a stranger."""
    with pytest.raises(RefusedError) as caught:
        decode(raw(properties={"a\r\nERROR": {"b": NESTED}, "c": 1}))
    assert caught.value.path == f"$.properties[...].b{'[0]' * 29}"


# encoding


def test_the_encoded_form_is_the_same_whatever_the_order_of_fields() -> None:
    """Digests over events must not depend on who wrote them."""
    shuffled = json.dumps(dict(reversed(json.loads(raw(anonymousId="a")).items()))).encode()
    expected = b'{"type":"track","event":"Cart Viewed","messageId":"m-1","userId":"c-17","anonymousId":"a","timestamp":1000}'
    assert expected == encode(decode(shuffled)) == encode(decode(raw(anonymousId="a")))


@given(right)
def test_an_event_survives_the_log(fields: dict[str, Any]) -> None:
    """What is written must be what is read, or a replay would tell another story."""
    record = json.dumps(fields).encode()
    assume(outcome(record) != "bad_timestamp")  # the 31st of a shorter month, or an hour before 1970
    event = decode(record)
    assert event == decode(encode(event))
    assert encode(event) == encode(decode(encode(event)))


def test_what_could_not_be_read_again_is_not_written() -> None:
    """Escapes grow: a record that fits on the way in may not fit on the way out."""
    event = decode(raw(properties={"text": "x" * (SIZE_MAX - 200)}))
    larger = msgspec.structs.replace(event, traits={"text": "x" * 300})
    with pytest.raises(RefusedError, match="too_large"):
        encode(larger)


# laws


@given(nearly_right())
@example({**RIGHT, "properties": {"deep": [[[[[[[1]]]]]]]}})
@example({**RIGHT, "type": "page", "event": ""})
def test_both_ways_of_reading_say_the_same(fields: dict[str, Any]) -> None:
    """Which way is taken depends on details like nesting; what is accepted, and why not, must not."""
    record = json.dumps(fields).encode()
    try:
        careful: Event | str = from_fields(read_object(record))
    except RefusedError as error:
        careful = error.reason
    assert careful == outcome(record)


def told(read: Callable[..., Event], fields: dict[str, Any]) -> Event | tuple[str, str]:
    """The event that a reader of fields gives, or the reason and the place of its refusal."""
    try:
        return read(fields, timestamp_ms=1_700_000_000_000)
    except RefusedError as error:
        return error.reason, error.path


@given(nearly_right(), st.floats() | st.integers(-(2**70), 2**70) | st.just("\ud83d") | st.just(NESTED))
def test_the_quick_reader_of_fields_says_what_the_careful_one_does(fields: dict[str, Any], odd: object) -> None:
    """Adapters of what was JSON use it because it is quick, not because it means something else."""
    fields = {**fields, "properties": {"odd": odd, "also": fields.get("properties")}}
    assert told(from_json, fields) == told(from_fields, fields)


@given(st.text(st.sampled_from('[]{}",\\a'), min_size=0, max_size=40))
@example('"["')
@example('"[""]"')
@example('["]"]')
def test_brackets_in_texts_do_not_count_for_depth(mixed: str) -> None:
    """There is a quick way to leave them out, and it must find the same depth as the slow one, whatever the text."""
    record = ("[]" * 201 + mixed).encode()
    depth = deepest = 0
    for bracket in NO_BRACKETS.sub(b"", record):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    assert nesting(record) == deepest


def test_a_record_that_is_too_deep_is_refused_whether_or_not_texts_in_it_have_brackets() -> None:
    """Closing brackets in texts must not hide what is open around them."""
    deep = "[" * 300 + "]" * 300
    for written in (deep, deep.replace("[]", '["]"]'), '["' + "]" * 300 + f'", {deep}]'):
        with pytest.raises(RefusedError) as caught:
            read_json(written.encode())
        assert caught.value.reason == "too_deep"


@given(nearly_right(), st.data())
@example({"n": [-0.0, 2**64, -(2**63) - 1, 10**400, 5e-324, 1e23], "\ud800": "\ud83d\ude00", "t": "\u2028\x7f"}, None)
def test_both_parsers_read_the_same(fields: dict[str, Any], data: st.DataObject | None) -> None:
    """The quick one is asked first, and Python's for what it refuses: which one read a record must make no difference."""
    text = [*json.dumps(fields)]
    for _ in range(0 if data is None else data.draw(st.integers(0, 2))):
        assert data is not None
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.sampled_from([*'{}[]",:\\u09aednt-+.E \n']))
    record = "".join(text).encode()
    try:
        told = json.loads(record)
    except json.JSONDecodeError:
        with pytest.raises(RefusedError, match="not_json"):
            read_json(record)
    else:
        assert json.dumps(read_json(record)) == json.dumps(told), "written again, as NaN equals nothing"


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
@example(b"")
@example(b"{}")
@example(b"null")
def test_any_bytes_are_an_event_or_refused_for_a_known_reason(record: bytes) -> None:
    """An exception that is not a refusal would stop the shard, and again after every restart: any stranger could do it."""
    found = outcome(record)
    assert isinstance(found, Event) or found in REASONS


@given(nearly_right(), st.data())
def test_a_damaged_event_is_an_event_or_refused_for_a_known_reason(fields: dict[str, Any], data: st.DataObject) -> None:
    """Random bytes rarely get far; bytes that were an event a moment ago do."""
    record = bytearray(json.dumps(fields, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        record[data.draw(st.integers(0, len(record) - 1))] = data.draw(st.integers(0, 255))
    found = outcome(bytes(record))
    assert isinstance(found, Event) or found in REASONS
