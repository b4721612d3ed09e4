"""Records that one shard sends to another, through its outbox and the log.

A relay publishes them again after a crash, and a rebuilt shard publishes all of them again: the events topic has no tail to go on behind.
So each carries its place in the story of the shard that sent it, and the receiver drops what is not above the highest it has seen of that
shard. It also carries the log time at which the event first arrived, so that the way round makes it neither late nor early, and its
customer as its key.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

from streamer.errors import RefusedError
from streamer.events.event import Event
from streamer.wire import FORWARD_HEADER, Headers, LogRecord, is_customer
from streamer.zones import LAST_MS

ForwardPlace = tuple[int, int, int]  # log generation, offset, ordinal

_FORM: Final = re.compile(rb"([0-9]{1,18})-([0-9]{1,9})-([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,15})")


class Forward(NamedTuple):
    """Where a forwarded record comes from: log generation, shard, offset and ordinal; and the log time at which it first arrived."""

    generation: int
    shard: int
    offset: int
    ordinal: int
    arrival_ms: int

    @property
    def place(self) -> ForwardPlace:
        """In the story of the shard that sent it."""
        return self.generation, self.offset, self.ordinal

    @property
    def text(self) -> bytes:
        """As it stands in the header."""
        return b"%d-%d-%d-%d-%d" % self

    @property
    def headers(self) -> Headers:
        """What the record carries."""
        return ((FORWARD_HEADER, self.text),)


def forward_of(record: LogRecord) -> Forward | None:
    """What a record says of where it was forwarded from; None for one that its producer wrote where it lies. RefusedError for neither."""
    for name, value in record.headers:
        if name == FORWARD_HEADER:
            found = _FORM.fullmatch(value)
            if found is None:
                raise RefusedError("bad_control", detail=f"the header {FORWARD_HEADER} does not say where the record comes from")
            return Forward(*map(int, found.groups()))
    return None


def check_forward(forward: Forward, *, shard: int, shards: int, generation: int) -> None:
    """RefusedError unless another shard of this log can have sent it to ``shard``."""
    if forward.generation != generation or forward.shard == shard or forward.shard >= shards or forward.arrival_ms > LAST_MS:
        raise RefusedError(
            "bad_control",
            detail=f"no shard of this log can have sent it: expected one of {shards} other than {shard} of generation {generation}, found "
            f"shard {forward.shard} of generation {forward.generation} at {forward.arrival_ms} ms",
        )


def addressed(event: Event, record: LogRecord) -> Event:
    """A forwarded event as its sender meant it: of the customer whom the key names. RefusedError when it names none."""
    try:
        customer = record.key.decode()
    except UnicodeDecodeError:
        customer = ""
    if not is_customer(customer):
        raise RefusedError("bad_control", detail="a forwarded record whose key is no customer")
    return event if customer == event.customer else msgspec.structs.replace(event, user_id=customer)
