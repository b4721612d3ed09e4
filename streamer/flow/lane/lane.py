"""One lane of one shard: it folds the shard's log under the plan of what is new, with a checkpoint of its own beside the shard's.

Whoever drives it gives it the records of the log in order (``fold``) and those that lie ahead (``hear``), publishes what ``fold`` returns
with a ``relay.Relay`` over its ``store``, and stops where the definitions begin to hold. A crash costs what was not committed.

Where the shard has history, that is folded with the log: before each record what had happened by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streamer.customers.state import State
from streamer.customers.tombstone import is_tombstone
from streamer.errors import HaltError, KeysLostError, RefusedError
from streamer.flow.amendments import Amendment, Amendments
from streamer.flow.driver import Entry, open_session
from streamer.flow.forwards import forward_of
from streamer.flow.identity_records import Adopt, decode_identity, place_of_side
from streamer.flow.machine import Limits
from streamer.flow.past_trusts import trust_at
from streamer.flow.rules import Rules
from streamer.flow.scorers import Scorers
from streamer.flow.shard_log import Histories
from streamer.flow.states import read_state
from streamer.flow.store_session import Pause, StoreSession
from streamer.signing import NO_KEYS, Keyring
from streamer.stores.base import Page, Store
from streamer.wire import LogRecord

from .inherited import NOTHING, Inherited
from .lane_driver import Breather, LaneDriver, LoopBreather
from .lane_plan import LanePlan
from .lane_step import LaneSource, LaneStep
from .mailbox import HELD_BYTES_MAX, Heard, Mailbox, SentFrom
from .recall import Recall

RECALLED_AT_ONCE: Final = 2_000  # records of history
SLICES: Final = Limits(records=2_000, states=2_000, wakes=2_000, bytes=8_000_000)


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """What a lane has from its shard. ``store`` is that of the shard. ``amendments`` are obeyed, and none is written: what a lane fails at
    its shard did not. ``histories`` is needed where the plan
    has history. ``is_heard``: what it says is published; where it is not, it says nothing to learn from. ``inherited`` is of
    the shard's checkpoint. ``scorers`` are those that are decoded already, for all who ask for the same; None: the lane decodes for
    itself."""

    shard: int
    store: Store
    rules: Rules
    amendments: Amendments
    pause: Pause
    keyring: Keyring = NO_KEYS
    histories: Histories | None = None
    limits: Limits = SLICES
    is_heard: bool = True
    held_bytes_max: int = HELD_BYTES_MAX
    breather: Breather = LoopBreather()  # noqa: RUF009 - it keeps nothing
    inherited: Inherited = NOTHING
    scorers: Scorers | None = None


class SideLane:
    """A lane towards definitions of one version. After any error it must be dropped from memory and opened anew.

    ``store`` has its shard; ``awaits`` is the place from which the lane of another shard is to send something before it can go on (None:
    it waits for nothing). ``begin`` is the offset at which the log began when it was opened.
    """

    def __init__(self, settings: LaneSettings, plan: LanePlan, driver: LaneDriver, store: Store, mailbox: Mailbox, begin: int) -> None:
        self.plan = plan
        self.store = store
        self.begin = begin
        self.shard = settings.shard
        self.awaits: SentFrom | None = None
        self._driver = driver
        self._mailbox = mailbox
        self._version = driver.machine.body.version
        self._recall: Recall | None = None
        if plan.history:
            assert settings.histories is not None, "whoever folds with history has it"
            self._recall = Recall(settings.histories, settings.shard, driver.machine.body.recalled, plan.history)

    @classmethod
    async def open(cls, settings: LaneSettings, plan: LanePlan, version: int, *, begin: int = 0) -> SideLane:
        """The lane as its checkpoint says, or a new one, over a log that begins at offset ``begin``. Whoever drove it before is fenced.

        A lane that has lost keys is begun anew, since it has nothing that the log has not; so is one that stands before ``begin``, which
        would go on behind a gap. One that is done has nothing to go on with, and may have what the log has no more: it is kept.
        """
        number, store = settings.shard, settings.store.lane(plan.name(version))
        trust = trust_at(settings.inherited.trusts, begin)
        mailbox = Mailbox(number, settings.rules, settings.keyring, version, plan.before, settings.held_bytes_max)
        source = LaneSource(
            settings.rules,
            settings.keyring,
            plan,
            version,
            mailbox,
            Scorers(store) if settings.scorers is None else settings.scorers.over(store),
            settings.inherited.models_since,
            trust,
            is_log_cut=begin > 0,
            is_heard=settings.is_heard,
        )

        async def owned() -> tuple[StoreSession, LaneStep]:
            return await open_session(number, store, source, settings.amendments, settings.pause)

        try:
            session, step = await owned()
        except KeysLostError:
            await store.drop(number)
            session, step = await owned()
        if 0 < session.checkpoint.position.offset < begin and step.body.lane < 0:
            await store.drop(number)
            session, step = await owned()
        heard = Heard(step.body.heard_from, step.body.heard_trust)
        mailbox.begin(heard if heard.offset >= begin else Heard(begin, trust), step.body.forwards)
        driver = LaneDriver(
            session, source, step, settings.rules, settings.limits, _NoJournal(number, settings.amendments), settings.breather
        )
        return cls(settings, plan, driver, store, mailbox, begin)

    @property
    def position(self) -> int:
        """The offset of the next record to fold; of a lane that is done, that behind the definitions for which it folded."""
        offset = self._driver.position.offset
        return offset if self.is_done else max(offset, self.begin)

    @property
    def recalled(self) -> int:
        """The offset of the next record of history to fold."""
        return self._driver.machine.body.recalled

    @property
    def left_of_history(self) -> int:
        """How many offsets of history are not folded yet."""
        return max(0, self.plan.history - self.recalled)

    @property
    def is_done(self) -> bool:
        """Whether it has folded the definitions for which it folds: behind them there is nothing for it."""
        return self._driver.machine.body.lane >= 0

    @property
    def log_time_ms(self) -> int:
        """Log time where it stands, in UTC milliseconds; 0 before the first record."""
        return self._driver.machine.body.log_time_ms

    @property
    def counts(self) -> dict[str, int]:
        """How many records were accepted, and how many were not, by reason."""
        return self._driver.machine.body.counts

    @property
    def since_ms(self) -> dict[str, int]:
        """By memory since when it remembers, where the log no longer had all; of scores only where some of what served is lost."""
        return self._driver.machine.body.since_ms

    def hear(self, records: Sequence[LogRecord]) -> None:
        """Records of the shard's log that lie ahead, in their order: what lanes of other shards have sent is among them."""
        self._mailbox.hear(records)

    def listen_for(self, place: SentFrom) -> None:
        """Whoever hears for it is to do so from ``heard_upto`` on until this has come."""
        self._mailbox.listen_for(place)

    @property
    def heard_upto(self) -> int:
        """The offset of the next record to hear."""
        return self._mailbox.heard_upto

    def give_up(self, place: SentFrom) -> None:
        """Nothing will come from a place for which it ``awaits``: the log of that shard does not reach back so far."""
        self._mailbox.give_up(place)

    def has_come(self, place: SentFrom) -> bool:
        """Whether what it ``awaits`` from a place has come, or will not come."""
        return self._mailbox.has(place)

    async def fold(self, records: Sequence[LogRecord], recalled_max: int = RECALLED_AT_ONCE) -> list[Entry]:
        """Fold the records that follow ``position``, as far as may be: up to one that ``awaits`` something, and none behind the definitions
        for which it folds. Return what is to be published.

        Of history it folds at most so many records more, and ends there: call it again with what then follows ``position``.
        Raises what ``ShardDriver.process`` does; HaltError too where our own code fails at one of them.
        """
        driver, entries = self._driver, list[Entry]()
        todo = records
        while todo and not self.is_done:
            await driver.resume_where_chosen()
            todo = [record for record in todo if record.offset >= driver.position.offset]
            if todo and self._recall is not None:
                recalled_max -= await self._fold_history(self._recall, todo[0], recalled_max)
                if recalled_max <= 0:
                    break
            ready = self._ready(todo)
            if self._recall is not None:
                before = await self._before_history(self._recall, todo[:ready])
                self.awaits = self.awaits if before == ready else None
                ready = before
            driver.machine.body.heard_from, driver.machine.body.heard_trust = self._mailbox.needed_from
            entries += await driver.process(todo[:ready]) if ready else []
            todo = todo[ready:] if self.awaits is None else []
        self._mailbox.forget()
        return entries

    async def _fold_history(self, recall: Recall, record: LogRecord, most: int) -> int:
        """Fold what had happened when a record arrived, the next one; how much that was."""
        found = await recall.until(self.recalled, self._time_at(record), most)
        if found:
            await self._driver.recall(found, record.offset)
        return len(found)

    async def _before_history(self, recall: Recall, records: Sequence[LogRecord]) -> int:
        """How many of these records arrived before the next of history happened. The first of them did, if there is one."""
        following = await recall.next(self.recalled)
        if following is None:
            return len(records)
        return next((at for at, one in enumerate(records) if self._time_at(one) >= following.arrival_ms), len(records))

    def _time_at(self, record: LogRecord) -> int:
        """Log time at a record that follows."""
        return self._driver.machine.time_at(record._replace(arrival_ms=self._driver.arrival_ms(record)))

    def _ready(self, records: Sequence[LogRecord]) -> int:
        """How many of them can be folded now, none behind what may be the definitions for which it folds."""
        for number, record in enumerate(records):
            if record.control and self._may_be_the_last(record):
                self.awaits = None
                return number + 1
            place = self._wanted(record) if record.headers and not record.control else None
            if place is not None and not self._mailbox.has(place):
                self.awaits = place
                return number
        self.awaits = None
        return len(records)

    def _may_be_the_last(self, record: LogRecord) -> bool:
        return self.plan.digest.encode() in record.value

    def _wanted(self, record: LogRecord) -> SentFrom | None:
        """From where something must have come before a record can be folded."""
        try:
            forward = forward_of(record)
            if forward is None or forward.kind != "adopt":
                return None
            adopt = decode_identity(forward, record)
        except RefusedError:
            return None
        if not isinstance(adopt, Adopt) or adopt.part > 1 or adopt.is_known_under(self._version):
            return None
        is_repeated = forward.place <= self._driver.machine.body.forwards.get(forward.shard, (0, -1, -1))
        return None if is_repeated else place_of_side(adopt, forward.shard, forward.offset)

    async def states(self, customers: Sequence[str]) -> dict[str, State]:
        """What it remembers of these customers, of those whom it knows."""
        found = await self.store.fetch(self.shard, customers, until_ms=0, limit=0, expected=self._driver.checkpoint)
        pairs = zip(customers, found.states, strict=True)
        return {one: read_state(self.shard, one, blob) for one, blob in pairs if blob is not None and not is_tombstone(blob)}

    async def customers(self, bucket: int, *, limit: int) -> Page:
        """See ``CustomerPages``."""
        return await self.store.customers(self.shard, bucket, limit=limit, expected=self._driver.checkpoint)

    async def drop(self) -> None:
        """Forget all of it."""
        await self.store.drop(self.shard)


class _NoJournal:
    """Amendments that are obeyed. None is written."""

    def __init__(self, shard: int, amendments: Amendments) -> None:
        self.amendments = amendments
        self._shard = shard

    async def write(self, amendment: Amendment) -> None:
        """HaltError: to pass over a record in a lane alone would make it another log than the shard's."""
        raise HaltError(
            f"shard {self._shard}: what is new in the definitions fails at offset {amendment.offset} of the log ({amendment.detail}); "
            "this is a fault of this program: publish definitions without it"
        )
