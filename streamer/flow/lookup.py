"""Where the state of a customer lies, by whatever id one asks for them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from streamer.customers.tombstone import decode_tombstone, is_tombstone
from streamer.errors import UnreadableStateError
from streamer.stores.base import Store
from streamer.wire import shard_of


class KnownAs(NamedTuple):
    """The id by which a customer goes, their encoded state (None: nothing is known of them), and the ids that led there, in order.

    ``state`` is also None while the ids point at each other in a circle, until what is under way between shards has closed it.
    """

    customer: str
    state: bytes | None
    passed: tuple[str, ...] = ()


async def look_up(store: Store, customer: str, shards: int) -> KnownAs:
    """Follow what is left under old ids to the customer who has events of them now. Shards go on meanwhile: it is no moment of theirs.

    Raises what reading a store may, and UnreadableStateError.
    """
    passed = list[str]()
    while True:
        shard = shard_of(customer, shards)
        blob = (await store.fetch(shard, [customer], until_ms=0, limit=0)).states[0]
        if blob is None or not is_tombstone(blob) or customer in passed:
            state = None if blob is None or is_tombstone(blob) else blob
            return KnownAs(customer, state, tuple(passed))
        passed.append(customer)
        try:
            customer = decode_tombstone(blob).to
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreadableStateError(shard, customer, type(error).__name__) from None
