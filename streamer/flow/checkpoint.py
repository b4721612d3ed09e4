"""What a shard remembers beside its customers, and how it is written into the store's checkpoint."""

from __future__ import annotations

from typing import Final

import msgspec

from streamer.customers import erased
from streamer.signing import Trust
from streamer.stores.buckets import BUCKETS
from streamer.stores.documents import CONTROLS_DOCUMENT, definitions_document, scorer_document

from .past_trusts import TrustFrom
from .same_log import NOTHING, Delivered

NOTHING_BROUGHT: Final = -1  # instead of an offset of history


class Switch(msgspec.Struct, array_like=True):
    """A change of definitions that not every customer has come under yet.

    ``offset`` is that of the ``definitions`` record, ``at_ms`` log time there. At the record at ``record`` ``done`` customers came under
    them in the order of the walk, of ``allowed``; up to and including it ``given`` were due, see ``walk_pace``. ``brought``: the record
    brought history too, so all that is remembered is folded anew; what lies below this offset of history was brought before.
    """

    offset: int
    at_ms: int
    record: int = -1
    done: int = 0
    allowed: int = 0
    given: int = 0
    brought: int = NOTHING_BROUGHT


class SidesTaken(msgspec.Struct, frozen=True, array_like=True):
    """What of the lanes towards some definitions a shard has taken: by the shard whose lane sent it, the highest place. ``before`` is the
    digest of the definitions that held here until then."""

    before: str
    places: dict[int, tuple[int, int, int]]


class CheckpointBody(msgspec.Struct, array_like=True):
    """The body of a shard's checkpoint: what it remembers beside its customers.

    ``ordinal`` belongs to a record that was committed in part. While customers come under other definitions there is a ``switch``, and
    ``cursor`` is the last of them in the order of the walk. ``digest`` names the definitions of states of ``generation``,
    ``previous`` those of the generation before. ``since_ms`` tells of memories that did not exist from the beginning when they began.
    ``sizes`` counts members by segment. ``models`` has version and digest of the scorers in force, by model. ``customers`` and
    ``wakes`` are how many states there are by bucket, and how many timers. ``forwards`` has the highest place seen of what other shards
    sent on, by shard; ``trust`` says which keys hold.
    ``aside`` counts the customers that are set aside.
    ``identity`` counts what became of linked ids (``identity.COUNTED``), ``tombstones`` how many of ``customers`` are such; ``refused_ms``
    is the log time of the newest link that was refused, 0 where none was.
    ``paused`` has the names of messages of which nothing is sent, ascending; ``*`` for all.
    ``has_controls``: the shard keeps where the records lie that concern all its customers, from its first one on.
    ``last`` is the record that was delivered last: by it the log is known again.
    ``lane`` is the offset of the definitions that customers are coming under where a side lane was folded for them, else -1. ``born`` has
    by memory the version of the definitions for which a lane has folded it. ``sides`` has, by version of definitions, what of their lanes
    is taken: what lies below it those of this shard have taken.
    ``history`` is the offset in the shard's log of history below which everything is part of what is remembered, ``history_in_all`` the sum
    of these offsets over all shards. In the body of a lane ``recalled`` is that of the next record of history that it folds, and
    ``heard_from`` that in the log from which it is to hear what lanes of other shards sent; ``heard_trust`` says which keys held there.
    ``models_since`` has by model of the definitions in force the offset of the ``definitions`` record with which its question came.
    ``trusts`` says what held from which offset on, behind each of the newest ``keys`` records; see ``past_trusts``.
    """

    log_time_ms: int = 0
    ordinal: int = 0
    cursor: str = ""
    generation: int = 0
    version: int = 0
    digest: str = ""
    previous: str = ""
    since_ms: dict[str, int] = {}
    counts: dict[str, int] = {}
    sizes: list[int] = []
    models: dict[str, tuple[int, str]] = {}
    customers: list[int] = msgspec.field(default_factory=lambda: [0] * BUCKETS)
    wakes: int = 0
    forwards: dict[int, tuple[int, int, int]] = {}
    trust: Trust = msgspec.field(default_factory=Trust)
    erased: erased.Marks = {}
    last: Delivered = NOTHING
    aside: int = 0
    identity: dict[str, int] = {}
    tombstones: int = 0
    refused_ms: int = 0
    paused: list[str] = []
    lane: int = -1
    born: dict[str, int] = {}
    sides: dict[int, SidesTaken] = {}
    switch: Switch | None = None
    has_controls: bool = False
    history: int = 0
    recalled: int = 0
    models_since: dict[str, int] = {}
    history_in_all: int = 0
    heard_from: int = 0
    heard_trust: Trust = msgspec.field(default_factory=Trust)
    trusts: list[TrustFrom] = []


_body_encoder = msgspec.msgpack.Encoder()
encode_body: Final = _body_encoder.encode
decode_body: Final = msgspec.msgpack.Decoder(CheckpointBody).decode


def documents_of(body: CheckpointBody) -> frozenset[str]:
    """The names of the documents without which a shard's states cannot be read or folded anew; nothing else is kept."""
    controls = {CONTROLS_DOCUMENT} if body.has_controls else set[str]()
    definitions = {definitions_document(digest) for digest in (body.digest, body.previous) if digest}
    return frozenset(controls | definitions | {scorer_document(model) for model in body.models})
