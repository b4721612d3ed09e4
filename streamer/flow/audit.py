"""The audit: whether what the store has of a customer is what the log says, told anew by one customer's records beside the shard's work."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from streamer.customers.tombstone import is_tombstone
from streamer.stores.base import Position, Store
from streamer.wire import LogRecord

from .checkpoint import decode_body
from .customer_folder import CustomerFolder
from .folding import FoldError, TooManyRecordsError
from .states import read_state

RECORDS_MAX: Final = 2_000  # for one customer: about a tenth of a second of work


class Unaudited(Enum):
    """Why nothing can be said of a customer now."""

    NOBODY = "nobody"  # an old id, or somebody who was erased meanwhile
    SHARD_IS_BUSY = "busy"  # in the middle of a record, or of a change of definitions
    TOO_MANY = "too_many"  # there are more records, of theirs or of models, than are read for one customer
    NOT_NOTED = "not_noted"  # where the records lie was not kept, or the log does not have them any more


class Audited(NamedTuple):
    """Two states of one customer as of ``position``: what the store had, and what the log says by the records in ``told``, and by those of
    the customer in its ``history``."""

    shard: int
    customer: str
    position: Position
    log_time_ms: int
    stored: bytes
    folded: bytes | None
    told: Sequence[LogRecord]
    history: Sequence[LogRecord]

    @property
    def is_equal(self) -> bool:
        """To the byte."""
        return self.stored == self.folded


async def audit(store: Store, folder: CustomerFolder, shard: int, customer: str) -> Audited | Unaudited:
    """Compare one customer as of the newest commit. Raises UnreadableStateError, and what reading the store and the log may."""
    checkpoint, [stored] = await store.committed(shard, [customer])
    if stored is None or is_tombstone(stored) or not checkpoint.body:
        return Unaudited.NOBODY
    body = decode_body(checkpoint.body)
    if checkpoint.position.step or body.switch is not None:
        return Unaudited.SHARD_IS_BUSY
    offsets = read_state(shard, customer, stored).offsets
    try:
        folded = await folder.fold(shard, customer, checkpoint.position, body, offsets, records_max=RECORDS_MAX)
    except TooManyRecordsError:
        return Unaudited.TOO_MANY
    except FoldError:
        return Unaudited.NOT_NOTED
    return Audited(shard, customer, checkpoint.position, body.log_time_ms, stored, folded.state, folded.told, folded.history)
