"""Why a record may be refused: the closed list of reason codes, and the limits an event must keep.

A code is for counters and dead letters, its sentence for the operator who reads them. Codes are never renamed or reused:
dashboards and replays compare them. Nothing here looks at a record.
"""

from __future__ import annotations

from typing import Final

SIZE_MAX: Final = 65_536  # bytes; ten times the largest event of the vendors' SDKs, and a batch of 500 stays below 32 MB
BODY_MAX_BYTES: Final = 1 << 20  # of one message that may carry many events, or one line of a file; vendors' batches end at 500 KB
DEPTH_MAX: Final = 32  # containers inside each other, the record itself being the first; walks over values never run out of stack
TEXT_MAX: Final = 256  # characters of an id or an event name; they become keys
INTEGER_MIN: Final = -(2**63)  # what every store, codec and language downstream can hold
INTEGER_MAX: Final = 2**63 - 1
TIMESTAMP_MS_MAX: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last instant RFC 3339 can write
SECONDS_MIN: Final = 10**8  # numbers from here on, up to the next, are seconds of 1973 to 5138, not milliseconds of January 1970 to 1973
SECONDS_END: Final = 10**11  # smaller numbers are before 1973 whichever they are: a clock that was never set
EXACT_MAX: Final = 2**53  # a double beyond it may have lost digits, so it names nobody

REASONS: Final[dict[str, str]] = {
    # the bytes, in the order in which they are looked at
    "too_large": "The record is larger than 65,536 bytes.",
    "bad_utf8": "The record is not UTF-8, or an id or an event name holds half of a surrogate pair.",
    "not_json": "The record is not one JSON text.",
    "not_an_object": "The record is JSON, but not an object.",
    "too_deep": "Containers are nested more than 32 deep, the record itself being the first.",
    "not_finite": "A cell that a mapping calls a number is beyond what can be held: 64 bits, or the range of a double.",
    # the fields
    "batch_body": "The record is the body of a batch request, not one message of it.",
    "wrong_type": "A field holds a value of another type than the schema says.",
    "bad_text": "An id or an event name is longer than 256 characters or holds control characters.",
    "unknown_type": "The type is none of track, identify, page, screen, group, alias.",
    "missing_message_id": "There is no messageId, so a second delivery could not be told from a second event.",
    "missing_id": "Neither userId nor anonymousId names the customer.",
    "missing_event_name": "A track event does not say what happened.",
    "placeholder_id": "What stands for the customer is a placeholder such as undefined or null, which would make one of many people.",
    "bad_alias": "An alias does not name two ids of one person: properties.previousId and userId, which differ.",
    "bad_timestamp": "The timestamp is absent, or neither RFC 3339 text with a zone nor whole milliseconds, or outside 1970 to 9999.",
    "epoch_seconds": "The timestamp looks like seconds since 1970; expected are milliseconds, or RFC 3339 text.",
    # the log's time
    "future": "The timestamp is further ahead of the log's time than clocks may be wrong.",
    "late": "The timestamp is older than the allowed lateness, so its window may have been told already.",
    # where it lay, and what it claims to be
    "wrong_shard": "The record lay in another partition than its customer's; it was sent on to the right one.",
    "too_many_hops": "The customer's id leads to another, and that one to another, more than eight times.",
    "bad_control": "A control record does not say what it should, or what it carries cannot be used.",
    "bad_signature": "A record that rules the log, or that a shard sent on, is not signed by a key that holds there.",
    "replayed": "A signed record was written a second time.",
    "bad_example": "A record of the examples is none, or of another feature list, or holds a number that is not finite.",
    "fault": "Our own code failed at the record, twice. The customer is as before it. A fault of ours: please report it.",
    "passed_over": "A person had the shard go on without this record.",
    "bad_model": "A scorer cannot be read, or is not finite, or of an unknown kind.",
    "not_allowed": "The write key with which it was sent may not say this; see the file of keys of the collector.",
    "unknown_format": "No adapter knows the format of the record.",
    # files of rows
    "not_a_row": "The line does not split into the columns of its file.",
    "ahead": "The line lies further ahead of the lines around it than a replay allows: time would rush past all that follows.",
    "skipped": "The mapping of the file says to pass over rows like this one, or a batch is empty.",
}
UNSAID: Final = frozenset({"future", "late", "fault", "passed_over"})  # reasons that say nothing about a producer's release
