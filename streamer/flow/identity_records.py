"""Records by which the ids of one person are tied together. Each concerns one customer, in whose shard it is applied.

``link`` goes to the old id, whose state is drained: what is left there is a tombstone, and what was remembered goes as ``adopt`` to the
customer who survives. ``side`` brings what a side lane remembers of the old id, see ``lane``. ``point`` has a tombstone point past what
has become one itself, and ``erase`` goes to everything by which an erased person was known. ``restore`` goes to an old id that is to be a
customer again. They travel as forwarded records do, see ``forwards``: the header says the kind, the key the customer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from streamer.customers.memories import Data
from streamer.customers.message_state import CapSlot
from streamer.errors import RefusedError
from streamer.wire import LogRecord, is_customer

from .forwards import Forward, customer_in

ADOPT_BYTES_MAX: Final = 500_000  # of memories in one record: half of what a Kafka record may have


class Link(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``from_`` is another id of ``to``: whoever is under it is to be drained.

    ``alias``: said outright, so it also joins two known customers. ``cause`` is the message id of the event that said so, ``linked_ms`` the
    log time of the survivor's shard. ``passed``: tombstones that sent it on, the first of which the survivor has noted.
    """

    from_: str = msgspec.field(name="from")
    to: str
    cause: str
    linked_ms: int
    alias: bool = False
    passed: list[str] = []

    @property
    def customer(self) -> str:
        """In whose shard it is applied."""
        return self.from_

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id in it."""
        return (self.from_, self.to, *self.passed)


class Adopt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was remembered under the id ``from_``, for ``to`` to adopt; part ``part`` of ``parts``, from 1.

    ``passed``: ids that it went by on its way; ``walk``: tombstones, each of which pointed to the next, the last of them to ``to``.
    ``memories`` by their keys, which mean the same under all definitions; their times count from ``origin_ms`` (UTC), and were remembered
    up to ``drained_ms``, log time in the shard of the old id. ``seen`` and ``floor_ms`` (UTC) are those of the state and come with the
    first part, ``links`` and ``parted`` with the last. ``places`` in caps and ``sent_ms``, when messages went out last, come with the
    first part: in UTC, by the names of messages. ``version`` is of the definitions under which it was drained, ``passed_under`` the
    highest of those under which it was sent on. ``lane_offset``: where in the log of its shard lanes send what they remember, if that is
    not where this was sent; -1: it is.
    """

    to: str
    from_: str = msgspec.field(name="from")
    cause: str
    linked_ms: int
    origin_ms: int
    drained_ms: int
    part: int = 1
    parts: int = 1
    passed: list[str] = []
    walk: list[str] = []
    memories: dict[str, Data] = {}
    seen: bytes = b""
    floor_ms: int | None = None
    links: dict[str, int] = {}
    places: list[CapSlot] = []
    sent_ms: dict[str, int] = {}
    parted: dict[str, str] = {}
    version: int = 1
    passed_under: int = 0
    lane_offset: int = -1

    @property
    def customer(self) -> str:
        """In whose shard it is applied."""
        return self.to

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id in it."""
        return (self.from_, self.to, *self.passed, *self.walk, *self.links, *self.parted, *self.parted.values())

    @property
    def is_last(self) -> bool:
        """Whether all of it has come with this part."""
        return self.part == self.parts

    def is_known_under(self, version: int) -> bool:
        """Whether no lane towards definitions of this version sends its memories to whom it comes to: it has them, or it was sent on where
        they hold already, and so is what comes of the lanes."""
        return self.version >= version or self.passed_under >= version


class Side(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a side lane towards definitions of ``version`` remembers of the id ``from_``; part ``part`` of ``parts``, from 1.

    ``before`` is the digest of the definitions from which the lane leads there: what they have already it does not send.

    It belongs to an ``Adopt``, which the shard itself had sent at the same place of its log, and whose other fields it has. ``links`` are
    those of the old id where there is imported history, ascending in time; ``aliases`` which of them that says outright.
    ``is_of_history``: only history knows the old id, and the ``Adopt`` names this place (``lane_offset``).
    """

    version: int
    before: str
    to: str
    from_: str = msgspec.field(name="from")
    cause: str
    linked_ms: int
    origin_ms: int
    drained_ms: int
    part: int = 1
    parts: int = 1
    passed: list[str] = []
    memories: dict[str, Data] = {}
    links: dict[str, int] = {}
    aliases: Sequence[str] = ()
    is_of_history: bool = False

    @property
    def customer(self) -> str:
        """In whose shard it is applied."""
        return self.to

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id in it."""
        return (self.from_, self.to, *self.passed, *self.links)

    @property
    def is_last(self) -> bool:
        """Whether all of it has come with this part."""
        return self.part == self.parts


def place_of_side(adopt: Adopt, shard: int, offset: int) -> tuple[int, int]:
    """The shard and the offset in its log where lanes send what belongs to an ``Adopt`` that this shard has sent there."""
    return shard, offset if adopt.lane_offset < 0 else adopt.lane_offset


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """The tombstone of ``id`` is to point to ``to`` where it points to one of ``instead_of``, all of them ids of one person.

    ``cause`` is the message id of the event by which ``to`` came to be the survivor, ``linked_ms`` the log time of their shard.
    """

    id: str
    to: str
    instead_of: list[str]
    cause: str
    linked_ms: int

    @property
    def customer(self) -> str:
        """In whose shard it is applied."""
        return self.id

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id in it."""
        return (self.id, self.to, *self.instead_of)


