"""Break the code on purpose, one protection at a time: the seeded world must notice within a few histories.

Each mutant is played on the broken code and judged by the sound one. Protections that a deterministic story can do without are at the end:
with them gone no reader is told anything else, and a law of the contract suites holds them instead.
"""

# pyright: reportPrivateUsage=false
# Whoever breaks things must reach inside.

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

import msgspec
import pytest

from streamer.customers.state import State
from streamer.errors import CommitUnknownError, StoreUnavailableError
from streamer.flow import change_writer
from streamer.flow import states as states_module
from streamer.flow.admission import Admission
from streamer.flow.amendments import Amendment, Amendments
from streamer.flow.catalog import Plans
from streamer.flow.change_writer import ChangeWriter
from streamer.flow.isolation import Isolation
from streamer.flow.reader import Deduplicator
from streamer.flow.relay import Relay
from streamer.flow.set_aside import SetAside
from streamer.flow.shard import Shard
from streamer.flow.step import Step
from streamer.flow.store_session import StoreSession
from streamer.language.tree import Condition
from streamer.segments.change import Lens
from streamer.segments.plan.plan import Plan, warming_predicates
from streamer.stores import memory as memory_module
from streamer.stores.base import Commit, OutputPosition, Page, Position
from streamer.stores.memory import EMPTY, MemoryStore
from streamer.transports.memory import MemoryLog
from streamer.wire import Control, LogRecord
from tests.contract import test_relay, test_store
from tests.unit.flow import test_slices

from . import world
from .catching import SEEDS, Mutant, first_caught
from .faults import FaultyJournal, FaultyStore
from .loop import Halt

MUTANTS: dict[str, Mutant] = {}
FIRST: Final = {  # the history with which to begin: one in some hundred has what it takes; that is where it was noticed last
    "a_lost_reply_is_taken_for_success": 230,
    "a_former_owner_still_amends": 169,
    "an_amendment_is_kept_after_the_commit": 18,
}


def mutant(function: Mutant) -> Mutant:
    """Enlist a way to break the code."""
    MUTANTS[function.__name__] = function
    return function


# the step


@mutant
def timers_fire_once_per_batch(patch: pytest.MonkeyPatch) -> None:
    """After an outage a reminder would go to people who bought later in the same batch."""
    apply, commit = Shard._apply, Shard._commit

    def apply_without_timers(self: Shard, *what: Any) -> bool:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(self.machine, "fire", lambda *_: True)
            return apply(self, *what)

    async def fire_and_commit(self: Shard, position: Position) -> None:
        self.machine.fire(max(0, position.offset - (position.step == 0)), self.body.log_time_ms)
        await commit(self, position)

    patch.setattr(Shard, "_apply", apply_without_timers)
    patch.setattr(Shard, "_commit", fire_and_commit)


@mutant
def timers_fire_beyond_what_was_loaded(patch: pytest.MonkeyPatch) -> None:
    """Those left out of a slice may be due before the new ones in it."""
    fire = Step.fire
    patch.setattr(Step, "fire", lambda self, offset, until_ms, _bound=None, *more: fire(self, offset, until_ms))


@mutant
def log_time_goes_back_with_the_brokers_clock(patch: pytest.MonkeyPatch) -> None:
    """Arrival times are not sorted; log time is their running maximum."""

    patch.setattr(Step, "time_at", lambda self, record: record.arrival_ms)


@mutant
def definitions_hold_from_when_a_worker_hears_of_them(patch: pytest.MonkeyPatch) -> None:
    """Not from a position of the log: each worker switches at a moment of its own."""
    read = Plans.read

    def read_newest(self: Plans, control: Control) -> Coroutine[Any, Any, tuple[Plan, bytes]]:
        newest: Control = self.__dict__.setdefault("newest", control)
        if control.version > newest.version:
            newest = self.__dict__["newest"] = control
        return read(self, newest)

    patch.setattr(Plans, "read", read_newest)


