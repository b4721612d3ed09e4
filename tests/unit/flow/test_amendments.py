"""What was decided about places of a log is obeyed only from those who may decide."""

from __future__ import annotations

import pytest

from streamer.errors import HaltError, RefusedError
from streamer.flow.amendments import Amendment, Amendments, Reading, amendment_place, encode_amendment
from streamer.signing import NO_KEYS, Keyring, Signer
from streamer.transports.signed import control_headers
from streamer.wire import AMENDMENTS, Control, LogRecord, encode_control

RING = Keyring("shop", {"k1": b"1" * 32, "k2": b"2" * 32})
SHARD = 1


class Topic:
    """One shard's part, read by somebody with these keys, and people who write to it."""

    def __init__(self, keyring: Keyring = RING) -> None:
        self.reading = Reading(SHARD, 1, keyring)
        self.mine, self.others = (Signer(RING, key, name, lambda: 1_000) for key, name in (("k1", "a1"), ("k2", "b2")))

    def keys(self, by: Signer | None = None) -> None:
        raw = encode_control(Control("keys", keys={"k1": RING.check_value("k1")}))
        self.reading.take(LogRecord(0, 0, raw, True, headers=control_headers(by or self.mine, SHARD, raw, AMENDMENTS)))

    def write(self, amendment: Amendment, by: Signer | None, *, shard: int = SHARD) -> str:
        """What is made of it, or why nothing is."""
        raw = encode_amendment(amendment)
        return self.take(LogRecord(0, 0, raw, headers=by.sign(amendment_place(shard), raw) if by is not None else ()))

    def take(self, record: LogRecord) -> str:
        try:
            found = self.reading.take(record)
        except RefusedError as error:
            return error.reason
        return found.what if found is not None else "nothing"


SKIP = Amendment("skip", SHARD, 7)


def test_before_the_first_keys_an_amendment_needs_no_signature() -> None:
    """A shop that has no keys works as ever; one of another shard or another log is none of ours."""
    topic = Topic(NO_KEYS)
    assert [topic.write(one, None) for one in (SKIP, Amendment("skip", 0, 7), Amendment("skip", SHARD, 7, log=2))] == [
        "skip",
        "nothing",
        "nothing",
    ]


def test_once_keys_hold_only_what_is_signed_is_obeyed_and_once() -> None:
    """Else whoever may write amendments could have a shard pass over an erasure; or take back a later decision with an earlier one."""
    topic = Topic()
    assert topic.write(SKIP, None) == "skip", "what was decided before stands"
    topic.keys()
    assert [topic.write(SKIP, by) for by in (None, topic.others)] == ["bad_signature", "bad_signature"]
    assert topic.write(SKIP, topic.mine, shard=0) == "bad_signature", "it is of another shard"
    raw = encode_amendment(SKIP)
    captured = LogRecord(0, 0, raw, headers=topic.mine.sign(amendment_place(SHARD), raw))
    assert [topic.take(captured) for _ in range(2)] == ["skip", "replayed"]
    assert topic.reading.refused == 4


def test_who_lacks_a_key_does_not_read_the_amendments_of_a_shard() -> None:
    """It would obey others than the next worker."""
    with pytest.raises(HaltError, match="'k1', which is not in STREAMER_SIGNING_KEYS"):
        Topic(NO_KEYS).keys()


def test_whoever_has_the_first_so_many_is_told_the_rest() -> None:
    """A lane that is folded in another process obeys what its shard does, and is not told everything each time."""
    found = Amendments([SKIP])
    later = Amendment("resume", SHARD, 9, to=12)
    found.add(later)
    assert (found.behind(0), found.behind(1), found.behind(2)) == ([SKIP, later], [later], [])
    assert found.about_records().behind(0) == [SKIP]
