"""What a shard drives: a state machine over the records of one log, and where such machines come from.

The shard reads, waits and commits; the machine decides. Whoever keeps these promises gets timers, slices, commits, crash recovery and the
isolation of faults from ``driver.ShardDriver``: the segmenter's step is one such machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeVar

from streamer.errors import RefusedError
from streamer.events.event import Event
from streamer.stores.base import Checkpoint, Holdings
from streamer.wire import Control, LogRecord, Output

from .amendments import Amendments
from .customer_walk import CustomerPages
from .identity_records import IdentityRecord
from .same_log import Delivered

Content = Event | Control | IdentityRecord | RefusedError
"""What a record of the log says: a customer's event, a control record, what ties a customer's ids together, or why it is none of these."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one commit may cover, each at least 1. None of these changes what is said.

    ``bytes`` is of states and outputs. What one event, or one moment of one customer, does is never divided: a commit may be larger by it.
    ``until_sent``: a record that has something written to the log is the last of its commit, for whoever applies that at once.
    """

    records: int = 1_000  # about 20 ms of work: the heartbeats share the loop
    states: int = 500  # larger ones save nothing that can be measured, and 99 of 100 changes came within 175 ms instead of 60
    wakes: int = 500
    bytes: int = 4_000_000
    until_sent: bool = False


WHOLE: Final = Limits()
ALONE: Final = Limits(records=1, states=1, wakes=1)  # while something is suspected


@dataclass(frozen=True, slots=True)
class CommitBatch:
    """What a slice of the log amounts to: everything that one commit writes.

    ``states`` and ``wakes`` have None for what is removed. ``documents`` are contents by names without which the states cannot be read or
    folded anew, ``forgotten`` names those that are needed no longer; ``holds`` is what the store has once this is committed.
    """

    output_digest: bytes
    body: bytes
    states: Mapping[str, bytes | None]
    wakes: Mapping[str, int | None]
    outputs: Sequence[Output]
    holds: Holdings
    documents: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    forgotten: Sequence[str] = ()
    change_counts: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    decision_counts: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])


class InHand(NamedTuple):
    """The customer at whom a machine is at work, and the moment of their timer; ``FOR_DEFINITIONS`` in a migration, which began at
    ``begun_at``."""

    customer: str
    due_ms: int
    begun_at: int = 0


class MigrationInProgress(Protocol):
    """A change after which every customer must be looked at: at each record as many as log time has passed for, in the order of
    ``buckets.place_of``, and before that whoever a record or a timer is of. Each as if it had been done at the record at which it began."""

    @property
    def offset(self) -> int:
        """Of the record at which it began."""
        ...

    @property
    def cursor(self) -> str:
        """The last customer who is done; empty before the first."""
        ...

    @property
    def at_once_max(self) -> int:
        """How many customers may be done between two looks at the event loop."""
        ...

    def allowed_at(self, offset: int, now: int) -> int:
        """How many customers are to be done in the order of the walk at the record at ``offset``, which has log time ``now``. Of two
        records of which none was begun the later one has no fewer."""
        ...

    def done_at(self, offset: int) -> int:
        """How many customers were done in the order of the walk at the record at ``offset``."""
        ...

    def begin_at(self, offset: int, now: int) -> None:
        """Customers are about to be done in the order of the walk at this record: from now on it counts how many."""
        ...

    def migrate(self, customer: str, offset: int) -> None:
        """Do the next customer of the walk, whose state is loaded, at the record at ``offset``; nothing for one who is done."""
        ...

    def touch(self, customer: str, offset: int) -> None:
        """The record at ``offset`` is of this customer, whose state is loaded: do them before it."""
        ...


class StateMachine(Protocol):
    """The pure part of a shard: from records and remembered states to new states, timers and outputs. It waits for nothing.

    A slice begins with ``load`` and ends with ``take``; between them come, for each record, ``begin``, ``fire`` and ``apply``. Where slices
    are cut must not change what is said: a record whose timers do not fit into one slice is continued in the next without ``begin``.
    """

    @property
    def migration(self) -> MigrationInProgress | None:
        """The migration that is in progress; None when there is none."""
        ...

    def load(self, states: Mapping[str, bytes | None], due: Sequence[tuple[int, str]], awaited: Container[str] = ()) -> None:
        """Begin a slice: encoded states by customer (None: not known) and timers as (due_ms, customer), ascending.

        ``awaited`` are customers of whom records come; ``encode`` is called when none does any more.
        """
        ...

    def time_at(self, record: LogRecord) -> int:
        """Log time at a record, in UTC milliseconds."""
        ...

    def begin(self, offset: int) -> None:
        """The record at ``offset`` begins: its outputs are numbered from 0."""
        ...

    def is_quiet_until(self, now: int) -> bool:
        """Whether nothing would be done or said if time alone passed up to ``now``: of the timers that were loaded or set none is due."""
        ...

    def fire(self, offset: int, until_ms: int, bound: tuple[int, str] | None, limits: Limits | None) -> bool:
        """Fire the timers up to ``until_ms`` in the order of (due_ms, customer), those set since ``load`` too; return whether that was all.

        Only timers below ``bound`` are certain to have been loaded, and the slice may become full; the rest waits for the next slice.
        """
        ...

    def apply(self, record: LogRecord, content: Content, now: int) -> None:
        """Apply a record whose timers have fired, at log time ``now``. Controls that reconfigure never come here."""
        ...

    def encode(self, customer: str) -> None:
        """Nothing more is known to come of this customer in this slice."""
        ...

    def is_full(self, limits: Limits) -> bool:
        """Whether the slice is as large as a commit should be."""
        ...

    def in_hand(self) -> InHand | None:
        """The customer whose timer or migration is in hand; None while a record is. Asked when something has failed."""
        ...

    def finish_migration(self) -> None:
        """Every customer is done."""
        ...

    def keep_last(self, last: Delivered) -> None:
        """Keep in the checkpoint's body which record was delivered last: by it the log is known again."""
        ...

    def take(self) -> CommitBatch:
        """End the slice: what has happened since ``load``."""
        ...


Machine = TypeVar("Machine", bound=StateMachine)


class MachineSource(Protocol[Machine]):
    """Where a shard's machine comes from, and what reconfigures it. It may wait: plans and scorers lie in the store."""

    async def machine_at(self, shard: int, checkpoint: Checkpoint, amendments: Amendments) -> Machine:
        """The machine as it stood at a checkpoint. HaltError when what it needs is not there."""
        ...

    async def reconfigure(self, machine: Machine, record: LogRecord, control: Control, now: int) -> None:
        """Apply a control record that changes by what the machine works. Its timers have fired; a migration may begin."""
        ...

    async def recall(self, machine: Machine, customers: Sequence[str]) -> None:
        """Look up what is to be known of customers who are about to be migrated."""
        ...

    def also_known(self, machine: Machine) -> CustomerPages | None:
        """Customers whom a migration is to bring, and of whom nothing is known yet; None where there are none."""
        ...

    async def finished(self) -> None:
        """Every customer has been migrated, and that is committed."""
        ...
