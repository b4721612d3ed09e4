"""What people or faults decided about places of a shard's log, as a shard obeys it.

Such a decision lies behind its place in the log: a rebuild would meet the place first. So it is an amendment, a record of a small topic of
its own, read whole before a shard is acquired, acknowledged there before the commit that depends on it, and obeyed by every rebuild.

Keys hold there as they do in the log: from a ``keys`` record in the shard's partition on, what is not signed is no amendment.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal, Protocol

import msgspec

from streamer.errors import RefusedError
from streamer.signing import AMENDMENT, CONTROL, NO_KEYS, Keyring, SignedPlace, Trust, check_control, check_numbered
from streamer.wire import AMENDMENTS, Instant, LogRecord, decode_control

What = Literal["skip", "fault", "aside", "resume", "arrival"]
Whole = Annotated[int, msgspec.Meta(ge=0)]

FOR_DEFINITIONS: Final = 0  # the ``due_ms`` of a customer who is set aside at a change of definitions, not at a timer


class Amendment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One decision about ``offset`` of a shard, in the log of generation ``log``.

    ``skip``: a person has the shard go on without the record. ``fault``: our code failed at the record, with an error of the class
    ``detail``. ``aside``: it failed at ``customer``, at the timer due at ``due_ms`` or, where that is 0, at the change of definitions that
    began at ``to``; their memberships stand and no timer of theirs runs until their next event. ``resume``: the log no longer has what
    follows; a person has the shard go on at ``to``. ``arrival``: the records from ``offset`` up to but not including ``to`` count as
    arrived at ``arrival_ms`` at the latest: a clock that jumped stays wrong for many records. All but ``resume`` and ``arrival`` name the
    very record at ``offset``.

    ``who`` is a worker or a person, ``when`` by their clock, ``why`` for people. ``command`` is the id of the command that asked for it:
    one that comes twice is obeyed once. None of the four is part of the story.
    """

    what: What
    shard: Whole
    offset: Whole
    log: Annotated[int, msgspec.Meta(ge=1)] = 1
    customer: str = ""
    due_ms: Whole = 0
    to: Whole = 0
    arrival_ms: Whole = 0
    detail: str = ""
    who: str = ""
    when: Instant | None = None
    why: str = ""
    command: str = ""


def aside_place(amendment: Amendment) -> tuple[int, str, int]:
    """By what a customer is known who is set aside. When a customer's turn comes in a change of definitions is of no account: it began at
    one record for all."""
    began_at = amendment.to if amendment.due_ms == FOR_DEFINITIONS else amendment.offset
    return began_at, amendment.customer, amendment.due_ms


encode_amendment: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(Amendment)


def decode_amendment(raw: bytes) -> Amendment:
    """An amendment, or RefusedError."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("wrong_type", detail=f"{error}"[:200]) from None


def amendment_place(shard: int) -> SignedPlace:
    """For what the amendments of a shard are signed."""
    return SignedPlace(AMENDMENT, AMENDMENTS, shard)


class Reading:
    """The topic of amendments as far as one shard's part was read. ``refused`` counts what was not signed as it must be."""

    def __init__(self, shard: int, log: int, keyring: Keyring = NO_KEYS) -> None:
        self.refused = 0
        self._shard = shard
        self._log = log
        self._keyring = keyring
        self._trust = Trust()

    def take(self, record: LogRecord) -> Amendment | None:
        """The amendment in the next record; None where it has none for this shard in this generation of the log.

        RefusedError for what is no amendment or may not be one, HaltError when this process lacks a key that holds.
        """
        found = None if record.control else decode_amendment(record.value)
        try:
            if found is None:
                self._take_keys(record)
            else:
                self._trust = check_numbered(self._trust, self._keyring, record, amendment_place(self._shard))
        except RefusedError:
            self.refused += 1
            raise
        return found if found is not None and (found.shard, found.log) == (self._shard, self._log) else None

    def _take_keys(self, record: LogRecord) -> None:
        control = decode_control(record.value)
        if control.control == "keys":
            self._trust = check_control(self._trust, self._keyring, control, record, SignedPlace(CONTROL, AMENDMENTS, self._shard))