class Erasure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``customer`` is an id of somebody who is erased.

    ``person``: all ids of whoever is erased already, this being one of them. Empty: this id leads to whom is to be erased.
    """

    customer: str
    person: list[str] = []

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id in it."""
        return (self.customer, *self.person)


class Restore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The old id ``customer`` is a customer again, and no other id of ``survivor``; see ``unmerging``.

    ``past`` is what was said of them, see ``own_past``. ``links``: which other ids are theirs, and since when.
    """

    customer: str
    survivor: str
    past: str
    links: dict[str, int] = {}

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id in it."""
        return (self.customer, self.survivor, *self.links)


IdentityRecord = Link | Adopt | Side | Redirect | Erasure | Restore

encode_identity: Final = msgspec.json.Encoder().encode
_decoders: Final = {
    "link": msgspec.json.Decoder(Link),
    "adopt": msgspec.json.Decoder(Adopt),
    "side": msgspec.json.Decoder(Side),
    "point": msgspec.json.Decoder(Redirect),
    "erase": msgspec.json.Decoder(Erasure),
    "restore": msgspec.json.Decoder(Restore),
}


def decode_identity(forward: Forward, record: LogRecord) -> IdentityRecord:
    """What a record of one of these kinds says; RefusedError where it says nothing usable."""
    try:
        found = _decoders[forward.kind].decode(record.value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_control", detail=f"{forward.kind}: {error}"[:200]) from None
    if not all(map(is_customer, found.ids)):
        raise RefusedError("bad_control", detail=f"{forward.kind}: one of the ids in it can be no customer's")
    if customer_in(record) != found.customer:
        raise RefusedError("bad_control", detail=f"{forward.kind}: its key is another customer than the one whom it concerns")
    return found


def in_parts(memories: Mapping[str, Data]) -> list[dict[str, Data]]:
    """Memories in as few parts as fit into a record each, in their order; one part where there are none."""
    parts, size_bytes = [dict[str, Data]()], 0
    for key, data in memories.items():
        more = len(key) + len(encode_identity(data))
        if parts[-1] and size_bytes + more > ADOPT_BYTES_MAX:
            parts.append({})
            size_bytes = 0
        parts[-1][key] = data
        size_bytes += more
    return parts
