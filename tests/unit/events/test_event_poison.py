"""Records made to hurt: none may do more than be refused, or be an ordinary event."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from streamer.errors import RefusedError
from streamer.events.adapters import adapt
from streamer.events.adapters.outcome import Refusal
from streamer.events.arrival import arrival_ms
from streamer.events.codec import decode, encode
from streamer.events.event import Event

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = b'{"type":"track","event":"Cart Viewed","messageId":"m-1","userId":"c-17","timestamp":1000,"properties":'
ACCEPTED = "accepted"


def about(properties: bytes) -> bytes:
    """A right event with these properties."""
    return HEAD + properties + b"}"


POISON: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not_json"),
    "blank": (b" \r\n\t", "not_json"),
    "null": (b"null", "not_an_object"),
    "a number": (b"1", "not_an_object"),
    "a list": (b"[]", "not_an_object"),
    "an empty object": (b"{}", "missing_message_id"),
    "a byte order mark": (b"\xef\xbb\xbf" + about(b"{}"), "not_json"),
    "UTF-16": (about(b"{}").decode().encode("utf-16-le"), "not_json"),
    "two records": (about(b"{}") * 2, "not_json"),
    "half a record": (about(b'{"a":1}')[:-5], "not_json"),
    "a comment": (about(b"{}/**/"), "not_json"),
    "a trailing comma": (about(b"[1,]"), "not_json"),
    "single quotes": (about(b"{'a':1}"), "not_json"),
    "a leading zero": (about(b'{"a":01}'), "not_json"),
    "a raw line end in a text": (about(b'{"a":"\n"}'), "not_json"),
    "bytes that are not UTF-8": (about(b'{"a":"\xff"}'), "bad_utf8"),
    "an encoded surrogate": (about(b'{"a":"\xed\xa0\x80"}'), "bad_utf8"),
    "an overlong slash": (about(b'{"a":"\xc0\xaf"}'), "bad_utf8"),
    "half a pair": (about(b'{"a":"\\ud800"}'), ACCEPTED),
    "the other half": (about(b'{"a":"\\udc00x"}'), ACCEPTED),
    "half a pair as a key": (about(b'{"\\ud800":1}'), ACCEPTED),
    "half a pair in an id": (b'{"event":"E","messageId":"\\udfff","userId":"c","timestamp":1}', "bad_utf8"),
    "half a pair in a field we ignore": (b'{"event":"E","messageId":"m","userId":"c","timestamp":1,"x":"\\ud800"}', ACCEPTED),
    "bad UTF-8 in a field we ignore": (b'{"event":"E","messageId":"m","userId":"c","timestamp":1,"x":"\xff"}', "bad_utf8"),
    "bad UTF-8 as a field's name": (b'{"event":"E","messageId":"m","userId":"c","timestamp":1,"\xff":1}', "bad_utf8"),
    "NaN": (about(b'{"a":NaN}'), ACCEPTED),
    "Infinity": (about(b'{"a":[-Infinity]}'), ACCEPTED),
    "NaN hidden under a key written twice": (about(b'{"a":NaN,"a":1}'), ACCEPTED),
    "1e999": (about(b'{"a":1e999}'), ACCEPTED),
    "1e999 in a field we ignore": (b'{"event":"E","messageId":"m","userId":"c","timestamp":1,"x":-1e999}', ACCEPTED),
    "1e-999": (about(b'{"a":1e-999}'), ACCEPTED),
    "2^63": (about(b'{"a":9223372036854775808}'), ACCEPTED),
    "2^70": (about(b'{"a":1180591620717411303424}'), ACCEPTED),
    "2^70 further in": (about(b'{"a":[[[[[[[[1180591620717411303424]]]]]]]]}'), ACCEPTED),
    "-2^63": (about(b'{"a":-9223372036854775808}'), ACCEPTED),
    "an integer of 5,000 digits": (about(b'{"a":' + b"9" * 5_000 + b"}"), ACCEPTED),
    "a fraction of 5,000 digits": (about(b'{"a":0.' + b"3" * 5_000 + b"}"), ACCEPTED),
    "2^70 as a timestamp": (b'{"event":"E","messageId":"m","userId":"c","timestamp":1180591620717411303424}', "bad_timestamp"),
    "half a pair in an event name": (b'{"event":"E\\ud83d","messageId":"m","userId":"c","timestamp":1}', "bad_utf8"),
    "2^62 as a timestamp": (b'{"event":"E","messageId":"m","userId":"c","timestamp":4611686018427387904}', "bad_timestamp"),
    "a key written twice": (about(b'{"a":1,"a":{"b":2}}'), ACCEPTED),
    "an empty key": (about(b'{"":1}'), ACCEPTED),
    "__proto__": (about(b'{"__proto__":{"admin":true},"constructor":{"prototype":1}}'), ACCEPTED),
    "__class__": (about(b'{"__class__":"os.system","__reduce__":["id"]}'), ACCEPTED),
    "NUL in a property": (about(b'{"a":"\\u0000"}'), ACCEPTED),
    "a line end in an id": (b'{"event":"E","messageId":"m","userId":"c\\r\\nlevel=ERROR","timestamp":1}', "bad_text"),
    "a terminal's escape in a name": (b'{"event":"E\\u001b[2J","messageId":"m","userId":"c","timestamp":1}', "bad_text"),
    "depth 32": (about(b'{"a":' + b"[" * 30 + b"]" * 30 + b"}"), ACCEPTED),
    "depth 33": (about(b'{"a":' + b"[" * 31 + b"]" * 31 + b"}"), "too_deep"),
    "depth 33 in a field we ignore": (
        b'{"event":"E","messageId":"m","userId":"c","timestamp":1,"x":' + b"[" * 32 + b"]" * 32 + b"}",
        ACCEPTED,
    ),
    "depth 300": (about(b'{"a":' + b"[" * 300 + b"]" * 300 + b"}"), "too_deep"),
    "depth 300 of objects": (about(b'{"a":' * 300 + b"1" + b"}" * 300), "too_deep"),
    "depth 30,000": (about(b"[" * 30_000 + b"]" * 30_000), "too_deep"),
    "depth 30,000 never closed": (b"[" * 30_000, "too_deep"),
    "depth 100,000": (about(b"[" * 100_000 + b"]" * 100_000), "too_large"),
    "300 brackets beside each other": (about(b'{"a":[' + b"[]," * 299 + b"[]]}"), ACCEPTED),
    "300 brackets in a text": (about(b'{"a":"' + b'[{\\"' * 300 + b'","b":{"c":[[[[[[[]]]]]]]}}'), ACCEPTED),
    "5 MB": (about(b'{"a":"' + b"x" * 5_000_000 + b'"}'), "too_large"),
    "65,536 bytes": (about(b'{"a":"' + b"x" * (65_536 - len(about(b'{"a":""}'))) + b'"}'), ACCEPTED),
    "65,537 bytes": (about(b'{"a":"' + b"x" * (65_537 - len(about(b'{"a":""}'))) + b'"}'), "too_large"),
    "30,000 open quotes": (b'"' * 30_001, "not_json"),
    "30,000 backslashes": (about(b'{"a":"' + b"\\" * 30_000), "not_json"),
    "5,000 keys": (about(b"{" + b",".join(b'"k%d":1' % n for n in range(5_000)) + b"}"), ACCEPTED),
}


def outcome(record: bytes) -> str:
    """Whether ``record`` is accepted, and if not why. Anything but a refusal escapes."""
    try:
        decode(record)
    except RefusedError as error:
        return error.reason
    return ACCEPTED


@pytest.mark.parametrize(("record", "expected"), POISON.values(), ids=POISON)
def test_poison_is_refused_for_its_reason_or_harmless(record: bytes, expected: str) -> None:
    """One such record stops a worker that is not ready for it, and stops it again after each restart."""
    assert expected == outcome(record)


@pytest.mark.parametrize("record", [record for record, expected in POISON.values() if expected == ACCEPTED])
def test_poison_that_is_accepted_survives_the_log(record: bytes) -> None:
    """What was let in once must be let in again by the next reader, or a replay would lose it."""
    event = decode(record)
    assert event == decode(encode(event))


def test_the_answer_does_not_depend_on_who_asks() -> None:
    """A parser that recurses refuses earlier when it is called from deep inside a framework: two runs, two stories."""

    def at_depth(frames: int, ask: Callable[[], str]) -> str:
        return ask() if frames == 0 else at_depth(frames - 1, ask)

    spare = sys.getrecursionlimit() // 2
    for record, expected in POISON.values():
        assert expected == at_depth(spare, lambda record=record: outcome(record))


def test_keys_that_mean_something_elsewhere_are_only_keys_here() -> None:
    """``__proto__`` and ``__class__`` are attacks in other languages; here they are data, and stay where they are."""
    event = decode(POISON["__class__"][0])
    assert Event is type(event)
    assert event.properties == {"__class__": "os.system", "__reduce__": ["id"]}


@pytest.mark.parametrize("text", [r"\ud83d", r"2026-03-01T10:00:00Z\ud83d", r"2016-12-31T23:59:60\udfff"])
@pytest.mark.parametrize("key", ["timestamp", "receivedAt", "originalTimestamp"])
def test_half_of_a_pair_in_a_moment_is_no_moment(text: str, key: str) -> None:
    """It raised an error of the codec: a replay ended, and a worker took it for a fault of its own."""
    told = f'"event": "A", "messageId": "1", "userId": "u", "{key}": "{text}"'.encode()
    if key == "timestamp":
        with pytest.raises(RefusedError, match="bad_timestamp"):
            decode(b"{" + told + b"}")
    [found] = adapt(b'{"type": "track", ' + told + b"}", format_name="segment", received_ms=0)
    assert isinstance(found, Refusal)
    assert found.reason == "bad_timestamp"
    assert arrival_ms(b"{" + told + b"}") is None