@mutant
def outputs_differ_from_process_to_process(patch: pytest.MonkeyPatch) -> None:
    """A model with a hash seed, the order of a set: said once more it comes out differently."""
    numbers, because = count(), change_writer.because_encoded

    def because_or_so(plan: Plan, condition: Condition, state: State, now: int, lens: Lens) -> bytes:
        found = because(plan, condition, state, now, lens)
        return msgspec.json.encode(msgspec.json.decode(found)[::-1]) if next(numbers) % 5 == 0 else found

    patch.setattr(change_writer, "because_encoded", because_or_so)


@mutant
def what_was_sent_on_before_is_applied_again(patch: pytest.MonkeyPatch) -> None:
    """A shard that is told anew sends everything again."""
    patch.setattr(Admission, "_is_first", lambda self, forward: True)


@mutant
def a_record_in_the_wrong_shard_is_dropped(patch: pytest.MonkeyPatch) -> None:
    """Its producer chose another partitioner; the event is no less true."""
    patch.setattr(Admission, "_forward", lambda self, customer, record, arrived_ms: self.count("wrong_shard"))


@mutant
def a_state_is_not_what_was_encoded(patch: pytest.MonkeyPatch) -> None:
    """Whoever goes on from memory and whoever goes on from the store then differ."""
    encode = states_module.encode_state

    def encode_less(state: State) -> bytes:
        return encode(msgspec.structs.replace(state, truth_bits={}))

    patch.setattr(states_module, "encode_state", encode_less)


# the shard


@mutant
def a_quiet_shard_is_not_probed(patch: pytest.MonkeyPatch) -> None:
    """Its store came back older, and nobody will ever know."""
    patch.setattr(world, "PROBE_MS", 1 << 60)


@mutant
def ordinals_begin_again_in_a_second_slice(patch: pytest.MonkeyPatch) -> None:
    """A reader has seen those positions and skips the outputs."""
    begin = Shard._begin

    def begin_again(self: Shard, record: LogRecord) -> int:
        self.machine.begin(record.offset)
        return begin(self, record)

    patch.setattr(Shard, "_begin", begin_again)


@mutant
def a_lost_reply_is_taken_for_success(patch: pytest.MonkeyPatch) -> None:
    """Half of the time it was none. (A checked read finds out before harm is done, so that goes too.)"""
    _leave_reads_unchecked(patch)

    async def commit_or_so(self: StoreSession, commit: Commit) -> None:
        try:
            await self._store.commit(self.shard, commit)
        except CommitUnknownError:
            pass
        except StoreUnavailableError:
            await self.pause(1)
            await commit_or_so(self, commit)
        self.checkpoint = commit.checkpoint

    patch.setattr(StoreSession, "commit", commit_or_so)


@mutant
def cached_states_survive_the_loss_of_a_shard(patch: pytest.MonkeyPatch) -> None:
    """On any doubt a cache is dropped: another owner may have written since."""
    load, as_commit, commit = Shard._load, Shard._as_commit, Shard._commit

    def cache_of(shard: Shard) -> dict[tuple[int, str], bytes]:
        return shard._steps._plans.__dict__.setdefault("cache", {})

    async def load_cached(self: Shard, *what: Any) -> Any:
        found = await load(self, *what)
        states, cache = self.machine._states, cache_of(self)
        states._blobs = {customer: cache.get((self.shard, customer), blob) for customer, blob in states._blobs.items()}
        return found

    def as_commit_noted(self: Shard, *what: Any) -> Commit:
        self.__dict__["noted"] = found = as_commit(self, *what)
        return found

    async def commit_cached(self: Shard, position: Position) -> None:
        await commit(self, position)
        for customer, state in self.__dict__["noted"].states.items():
            if state is None:
                cache_of(self).pop((self.shard, customer), None)
            else:
                cache_of(self)[self.shard, customer] = state

    patch.setattr(Shard, "_load", load_cached)
    patch.setattr(Shard, "_as_commit", as_commit_noted)
    patch.setattr(Shard, "_commit", commit_cached)


@mutant
def a_store_that_came_back_older_is_taken_for_damage(patch: pytest.MonkeyPatch) -> None:
    """The shard halts and waits for a person, though it only had to begin again. (Of two belts none is left.)"""
    _leave_reads_unchecked(patch)
    patch.setattr(Shard, "process", _process_unchecked)


