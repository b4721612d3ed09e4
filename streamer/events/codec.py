"""Bytes to events and back, or the reason why not.

``decode`` has two ways with one meaning. The fast one lets msgspec read and check the record in a single pass. What that refuses is read
again with care: to name the fault and its place, or to accept what is right but unusual (fields we do not know, values nested deeper
than most). Fields we do not know are ignored; of a key written twice the last counts.

Nothing here knows what time it is, so ``future`` and ``late`` are not decided here.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, cast, get_args

import msgspec

from streamer.errors import RefusedError
from streamer.events.admission import DEPTH_MAX, SIZE_MAX, TEXT_MAX, TIMESTAMP_MS_MAX
from streamer.events.event import Event, Kind, Moment
from streamer.events.sound import check_values, json_type

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
KINDS: Final = frozenset(get_args(Kind))
READABLE_DEPTH: Final = 200  # deeper text is refused unread: how deep a parser can follow depends on who called it
UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what can forge a line of a log, or hide in a key
NO_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[^\[\]{}"]+', re.DOTALL)

_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()
_set = msgspec.structs.force_setattr


def decode(raw: bytes) -> Event:
    """The event in ``raw``; ``RefusedError`` if there is none, and never any other error.

    >>> decode(b'{"event": "Cart Viewed", "messageId": "m1", "userId": "c-17", "timestamp": "1970-01-01T00:00:01Z"}').timestamp_ms
    1000
    """
    if len(raw) > SIZE_MAX:
        check_size(raw)
    try:
        event = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _event(read_object(raw))
    return _checked(event)


def encode(event: Event) -> bytes:
    """The bytes of ``event`` as they lie in the log: fields in the order of ``Event``, missing ones left out, time in milliseconds.

    ``decode(encode(event)) == event``. An event that would come out too large to be read again is refused.
    """
    raw = _encoder.encode(event)
    check_size(raw)
    return raw


def check_size(raw: bytes) -> None:
    """Refuse a record that is larger than an event may be."""
    if len(raw) > SIZE_MAX:
        raise RefusedError("too_large", detail=f"{len(raw)} bytes, at most {SIZE_MAX}")


def read_object(raw: bytes) -> dict[str, Any]:
    """The object in ``raw``, read with care and holding nothing that an event may not hold; ``RefusedError`` if there is none.

    For adapters. Size is the caller's business. Deeper nesting than 200 is refused before it is known whether it is JSON at all.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise RefusedError("bad_utf8", detail=f"at byte {error.start}") from None
    if _nesting(raw) > READABLE_DEPTH:
        raise RefusedError("too_deep", detail=f"more than {READABLE_DEPTH} containers inside each other, at most {DEPTH_MAX}")
    constants: list[str] = []  # NaN, Infinity: Python would read them
    try:
        value = json.loads(text, parse_constant=lambda name: constants.append(name) or float(name))
    except json.JSONDecodeError as error:
        raise RefusedError("not_json", detail=f"{error.msg.rstrip(': ')}, at character {error.pos}") from None
    except ValueError:  # Python does not read integers of more than 4,300 digits
        raise RefusedError("not_finite", detail="an integer of thousands of digits") from None
    if not isinstance(value, dict):
        raise RefusedError("not_an_object", detail=f"found {json_type(value)}")
    fields = cast("dict[str, Any]", value)
    check_values(fields)
    if constants:  # it stood under a key that is written twice
        raise RefusedError("not_finite", detail=constants[0])
    return fields


def from_fields(fields: dict[str, Any]) -> Event:
    """The event with these fields, named and typed as in the JSON form; the same checks, order and errors as ``decode``, but for size.

    Adapters end here. Fields we do not know are ignored.
    """
    check_values(fields)
    return _event(fields)


def moment_ms(value: object, *, path: str = "$.timestamp") -> int:
    """Milliseconds since 1970 of RFC 3339 text with a zone, or of a whole number of them. Digits beyond microseconds are rounded.

    >>> moment_ms("1970-01-01T01:00:00.001+01:00")
    1
    """
    if isinstance(value, float) and value.is_integer():  # JSON does not tell 1.0 from 1
        value = int(value)
    try:
        moment: Any = msgspec.convert(value, Moment)
    except msgspec.ValidationError:
        detail = "absent" if value is None else "neither RFC 3339 text with a zone nor whole milliseconds from 1970 to 9999"
        raise RefusedError("bad_timestamp", path=path, detail=detail) from None
    return moment if isinstance(moment, int) else _since_epoch_ms(moment, path)


