"""Bytes to events and back, or the reason why not.

``decode`` has two ways with one meaning. The fast one lets msgspec read and check the record in a single pass. What that refuses is read
again with care: to name the fault and its place, or to accept what is right but unusual (fields we do not know, values nested deeper
than most). Fields we do not know are ignored; of a key written twice the last counts.

Nothing here knows what time it is, so ``future`` and ``late`` are not decided here.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import Final, NoReturn, cast, get_args

import msgspec

from streamer.errors import RefusedError
from streamer.events.admission import DEPTH_MAX, SIZE_MAX, TEXT_MAX
from streamer.events.event import Event, Kind
from streamer.events.json_limits import is_whole_text, json_type, within_limits
from streamer.events.moments import LOOKS_LIKE_SECONDS, looks_like_seconds, moment_ms, within_years
from streamer.values import datetime_to_ms, time_text

KINDS: Final = frozenset(get_args(Kind))
READABLE_DEPTH: Final = 200  # deeper text is refused unread: how deep a parser can follow depends on who called it
READABLE_DIGITS: Final = 4_000  # Python refuses to read an integer of more than 4,300
UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what can forge a line of a log, or hide in a key
NO_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|[^\[\]{}"]+', re.DOTALL)
NO_MARKS: Final = bytes(set(range(256)) - set(b'[]{}"'))

FIELDS: Final = ("type", "event", "messageId", "userId", "anonymousId", "properties", "traits", "context")

_decoder = msgspec.json.Decoder(Event)
_any_decoder = msgspec.json.Decoder()
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
    if event.timestamp_ms.__class__ is int and looks_like_seconds(event.timestamp_ms):
        raise RefusedError("epoch_seconds", path="$.timestamp", detail=LOOKS_LIKE_SECONDS)
    return _checked(event)


def encode(event: Event) -> bytes:
    """The bytes of ``event`` as they lie in the log: fields in the order of ``Event``, missing ones left out, time in milliseconds (as text
    where these would be taken for seconds).

    ``decode(encode(event)) == event``. An event that would come out too large to be read again is refused.
    """
    if looks_like_seconds(event.timestamp_ms):
        event = msgspec.structs.replace(event, timestamp_ms=time_text(event.timestamp_ms))
    raw = _encoder.encode(event)
    check_size(raw)
    return raw


def check_size(raw: bytes) -> None:
    """Refuse a record that is larger than an event may be."""
    if len(raw) > SIZE_MAX:
        raise RefusedError("too_large", detail=f"{len(raw)} bytes, at most {SIZE_MAX}")


def read_object(raw: bytes) -> dict[str, object]:
    """The object in ``raw``, as it was written; ``RefusedError`` if there is none.

    For adapters, as ``read_json``.
    """
    value = read_json(raw)
    if not isinstance(value, dict):
        detail = f"expected an object, found {json_type(value)}"
        raise RefusedError("not_an_object", detail=f"{detail}; each event is a record of its own" if isinstance(value, list) else detail)
    return cast("dict[str, object]", value)


def read_json(raw: bytes) -> object:
    """The JSON value in ``raw``, as it was written; ``RefusedError`` if there is none.

    Numbers may be beyond what an event can carry, and texts hold halves of surrogate pairs: ``from_fields`` and
    ``json_limits.within_limits`` see to that. Size is the caller's business. Deeper nesting than 200 is refused before it is known whether
    it is JSON at all. What msgspec reads, Python's parser reads to the same; it is asked for what msgspec refuses.
    """
    if nesting(raw) <= READABLE_DEPTH:
        try:
            return cast("object", _any_decoder.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return _read_with_care(raw)


def _read_with_care(raw: bytes) -> object:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise RefusedError("bad_utf8", detail=f"at byte {error.start}") from None
    if nesting(raw) > READABLE_DEPTH:
        raise RefusedError("too_deep", detail=f"more than {READABLE_DEPTH} containers inside each other, at most {DEPTH_MAX}")
    try:
        return _read_text(text)
    except json.JSONDecodeError as error:
        raise RefusedError("not_json", detail=f"{error.msg.rstrip(': ')}, at character {error.pos}") from None


def from_fields(fields: dict[str, object], *, timestamp_ms: int | None = None) -> Event:
    """The event with these fields, named and typed as in the JSON form; the same checks, order and errors as ``decode``.

    Adapters end here. The size that counts is that of the event as it will lie in the log. Fields we do not know are ignored.
    ``timestamp_ms`` is a moment that was read already, in place of the field.
    """
    event = _event(fields, timestamp_ms)
    encode(event)
    return event


def from_json(fields: dict[str, object], *, timestamp_ms: int) -> Event:
    """``from_fields`` for fields whose values were read from JSON, and quicker: they are written and read again by the decoder that checks.

    What that refuses, or cannot write, is looked at again with care.
    """
    told = {key: value for key in FIELDS if (value := fields.get(key)) is not None or (key == "type" and key in fields)}
    told["timestamp"] = timestamp_ms
    try:
        raw = _encoder.encode(told)
        if len(raw) <= SIZE_MAX and not looks_like_seconds(timestamp_ms):
            return _checked(_decoder.decode(raw))
    except (msgspec.DecodeError, UnicodeError, OverflowError, RecursionError):
        pass
    return from_fields(fields, timestamp_ms=timestamp_ms)


def section(fields: dict[str, object], key: str, *, path: str = "$") -> dict[str, object] | None:
    """An object of named values, or None. An empty array is one too: PHP writes an empty object so."""
    value = fields.get(key)
    if value is None or isinstance(value, dict):
        return cast("dict[str, object] | None", value)
    if value != []:
        _refuse_type(f"{path}.{key}", "an object", value)
    return {}


def is_batch(fields: dict[str, object]) -> bool:
    """Whether this is the body of a request that carries several messages. An adapter takes it apart; in the log it is no event."""
    return isinstance(fields.get("batch"), list) and "messageId" not in fields and "type" not in fields


def _event(fields: dict[str, object], timestamp_ms: int | None = None) -> Event:
    if is_batch(fields):
        raise RefusedError("batch_body", path="$.batch", detail="the body of a batch request; each message in it is a record of its own")
    kind = fields.get("type", "track")
    if not isinstance(kind, str):
        _refuse_type("$.type", "a text", kind)
    if kind not in KINDS:
        raise unknown_type("another text")
    message_id = _text(fields, "messageId")
    if not message_id:
        raise RefusedError("missing_message_id", path="$.messageId", detail="absent or empty; expected a text that every delivery repeats")
    event = Event(
        type=cast(Kind, kind),
        event=_text(fields, "event"),
        message_id=message_id,
        user_id=_text(fields, "userId"),
        anonymous_id=_text(fields, "anonymousId"),
        timestamp_ms=moment_ms(fields.get("timestamp")) if timestamp_ms is None else within_years(timestamp_ms, path="$.timestamp"),
        properties=_values(fields, "properties") if kind != "alias" else _with_previous_id(fields),
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
        raise RefusedError("missing_id", path="$.userId", detail="absent or empty, as is anonymousId; expected one of the two")
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
        raise RefusedError("missing_event_name", path="$.event", detail="absent or empty; expected what was done")
    elif name == "":
        _set(event, "event", None)
    moment: object = event.timestamp_ms
    if moment.__class__ is not int:
        _set(event, "timestamp_ms", within_years(datetime_to_ms(cast("datetime", moment)), path="$.timestamp"))
    return event


def _refuse_unsafe(key: str, text: str) -> None:
    """Refuse control characters. ``isprintable`` came first because it is quick; it also says no to innocent spaces and new letters."""
    if UNSAFE.search(text):
        raise RefusedError("bad_text", path=f"$.{key}", detail="control characters; expected a text without")


def nesting(raw: bytes) -> int:
    """How deep the brackets of ``raw`` go, those in texts not counted. It may be JSON or not; where there are few, their number will do."""
    openers = raw.count(b"[") + raw.count(b"{")
    if openers <= READABLE_DEPTH:
        return openers
    deepest = depth = 0
    for bracket in _brackets(raw):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _brackets(raw: bytes) -> bytes:
    """The brackets of ``raw`` that stand in no text.

    Quickly where nothing is escaped: if taking away quotes in pairs leaves none, each bracket had an even number of them before it.
    """
    if b"\\" not in raw:
        marks = raw.translate(None, NO_MARKS).replace(b'""', b"")
        if b'"' not in marks:
            return marks
    return NO_BRACKETS.sub(b"", raw)


def _text(fields: dict[str, object], key: str) -> str | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        _refuse_type(f"$.{key}", "a text", value)
    if len(value) > TEXT_MAX:
        raise RefusedError("bad_text", path=f"$.{key}", detail=f"{len(value)} characters, at most {TEXT_MAX}")
    if not is_whole_text(value):
        raise RefusedError("bad_utf8", path=f"$.{key}", detail="half of a surrogate pair")
    return value


def _values(fields: dict[str, object], key: str) -> dict[str, object] | None:
    values = section(fields, key)
    return within_limits(values, section=key) if values else values


def _with_previous_id(fields: dict[str, object]) -> dict[str, object] | None:
    """The properties of an alias. SDKs write ``previousId`` beside ``userId``; there it is found afterwards."""
    if "previousId" not in fields:
        return _values(fields, "properties")
    properties = section(fields, "properties") or {}
    return _values({"properties": {"previousId": fields["previousId"], **properties}}, "properties")


def _read_text(text: str) -> object:
    """Python's reading, which also knows NaN and Infinity; integers of thousands of digits become infinite."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python does not read integers of more than 4,300 digits
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= READABLE_DIGITS else math.inf)


def unknown_type(found: str) -> RefusedError:
    """The refusal of a type that is none of ours; ``found`` says what it is without repeating it."""
    return RefusedError("unknown_type", path="$.type", detail=f"expected one of {', '.join(sorted(KINDS))}, found {found}")


def _refuse_type(path: str, expected: str, value: object) -> NoReturn:
    raise RefusedError("wrong_type", path=path, detail=f"expected {expected}, found {json_type(value)}")