def _leave_reads_unchecked(patch: pytest.MonkeyPatch) -> None:
    fetch, customers = MemoryStore.fetch, MemoryStore.customers

    async def fetch_anything(
        self: MemoryStore, shard: int, wanted: Sequence[str], *, until_ms: int, limit: int, expected: object = None
    ) -> Any:
        return await fetch(self, shard, wanted, until_ms=until_ms, limit=limit)

    async def customers_anyhow(self: MemoryStore, shard: int, bucket: int, *, limit: int, expected: object = None) -> Page:
        return await customers(self, shard, bucket, limit=limit)

    patch.setattr(MemoryStore, "fetch", fetch_anything)
    patch.setattr(MemoryStore, "customers", customers_anyhow)


async def _process_unchecked(self: Shard, records: Sequence[LogRecord]) -> Any:
    await self._process([self._read(record) for record in records])
    entries, self._collected = self._collected, []
    return entries


@mutant
def definitions_are_kept_beside_the_commit(patch: pytest.MonkeyPatch) -> None:
    """A failover between the two leaves a shard under definitions that nobody has."""
    commit = StoreSession.commit

    async def put_and_commit(self: StoreSession, what: Commit) -> None:
        for name, content in what.documents.items():
            await self._store.put_document(name, content)
        await commit(self, replace(what, documents={}))

    patch.setattr(StoreSession, "commit", put_and_commit)


@mutant
def the_outbox_is_written_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    """Who dies between the two has changed his mind and told nobody."""
    commit = FaultyStore.commit

    async def commit_then_say(self: FaultyStore, shard: int, what: Commit) -> None:
        await commit(self, shard, replace(what, outbox=None))
        await Halt("saying")
        if what.outbox is not None:
            self._redis.store._shard(shard).outbox.append(what.outbox)
            self._redis.written()

    patch.setattr(FaultyStore, "commit", commit_then_say)


# what our own code fails at


@mutant
def an_amendment_is_kept_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    """Who dies between the two leaves a rebuild to meet the record unwarned."""
    write, commit = FaultyJournal.write, Shard._commit

    async def write_later(self: FaultyJournal, amendment: Amendment) -> None:
        self.amendments.add(amendment)
        self.__dict__.setdefault("later", []).append(amendment)

    async def commit_and_write(self: Shard, position: Position) -> None:
        await commit(self, position)
        journal = self._journal
        assert isinstance(journal, FaultyJournal)
        for amendment in journal.__dict__.pop("later", ()):
            await write(journal, amendment)

    patch.setattr(FaultyJournal, "write", write_later)
    patch.setattr(Shard, "_commit", commit_and_write)


@mutant
def a_former_owner_still_amends(patch: pytest.MonkeyPatch) -> None:
    """The new owner has read that nothing was amended there, and told the record as it is."""
    patch.setattr(FaultyJournal, "check_fence", lambda self: None)


@mutant
def what_failed_leaves_its_traces(patch: pytest.MonkeyPatch) -> None:
    """Half of a record was counted when the error came."""
    isolate = Shard._isolate

    async def isolate_in_place(self: Shard, error: Exception) -> None:
        step = self.machine
        await isolate(self, error)
        self.machine = step

    patch.setattr(Shard, "_isolate", isolate_in_place)


@mutant
def a_rebuild_forgets_which_records_failed(patch: pytest.MonkeyPatch) -> None:
    """The same code meets the poison again, and mended code tells another story."""
    patch.setattr(Amendments, "refusal", lambda self, offset: None)


@mutant
def a_rebuild_forgets_who_was_set_aside(patch: pytest.MonkeyPatch) -> None:
    """Their timers run this time."""
    patch.setattr(SetAside, "is_amended", lambda *_: False)


