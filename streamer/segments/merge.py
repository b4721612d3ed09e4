"""What goes out when the past of another id has come to a customer: a CloudEvent beside the segment changes.

The shape is ``schemas/customer-merged.v1.json``.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from streamer.wire import Instant

from .change import Change, ChangePosition, decode_change, encode_json
from .unmerge import UNMERGED, Id, Unmerge, decode_unmerge

MERGED: Final = "customer.merged"
OF_NO_SEGMENT: Final = frozenset({MERGED, UNMERGED})


class MergeData(msgspec.Struct, kw_only=True):
    """The body of a merge.

    ``from_`` is the id whose past came to ``to``, ``also`` further ids that led to it and lead here now, ascending. ``cause`` is the
    message id of the event that named both ids.
    """

    from_: Id = msgspec.field(name="from")
    to: Id
    also: list[Id]
    at: Instant
    cause: str
    position: ChangePosition


class Merge(msgspec.Struct):
    """A CloudEvent 1.0 in structured JSON. ``subject`` is the customer who survives."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+-[0-9]+-[0-9]+-[0-9]+$")]
    source: Annotated[str, msgspec.Meta(min_length=1)]
    type: Literal["customer.merged"]
    subject: Id
    time: Instant
    data: MergeData
    specversion: Literal["1.0"]  # no default: what lacks it is no CloudEvent
    datacontenttype: Literal["application/json"] = "application/json"


class _Type(msgspec.Struct):
    type: str


_type_decoder: Final = msgspec.json.Decoder(_Type)
_decoder: Final = msgspec.json.Decoder(Merge)


def decode_merge(raw: bytes) -> Merge:
    """A merge as its schema has it; ``msgspec.DecodeError`` for anything else."""
    merge = _decoder.decode(raw)
    if merge.subject != merge.data.to:
        raise msgspec.ValidationError("the subject of a merge is who survives")
    return merge


def is_merge(raw: bytes) -> bool:
    """Whether something in ``segment-changes`` is a merge, or one that is taken back; ``msgspec.DecodeError`` for what has no type."""
    return _type_decoder.decode(raw).type in OF_NO_SEGMENT


def decode_change_or_merge(raw: bytes) -> Change | Merge | Unmerge:
    """What lies in ``segment-changes``; ``msgspec.DecodeError`` for anything else."""
    kind = _type_decoder.decode(raw).type
    return decode_merge(raw) if kind == MERGED else decode_unmerge(raw) if kind == UNMERGED else decode_change(raw)


def encode_merge(source: str, data: MergeData) -> bytes:
    """The CloudEvent around it."""
    position = data.position
    id_ = f"{position.generation}-{position.shard}-{position.offset}-{position.ordinal}"
    return encode_json(Merge(id=id_, source=source, type="customer.merged", subject=data.to, time=data.at, data=data, specversion="1.0"))
