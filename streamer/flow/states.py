"""The customers' states that one slice of the log touches: decoded once, encoded once. And tombstones, which stand where states stood."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from streamer.customers.state import NO_TIMER, State, decode_state, encode_state
from streamer.customers.tombstone import Tombstone, decode_tombstone, encode_tombstone, is_tombstone
from streamer.errors import UnreadableStateError
from streamer.segments.plan import model_memories
from streamer.stores.buckets import bucket_of

NO_STATES: Final[Mapping[str, bytes | None]] = {}


def read_state(shard: int, customer: str, blob: bytes) -> State:
    """What a store has of a customer. Raises UnreadableStateError where that is no state: damaged, or of another release."""
    try:
        return decode_state(blob)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableStateError(shard, customer, type(error).__name__) from None


class States:
    """States by customer, between ``load`` and ``take``.

    ``generation`` is that of the definitions in force. While there is ``migrate``, states of the generation before are read too, and come
    under the definitions by it before anybody sees them.
    ``unscored`` are the memories of models that do not serve now: they are forgotten as soon as a state is read. ``touched`` has the
    customers whose states a commit has to write. ``weight_bytes`` is roughly what was read and has grown since ``load``.
    """

    def __init__(self, shard: int, generation: int) -> None:
        self.generation = generation
        self.migrate: Callable[[str, State], None] | None = None
        self.unscored: tuple[int, ...] = ()
        self._shard = shard
        self.load(NO_STATES)

    def load(self, blobs: Mapping[str, bytes | None]) -> None:
        """Begin a slice over these encoded states (None: such a customer is not known)."""
        self.touched: set[str] = set()
        self.weight_bytes = 0
        self._blobs = blobs
        self._decoded: dict[str, State] = {}
        self._encoded: dict[str, bytes] = {}
        self._removed: set[str] = set()
        self._had_timer: dict[str, bool] = {}  # customers who were read from the store, and whether it has a timer of theirs

    def get(self, customer: str) -> State | None:
        """The state of a customer; None when they are not known, or by another id. Raises UnreadableStateError."""
        state = self._decoded.get(customer)
        return state if state is not None else self._read(customer)

    def tombstone(self, customer: str) -> Tombstone | None:
        """What is left under the old id of a customer; None for an id that has a state, or is not known."""
        blob = self._blob(customer) if customer not in self._decoded else None
        if blob is None or not is_tombstone(blob):
            return None
        try:
            return decode_tombstone(blob)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreadableStateError(self._shard, customer, type(error).__name__) from None

    def is_unknown(self, customer: str) -> bool:
        """Whether there is neither a state nor a tombstone under an id."""
        return self.get(customer) is None and self.tombstone(customer) is None

    def _blob(self, customer: str) -> bytes | None:
        blob = self._encoded.get(customer)
        return blob if blob is not None or customer in self._removed else self._blobs.get(customer)

    def _read(self, customer: str) -> State | None:
        blob = self._encoded.get(customer)
        is_from_store = blob is None
        if blob is None:
            blob = self._blobs.get(customer)
            if blob is None or customer in self._removed:
                return None
        if is_tombstone(blob):
            if is_from_store:
                self._had_timer[customer] = False
            return None
        state = read_state(self._shard, customer, blob)
        if is_from_store:
            self.weight_bytes += len(blob)
            self._had_timer[customer] = state.timer_ms < NO_TIMER
        self._decoded[customer] = state
        if state.generation != self.generation:
            self._bring(customer, state)
        elif self.unscored:
            model_memories.drop_scores(state, self.unscored)
        return state

    def _bring(self, customer: str, state: State) -> None:
        generation = self.generation
        if self.migrate is None or state.generation != generation - 1:
            raise UnreadableStateError(self._shard, customer, f"it is of generation {state.generation} in generation {generation}")
        self.migrate(customer, state)

    def create(self, customer: str, origin_ms: int) -> State:
        """The empty state of a customer who is seen for the first time, with the moment from which their clock counts. It takes the place
        of a tombstone."""
        self._removed.discard(customer)
        self._encoded.pop(customer, None)
        state = State(self.generation, origin_ms, slots={}, members={}, retired={}, truth_bits={})
        self._decoded[customer] = state
        return state

    def bury(self, customer: str, tombstone: Tombstone) -> None:
        """Leave a tombstone under an id whose state was asked for."""
        self._decoded.pop(customer, None)
        self._removed.discard(customer)
        self._encoded[customer] = encode_tombstone(tombstone)
        self.touched.add(customer)

    def remove(self, customer: str) -> None:
        """Forget a customer whose state was asked for, or a tombstone."""
        self._decoded.pop(customer, None)
        self._encoded.pop(customer, None)
        self.touched.discard(customer)
        self._removed.add(customer)

    def encode(self, customer: str) -> None:
        """Encode the state of a customer of whom nothing more is known to come.

        At once, while it is in the processor's cache: decoding and encoding a whole slice of states at its ends takes two to three times
        as long (12 and 6 µs against 4 and 2.5, states of 400 bytes, 500 a slice).
        """
        state = self._decoded.pop(customer, None)
        if state is not None and customer in self.touched:
            self._encoded[customer] = encode_state(state)

    def written(self) -> int:
        """How many states a commit would write or remove now."""
        return len(self.touched) + len(self._removed)

    def count_into(self, sizes: list[int]) -> None:
        """Bring ``sizes``, how many customers the store has by bucket, to what they are once ``take`` is committed."""
        stored = self._had_timer
        for customer in self._encoded:
            if customer not in stored:
                sizes[bucket_of(customer)] += 1
        for customer in self._removed:
            if customer in stored:
                sizes[bucket_of(customer)] -= 1

    def had_timer(self, customer: str) -> bool:
        """Whether the store has a timer of a customer whose state was read, as of ``load``."""
        return self._had_timer.get(customer, False)

    def take(self) -> dict[str, bytes | None]:
        """What a commit has to write: encoded states by customer, None for one who is removed."""
        for customer in list(self._decoded):
            self.encode(customer)
        return {**self._encoded, **dict.fromkeys(self._removed)}
