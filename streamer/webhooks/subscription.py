"""A subscription: who wants to hear of which changes, where, and from when on. Secrets stand in it by reference only."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Final, Literal

import msgspec

from streamer.errors import RefusedError
from streamer.segments.change import ENTERED, EXITED
from streamer.segments.merge import MERGED, OF_NO_SEGMENT
from streamer.segments.unmerge import UNMERGED

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{0,63}\Z"  # \Z, as $ lets a line break follow
SECRETS_MAX: Final = 2  # the one that holds, and while it is changed the one before
SHARES: Final = 10_000  # a sample is so many ten-thousandths
DIGEST_BYTES: Final = 6

ChangeType = Literal["segment.entered", "segment.exited", "customer.merged", "customer.unmerged"]
TYPES: Final[tuple[ChangeType, ...]] = (ENTERED, EXITED, MERGED, UNMERGED)
Status = Literal["active", "paused", "disabled"]
SecretReference = Annotated[str, msgspec.Meta(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:/.{1,1023})\Z")]


class Filter(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Which changes are wanted: of these segments (none named: of all), of these types, and of a sample of the customers."""

    segments: tuple[Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}\Z")], ...] = ()
    types: tuple[ChangeType, ...] = (ENTERED, EXITED)
    sample: Annotated[int, msgspec.Meta(ge=1, le=SHARES)] = SHARES  # ten-thousandths of the customers, always the same ones


class Start(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where a subscription begins: at the first change not older than ``at_ms``, but in the partitions that ``offsets`` names there."""

    at_ms: Annotated[int, msgspec.Meta(ge=0)] = 0
    offsets: dict[int, Annotated[int, msgspec.Meta(ge=0)]] = {}


class Subscription(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """One subscription as its topic has it.

    ``id`` is drawn when it is made, so that one that is removed and made again under its name begins anew. ``round`` rises with each
    replay: what was delivered is delivered again under the same ids. ``why`` says why it is disabled; what failed before ``resumed_ms``
    does not count any more.
    """

    name: Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{8}\Z")]
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2_048)]
    secrets: Annotated[tuple[SecretReference, ...], msgspec.Meta(min_length=1, max_length=SECRETS_MAX)]
    start: Start
    wants: Filter = Filter()
    in_flight: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16  # requests at a time, of one process
    status: Status = "active"
    why: Annotated[str, msgspec.Meta(max_length=256)] = ""
    round: Annotated[int, msgspec.Meta(ge=1)] = 1
    resumed_ms: Annotated[int, msgspec.Meta(ge=0)] = 0

    @property
    def digest(self) -> str:
        """What stands in each ``webhook-id`` for this subscription."""
        return blake2b(f"{self.name}\0{self.id}".encode(), digest_size=DIGEST_BYTES).hexdigest()

    def webhook_id(self, change_id: str) -> str:
        """The id of a delivery: the same at every attempt, in every process and every round."""
        return f"{change_id}-{self.digest}"

    def group(self, of_workers: str) -> str:
        """The consumer group whose offsets are its position."""
        return f"{of_workers}-webhook-{self.name}-{self.id}-{self.round}"


class ChangePlace(msgspec.Struct):
    """Where in the story a change is, as its own body says."""

    generation: int
    shard: int
    offset: int
    ordinal: int


class ChangeHeadData(msgspec.Struct):
    """Of the body of a change what a filter asks for; a merge is of no segment, and neither is what takes one back."""

    position: ChangePlace
    segment: str = ""


class ChangeHead(msgspec.Struct):
    """What is read of a change to decide whether and in which order it goes out. The body itself goes out as it lies in Kafka."""

    id: str
    type: str
    subject: str
    data: ChangeHeadData

    @property
    def place(self) -> tuple[int, int, int]:
        """Its position within its shard."""
        position = self.data.position
        return position.generation, position.offset, position.ordinal


_heads: Final = msgspec.json.Decoder(ChangeHead)
_subscriptions: Final = msgspec.json.Decoder(Subscription)
encode_subscription: Final = msgspec.json.Encoder().encode


def read_head(raw: bytes) -> ChangeHead:
    """The head of a change; RefusedError for what is none."""
    try:
        return _heads.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("not_a_change", detail=str(error)[:200]) from None


def decode_subscription(raw: bytes) -> Subscription:
    """A subscription out of its topic; RefusedError for what is none."""
    try:
        return _subscriptions.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError("bad_subscription", detail=str(error)[:200]) from None


def is_wanted(wants: Filter, head: ChangeHead) -> bool:
    """Whether a change is to be delivered.

    >>> from streamer.webhooks.subscription import ChangeHeadData, ChangePlace
    >>> head = ChangeHead("1-0-7-0", "segment.entered", "c-1", ChangeHeadData(ChangePlace(1, 0, 7, 0), "cart_left"))
    >>> is_wanted(Filter(), head), is_wanted(Filter(segments=("loyal",)), head), is_wanted(Filter(types=("segment.exited",)), head)
    (True, False, False)
    """
    if head.type not in wants.types:
        return False
    if wants.segments and head.type not in OF_NO_SEGMENT and head.data.segment not in wants.segments:
        return False
    return wants.sample == SHARES or share_of(head.subject) < wants.sample


def share_of(customer: str) -> int:
    """Where a customer stands among the ten-thousandths: below a sample, and they are in it, in every process and for ever."""
    return int.from_bytes(blake2b(f"sample\0{customer}".encode(), digest_size=8).digest()) % SHARES
