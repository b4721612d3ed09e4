"""Why a record may be refused: the closed list of reason codes, and the limits an event must keep.

A code is for counters and dead letters, its sentence for the operator who reads them. Codes are never renamed or reused:
dashboards and replays compare them. Nothing here looks at a record.
"""

from __future__ import annotations

from typing import Final

SIZE_MAX: Final = 65_536  # bytes; ten times the largest event of the vendors' SDKs, and a batch of 500 stays below 32 MB
DEPTH_MAX: Final = 32  # containers inside each other, the record itself being the first; walks over values never run out of stack
TEXT_MAX: Final = 256  # characters of an id or an event name; they become keys
INTEGER_MIN: Final = -(2**63)  # what every store, codec and language downstream can hold
INTEGER_MAX: Final = 2**63 - 1
TIMESTAMP_MS_MAX: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last instant RFC 3339 can write

REASONS: Final[dict[str, str]] = {
    # the bytes, in the order in which they are looked at
    "too_large": "The record is larger than 65,536 bytes.",
    "bad_utf8": "The record is not UTF-8, or an escape in it names half of a surrogate pair.",
    "not_json": "The record is not one JSON text.",
    "not_an_object": "The record is JSON, but not an object.",
    "too_deep": "Containers are nested more than 32 deep, the record itself being the first.",
    "not_finite": "A number cannot be held: NaN, Infinity, beyond the range of a double, or an integer beyond 64 bits.",
    # the fields
    "wrong_type": "A field holds a value of another type than the schema says.",
    "bad_text": "An id or an event name is longer than 256 characters or holds control characters.",
    "unknown_type": "The type is none of track, identify, page, screen, group, alias.",
    "missing_message_id": "There is no messageId, so a second delivery could not be told from a second event.",
    "missing_id": "Neither userId nor anonymousId names the customer.",
    "missing_event_name": "A track event does not say what happened.",
    "bad_timestamp": "The timestamp is absent, or neither RFC 3339 text with a zone nor whole milliseconds, or outside 1970 to 9999.",
    # the log's time
    "future": "The timestamp is further ahead of the log's time than clocks may be wrong.",
    "late": "The timestamp is older than the allowed lateness, so its window may have been told already.",
    # where it lay, and what it claims to be
    "wrong_shard": "The record lay in another partition than its customer's; it was sent on to the right one.",
    "bad_control": "A control record does not say what it should, or what it carries cannot be used.",
    "bad_example": "A record of the examples is none, or of another feature list, or holds a number that is not finite.",
    "fault": "Our own code failed at the record, twice. The customer is as before it. A fault of ours: please report it.",
    "passed_over": "A person had the shard go on without this record.",
    "bad_model": "A scorer cannot be read, or is not finite, or of an unknown kind.",
    "unknown_format": "No adapter knows the format of the record.",
    # files of rows
    "not_a_row": "The line does not split into the columns of its file.",
    "skipped": "The mapping of the file says to pass over rows like this one.",
}
UNSAID: Final = frozenset({"future", "late", "fault", "passed_over"})  # reasons that say nothing about a producer's release