def _event(fields: dict[str, Any]) -> Event:
    kind = fields.get("type", "track")
    if not isinstance(kind, str):
        _refuse_type("$.type", "a text", kind)
    if kind not in KINDS:
        raise RefusedError("unknown_type", path="$.type", detail=f"one of {', '.join(sorted(KINDS))}")
    message_id = _text(fields, "messageId")
    if not message_id:
        raise RefusedError("missing_message_id", path="$.messageId")
    event = Event(
        type=cast(Kind, kind),
        event=_text(fields, "event"),
        message_id=message_id,
        user_id=_text(fields, "userId"),
        anonymous_id=_text(fields, "anonymousId"),
        timestamp_ms=moment_ms(fields.get("timestamp")),
        properties=_values(fields, "properties"),
        traits=_values(fields, "traits"),
        context=_values(fields, "context"),
    )
    return _checked(event)


def _checked(event: Event) -> Event:
    """What types cannot say. Turns the moment into milliseconds and empty texts into none, before anyone else has seen the event."""
    name, message_id, user_id, anonymous_id = event.event, event.message_id, event.user_id, event.anonymous_id
    if not message_id.isprintable():
        _refuse_unsafe("messageId", message_id)
    if user_id:
        if not user_id.isprintable():
            _refuse_unsafe("userId", user_id)
    elif not anonymous_id:
        raise RefusedError("missing_id", path="$.userId")
    elif user_id == "":
        _set(event, "user_id", None)
    if anonymous_id:
        if not anonymous_id.isprintable():
            _refuse_unsafe("anonymousId", anonymous_id)
    elif anonymous_id == "":
        _set(event, "anonymous_id", None)
    if name:
        if not name.isprintable():
            _refuse_unsafe("event", name)
    elif event.type == "track":
        raise RefusedError("missing_event_name", path="$.event")
    elif name == "":
        _set(event, "event", None)
    moment: Any = event.timestamp_ms
    if moment.__class__ is not int:
        _set(event, "timestamp_ms", _since_epoch_ms(moment, "$.timestamp"))
    return event


def _since_epoch_ms(moment: datetime, path: str) -> int:
    milliseconds = (moment - EPOCH) // MILLISECOND
    if not 0 <= milliseconds <= TIMESTAMP_MS_MAX:
        raise RefusedError("bad_timestamp", path=path, detail="outside 1970 to 9999")
    return milliseconds


def _refuse_unsafe(key: str, text: str) -> None:
    """Refuse control characters. ``isprintable`` came first because it is quick; it also says no to innocent spaces and new letters."""
    if UNSAFE.search(text):
        raise RefusedError("bad_text", path=f"$.{key}", detail="control characters")


def _nesting(raw: bytes) -> int:
    """How deep the brackets of ``raw`` go, those in texts not counted. It may be JSON or not; where there are few, their number will do."""
    openers = raw.count(b"[") + raw.count(b"{")
    if openers <= READABLE_DEPTH:
        return openers
    deepest = depth = 0
    for bracket in NO_BRACKETS.sub(b"", raw):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _text(fields: dict[str, Any], key: str) -> str | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        _refuse_type(f"$.{key}", "a text", value)
    if len(value) > TEXT_MAX:
        raise RefusedError("bad_text", path=f"$.{key}", detail=f"{len(value)} characters, at most {TEXT_MAX}")
    return value


def _values(fields: dict[str, Any], key: str) -> dict[str, Any] | None:
    value = fields.get(key)
    if value is not None and not isinstance(value, dict):
        _refuse_type(f"$.{key}", "an object", value)
    return cast("dict[str, Any] | None", value)


def _refuse_type(path: str, expected: str, value: object) -> NoReturn:
    raise RefusedError("wrong_type", path=path, detail=f"expected {expected}, found {json_type(value)}")
