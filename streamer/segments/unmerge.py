"""What goes out when an id that was joined into another is a customer again: a CloudEvent beside the segment changes.

The shape is ``schemas/customer-unmerged.v1.json``.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from streamer.wire import Instant

from .change import ChangePosition, encode_json

UNMERGED: Final = "customer.unmerged"

Id = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class UnmergeData(msgspec.Struct, kw_only=True):
    """The body: ``to`` is a customer again, and went by ``from_`` until now. ``also`` are further ids that lead to them, ascending."""

    from_: Id = msgspec.field(name="from")
    to: Id
    also: list[Id]
    at: Instant
    position: ChangePosition


class Unmerge(msgspec.Struct):
    """A CloudEvent 1.0 in structured JSON. ``subject`` is who is a customer again."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+-[0-9]+-[0-9]+-[0-9]+$")]
    source: Annotated[str, msgspec.Meta(min_length=1)]
    type: Literal["customer.unmerged"]
    subject: Id
    time: Instant
    data: UnmergeData
    specversion: Literal["1.0"]  # no default: what lacks it is no CloudEvent
    datacontenttype: Literal["application/json"] = "application/json"


_decoder: Final = msgspec.json.Decoder(Unmerge)


def decode_unmerge(raw: bytes) -> Unmerge:
    """One as its schema has it; ``msgspec.DecodeError`` for anything else."""
    found = _decoder.decode(raw)
    if found.subject != found.data.to:
        raise msgspec.ValidationError("the subject is who is a customer again")
    return found


def encode_unmerge(source: str, data: UnmergeData) -> bytes:
    """The CloudEvent around it."""
    position = data.position
    id_ = f"{position.generation}-{position.shard}-{position.offset}-{position.ordinal}"
    return encode_json(
        Unmerge(id=id_, source=source, type="customer.unmerged", subject=data.to, time=data.at, data=data, specversion="1.0")
    )