@mutant
def one_failure_is_enough(patch: pytest.MonkeyPatch) -> None:
    """What fails by chance costs a customer an event, and the next owner sees nothing wrong with it."""
    note = Isolation.note

    async def note_at_once(self: Isolation, culprit: Amendment, error: Exception) -> None:
        self.suspect = culprit
        await note(self, culprit, error)

    patch.setattr(Isolation, "note", note_at_once)


# the store


@mutant
def lost_keys_are_not_noticed(patch: pytest.MonkeyPatch) -> None:
    """Who is not known any more enters again what they never left; whose wake-up is gone never leaves."""
    patch.setattr(memory_module, "_check_whole", lambda *_: None)


@mutant
def a_commit_checks_the_epoch_alone(patch: pytest.MonkeyPatch) -> None:
    """An owner does not notice that its store came back older, and goes on over old states."""
    commit = MemoryStore.commit

    async def commit_by_epoch(self: MemoryStore, shard: int, what: Commit) -> None:
        kept = self._shard(shard)
        if kept.checkpoint.owner == what.expected.owner:
            kept.checkpoint = what.expected
        await commit(self, shard, what)

    patch.setattr(MemoryStore, "commit", commit_by_epoch)


@mutant
def a_state_expires(patch: pytest.MonkeyPatch) -> None:
    """Redis counts down by the wall clock. (That keys are lost is noticed, and the shard told anew, so that goes too.)"""
    lost_keys_are_not_noticed(patch)
    numbers, commit = count(1), MemoryStore.commit

    async def commit_and_forget(self: MemoryStore, shard: int, what: Commit) -> None:
        await commit(self, shard, what)
        states = self._shard(shard).states
        if next(numbers) % 40 == 0 and states:
            states.pop(min(states))

    patch.setattr(MemoryStore, "commit", commit_and_forget)


@mutant
def the_checkpoint_is_evicted(patch: pytest.MonkeyPatch) -> None:
    """An eviction policy takes what was not used lately, whatever it is."""
    numbers, acquire = count(1), MemoryStore.acquire

    async def acquire_evicted(self: MemoryStore, shard: int) -> Any:
        if next(numbers) % 5 == 0:
            self._shard(shard).checkpoint = EMPTY
        return await acquire(self, shard)

    patch.setattr(MemoryStore, "acquire", acquire_evicted)


@mutant
def wake_ups_come_in_the_order_of_their_making(patch: pytest.MonkeyPatch) -> None:
    """Of equal moments the customer decides, or two stores tell two stories."""
    fetch = MemoryStore.fetch

    async def fetch_backwards(self: MemoryStore, shard: int, customers: Sequence[str], **how: Any) -> Any:
        found = await fetch(self, shard, customers, **how)
        return found._replace(due=sorted(found.due, key=lambda entry: (entry[0], [-ord(sign) for sign in entry[1]])))

    patch.setattr(MemoryStore, "fetch", fetch_backwards)


# the relay


@mutant
def the_outbox_is_trimmed_before_the_acknowledgement(patch: pytest.MonkeyPatch) -> None:
    """What was not published is then nowhere."""

    async def turn(self: Relay) -> bool:
        if not self._queue:
            return False
        place, outputs = self._queue[0]
        await self._store.trim(self.shard, upto=place)
        await self._sink.send([output for output in outputs if self._is_new(output)])
        self.backlog -= len(self._queue.popleft()[1])
        return True

    patch.setattr(Relay, "turn", turn)


@mutant
def a_relay_that_starts_forgets_what_the_former_one_left(patch: pytest.MonkeyPatch) -> None:
    """It was committed, so somebody must say it."""

    async def start(self: Relay) -> None:
        await Halt("starting")

    patch.setattr(Relay, "start", start)


@mutant
def a_relay_publishes_the_newest_first(patch: pytest.MonkeyPatch) -> None:
    """Readers skip what comes behind."""

    async def turn(self: Relay) -> bool:
        if not self._queue:
            return False
        outputs = self._queue[-1][1]
        await self._sink.send(outputs)
        await self._store.trim(self.shard, upto=OutputPosition(0, 0))
        self.backlog -= len(self._queue.pop()[1])
        return True

    patch.setattr(Relay, "turn", turn)


