"""Records that one shard sends to another, or to itself, through its outbox and the log.

A relay publishes them again after a crash, and a rebuilt shard publishes all of them again: the events topic has no tail to go on behind.
So each carries its place in the story of the shard that sent it, and the receiver drops what is not above the highest it has seen of that
shard. It also carries the log time at which the event first arrived, so that the way round makes it neither late nor early, and its
customer as its key.

Most are events: of a customer who lives elsewhere, or who goes by another id by now. The others tie the ids of one person together, see
``identity_records``. What a side lane of a shard sends has its place in the story of that lane.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple, cast

import msgspec

from streamer.errors import RefusedError
from streamer.events.event import Event
from streamer.wire import FORWARD_HEADER, Headers, LogRecord, is_customer
from streamer.zones import LAST_MS

ForwardPlace = tuple[int, int, int]  # log generation, offset, ordinal

ForwardKind = Literal["event", "link", "adopt", "side", "point", "erase", "restore"]

HOPS_MAX: Final = 8  # how many tombstones an event may pass; what is longer is no chain of logins
_FORM: Final = re.compile(
    rb"([0-9]{1,18})-([0-9]{1,9})-([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,15})-(event|link|adopt|side|point|erase|restore)-([0-9]{1,2})"
)


class Forward(NamedTuple):
    """Where a forwarded record comes from: log generation, shard, offset and ordinal; and the log time at which it first arrived.

    ``kind`` is what it is, ``hops`` how many tombstones have sent an event, or what came of a side lane, on.
    """

    generation: int
    shard: int
    offset: int
    ordinal: int
    arrival_ms: int
    kind: ForwardKind = "event"
    hops: int = 0

    @property
    def place(self) -> ForwardPlace:
        """In the story of the shard that sent it."""
        return self.generation, self.offset, self.ordinal

    @property
    def text(self) -> bytes:
        """As it stands in the header."""
        generation, shard, offset, ordinal, arrival_ms, kind, hops = self
        return b"%d-%d-%d-%d-%d-%b-%d" % (generation, shard, offset, ordinal, arrival_ms, kind.encode(), hops)

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
            generation, shard, offset, ordinal, arrival_ms, kind, hops = found.groups()
            place = int(generation), int(shard), int(offset), int(ordinal)
            return Forward(*place, int(arrival_ms), cast("ForwardKind", kind.decode()), int(hops))
    return None


def is_forwarded(record: LogRecord) -> bool:
    """Whether a record says that it was forwarded, be it rightly."""
    return any(name == FORWARD_HEADER for name, _ in record.headers)


def check_forward(forward: Forward, *, shard: int, shards: int, generation: int) -> None:
    """RefusedError unless a shard of this log can have sent it to ``shard``. Only what belongs elsewhere always comes from another one."""
    is_own = forward.shard == shard and forward.kind == "event" and forward.hops == 0
    if forward.generation != generation or is_own or forward.shard >= shards or forward.arrival_ms > LAST_MS:
        raise RefusedError(
            "bad_control",
            detail=f"no shard of this log can have sent it: expected one of {shards} other than {shard} of generation {generation}, found "
            f"shard {forward.shard} of generation {forward.generation} at {forward.arrival_ms} ms",
        )


def addressed(event: Event, record: LogRecord) -> Event:
    """A forwarded event as its sender meant it: of the customer whom the key names. RefusedError when it names none.

    An event with nothing but an anonymous id does not become one that names two: it links nobody.
    """
    customer = customer_in(record)
    if customer == event.customer:
        return event
    return msgspec.structs.replace(event, user_id=customer, anonymous_id=event.anonymous_id if event.user_id is not None else None)


def customer_in(record: LogRecord) -> str:
    """The customer whom the key of a forwarded record names. RefusedError when it names none."""
    try:
        customer = record.key.decode()
    except UnicodeDecodeError:
        customer = ""
    if not is_customer(customer):
        raise RefusedError("bad_control", detail="a forwarded record whose key is no customer")
    return customer