class Amendments:
    """The amendments of one shard, by place. Of two about one place the later one holds."""

    def __init__(self, found: Iterable[Amendment] = ()) -> None:
        self._refused: dict[int, Amendment] = {}
        self._resumed: dict[int, int] = {}
        self._arrived: list[Amendment] = []
        self._commanded: dict[str, Amendment] = {}
        self._in_order: list[Amendment] = []
        self.aside: set[tuple[int, str, int]] = set()  # (offset, customer, due_ms), as ``aside_place`` says
        for amendment in found:
            self.add(amendment)

    def add(self, amendment: Amendment) -> None:
        """One more."""
        self._in_order.append(amendment)
        if amendment.command:
            self._commanded[amendment.command] = amendment
        match amendment.what:
            case "skip" | "fault":
                self._refused[amendment.offset] = amendment
            case "resume":
                self._resumed[amendment.offset] = amendment.to
            case "arrival":
                self._arrived.insert(0, amendment)  # the newest first
            case "aside":
                self.aside.add(aside_place(amendment))

    def behind(self, number: int) -> list[Amendment]:
        """Those that were added after the first so many, in their order."""
        return self._in_order[number:]

    @property
    def are_of_no_record(self) -> bool:
        """Whether every record is to be taken as it lies in the log."""
        return not self._refused and not self._arrived

    def has(self, amendment: Amendment) -> bool:
        """Whether the same was decided before, in which case to decide it once more does not help."""
        if amendment.what == "aside":
            return aside_place(amendment) in self.aside
        return amendment.what == "fault" and amendment.offset in self._refused

    def of_command(self, command: str) -> Amendment | None:
        """What a command has led to already; None where it did not come before."""
        return self._commanded.get(command)

    def refusal(self, offset: int) -> RefusedError | None:
        """Why the record at an offset is not to be applied; None when it is."""
        amendment = self._refused.get(offset)
        if amendment is None:
            return None
        return RefusedError("fault" if amendment.what == "fault" else "passed_over", detail=amendment.detail)

    def about_records(self) -> Amendments:
        """Those of single records and customers alone, without bounded arrivals and places to go on at."""
        found = Amendments()
        found._refused, found.aside = self._refused, self.aside
        found._in_order = [one for one in self._in_order if one.what not in {"arrival", "resume"}]
        return found

    def arrival_ms(self, offset: int, found_ms: int) -> int:
        """When a record arrived that came with ``found_ms``."""
        if not self._arrived:  # asked for each record, and mostly nobody has bounded anything
            return found_ms
        bounds = (bound.arrival_ms for bound in self._arrived if bound.offset <= offset < bound.to)
        return min(found_ms, next(bounds, found_ms))

    def resumes_at(self, offset: int) -> int | None:
        """Where the shard goes on that stands at ``offset``; None where nobody chose a place behind it."""
        chosen = self._resumed.get(offset)
        return chosen if chosen is not None and chosen > offset else None

    def next_resume(self, offset: int) -> int | None:
        """The first place behind ``offset`` from which the shard goes on elsewhere; None where there is none."""
        return min((at for at in self._resumed if at > offset), default=None)


class Journal(Protocol):
    """The amendments of one shard, and the way to write one more."""

    amendments: Amendments

    async def write(self, amendment: Amendment) -> None:
        """Keep an amendment for good: when this returns the broker has acknowledged it and ``amendments`` has it.

        Raises FencedError when the shard has a newer owner, StoreUnavailableError when it could not be written.
        """
        ...


class MemoryJournal:
    """A journal for replays and tests; ``kept`` is what a topic would have. Several of one list share what is written."""

    def __init__(self, kept: list[Amendment] | None = None) -> None:
        self.kept = kept if kept is not None else []
        self.amendments = Amendments(self.kept)

    async def write(self, amendment: Amendment) -> None:
        """See ``Journal``."""
        self.kept.append(amendment)
        self.amendments.add(amendment)

    async def close(self) -> None:
        """Nothing is held."""