@mutant
def a_relay_skips_what_it_could_not_publish(patch: pytest.MonkeyPatch) -> None:
    """An error is not an acknowledgement."""

    async def turn(self: Relay) -> bool:
        if not self._queue:
            return False
        place, outputs = self._queue.popleft()
        self.backlog -= len(outputs)
        await self._sink.send([output for output in outputs if self._is_new(output)])
        await self._store.trim(self.shard, upto=place)
        return True

    patch.setattr(Relay, "turn", turn)


@mutant
def a_reader_believes_everything(patch: pytest.MonkeyPatch) -> None:
    """Relays repeat themselves after a crash; the rule for readers is part of the promise."""
    patch.setattr(Deduplicator, "is_new", lambda self, shard, generation, offset, ordinal: True)


# seat belts: a deterministic story holds without them, always or nearly


def warming_is_looked_up_when_a_worker_happens_to(patch: pytest.MonkeyPatch) -> None:
    """Kept for a minute from the first look: another worker looks first at another moment."""

    def warming_at(self: ChangeWriter, now: int) -> frozenset[str]:
        if self._body.since_ms and now >= self._warming_at_ms:
            self._warming, self._warming_at_ms = frozenset(warming_predicates(self._plan, self._body.since_ms, now)), now + 600_000
        return self._warming

    patch.setattr(ChangeWriter, "_warming_at", warming_at)


def a_commit_does_not_check_the_epoch(patch: pytest.MonkeyPatch) -> None:
    """A zombie whose position happens to be the store's may commit; what it says is what the owner would have said.

    Nearly always: within a record that is cut in slices, position and digest may be the same and the states not. One in two thousand
    histories showed that, with two owners of one epoch.
    """
    commit = MemoryStore.commit

    async def commit_by_position(self: MemoryStore, shard: int, what: Commit) -> None:
        kept = self._shard(shard)
        found = kept.checkpoint
        if (found.position, found.output_digest) == (what.expected.position, what.expected.output_digest):
            what = replace(what, expected=found)
        await commit(self, shard, what)

    patch.setattr(MemoryStore, "commit", commit_by_position)


def a_relay_does_not_ask_for_the_tail(patch: pytest.MonkeyPatch) -> None:
    """It publishes again what its predecessor published and did not trim; readers skip it."""
    start = Relay.start

    async def start_blind(self: Relay) -> None:
        await start(self)
        self._tails.clear()

    patch.setattr(Relay, "start", start_blind)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_world_notices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suite that lets a broken protection pass proves nothing about the sound one."""
    first = FIRST.get(name, 0)
    caught = first_caught(MUTANTS[name], monkeypatch, range(first, first + SEEDS), "both" if name.startswith("a_reader") else "sound")
    assert caught is not None, f"{name}: not noticed in {SEEDS} seeds"


def test_a_reader_is_told_nothing_else_by_a_relay_that_does_not_ask_for_the_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule for readers suffices. Should this begin to fail, the belt has become a beam: move it to the mutants."""
    assert first_caught(a_relay_does_not_ask_for_the_tail, monkeypatch, range(SEEDS // 5)) is None


def test_a_law_notices_that_warming_is_looked_up_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a log that is whole nothing warms, since what is new is folded over it from its beginning."""
    warming_is_looked_up_when_a_worker_happens_to(monkeypatch)
    with pytest.raises(AssertionError):
        test_slices.test_warming_does_not_depend_on_when_a_worker_began()


async def test_a_law_notices_that_the_epoch_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two owners must not take turns, even where they would agree."""
    a_commit_does_not_check_the_epoch(monkeypatch)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await test_store.test_a_fenced_commit_writes_nothing(MemoryStore(), {"epoch": 1})


async def test_a_law_notices_that_the_tail_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers are spared what they need not skip."""
    a_relay_does_not_ask_for_the_tail(monkeypatch)
    log = MemoryLog(1, lambda: 0)
    with pytest.raises(AssertionError):
        await test_relay.test_a_relay_goes_on_behind_the_tail(MemoryStore(), log, test_relay.Sink(log))
