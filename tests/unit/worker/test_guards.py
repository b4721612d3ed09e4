"""Guards taken out, one at a time: with the guard gone its law must fail, or it proves nothing.

Here are those that one law holds by itself. Whatever needs a history of failures to show is in ``tests/simulation/test_mutations.py``.
"""
# pyright: reportPrivateUsage=false
# Whoever breaks things must reach inside.

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from inspect import iscoroutine
from typing import Any, Final, NamedTuple

import pytest
import test_learner_service

from streamer import signing
from streamer.cli import event_source
from streamer.customers import erased
from streamer.flow import admission as admission_module
from streamer.flow import forwards as forwards_module
from streamer.flow import record_reader
from streamer.flow.admission import Admission
from streamer.flow.amendments import Amendment, Amendments, MemoryJournal
from streamer.flow.driver import HandOver
from streamer.flow.forwards import Forward
from streamer.flow.isolation import Isolation
from streamer.flow.shard import Shard, StepSource
from streamer.flow.step import Step
from streamer.flow.training import TrainingLog
from streamer.stores import memory as memory_module
from streamer.stores.memory import MemoryStore
from streamer.transports.kafka import clients as kafka_module
from streamer.wire import Control, LogRecord
from streamer.worker.learner_service import LearnerService
from streamer.worker.shards import log_watch as log_watch_module
from streamer.worker.shards import ownership as ownership_module
from tests.cli import conftest as cli
from tests.cli import test_cases
from tests.contract import test_lost_keys
from tests.property import test_caps
from tests.simulation.test_mutations import what_failed_leaves_its_traces
from tests.unit.flow import (
    test_erased,
    test_forwards,
    test_isolation,
    test_log_time,
    test_nobody,
    test_same_log,
    test_signed,
    test_slices,
)
from tests.unit.transports.kafka import test_readers
from tests.unit.worker.one_worker import Worker
from tests.unit.worker.shards import test_another_log

Patch = pytest.MonkeyPatch
FAILS: Final = (AssertionError, pytest.fail.Exception)


class Guard(NamedTuple):
    """How it is taken out, and the law that then fails."""

    take_out: Callable[[Patch], None]
    law: Callable[[Patch], Coroutine[Any, Any, None] | None]


GUARDS: Final[dict[str, Guard]] = {}


def guard(law: Callable[[Patch], Coroutine[Any, Any, None] | None]) -> Callable[[Callable[[Patch], None]], None]:
    """Enlist a way to take a guard out."""

    def enlist(take_out: Callable[[Patch], None]) -> None:
        GUARDS[take_out.__name__] = Guard(take_out, law)

    return enlist


@pytest.mark.parametrize("name", GUARDS)
def test_a_law_notices_that_it_is_gone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sound code passes the same law in its own file."""
    with monkeypatch.context() as patch:
        GUARDS[name].take_out(patch)
        with pytest.raises(FAILS):
            _obey(GUARDS[name].law(patch))


def _obey(found: Coroutine[Any, Any, None] | None) -> None:
    if iscoroutine(found):
        asyncio.run(found)


# what our own code fails at


@guard(test_isolation.test_an_amendment_is_acknowledged_before_the_commit_that_depends_on_it)
def amendments_are_written_before_the_commit(patch: Patch) -> None:
    """Kept in memory until then."""
    note = Isolation.note

    async def note_in_memory(self: Isolation, culprit: Amendment, error: Exception) -> None:
        journal, self._journal = self._journal, MemoryJournal()
        await note(self, culprit, error)
        journal.amendments, self._journal = self._journal.amendments, journal

    patch.setattr(Isolation, "note", note_in_memory)


guard(lambda patch: test_isolation.test_a_record_at_which_we_fail_is_a_dead_letter_and_nothing_else_changes(patch, test_isolation.WHOLE))(
    what_failed_leaves_its_traces
)


@guard(test_isolation.test_a_rebuild_obeys_what_was_amended_even_by_code_that_does_not_fail)
def a_rebuild_obeys_what_failed(patch: Patch) -> None:
    """It looks at the record instead."""
    _forget(patch, "fault")


@guard(test_isolation.test_a_rebuild_sets_the_same_customer_aside_at_the_same_moment)
def a_rebuild_obeys_who_was_set_aside(patch: Patch) -> None:
    """It knows of nobody."""
    _forget(patch, "aside")


def _forget(patch: Patch, what: str) -> None:
    """Whoever opens a journal reads everything but these."""
    begin = Amendments.__init__

    def begin_without(self: Amendments, found: Sequence[Amendment] = ()) -> None:
        begin(self, [amendment for amendment in found if amendment.what != what])

    patch.setattr(Amendments, "__init__", begin_without)


# from shard to shard


@guard(lambda _: test_forwards.test_a_shard_told_anew_sends_on_again_and_nothing_counts_twice())
def what_is_not_above_the_highest_is_dropped(patch: Patch) -> None:
    """Each is taken for the first."""
    patch.setattr(Admission, "_is_first", lambda self, forward: True)


@guard(lambda _: test_forwards.test_an_event_is_not_late_for_having_been_sent_on())
def what_was_sent_on_is_judged_by_its_first_arrival(patch: Patch) -> None:
    """By its second."""

    def forward_by_arrival(record: LogRecord) -> Forward | None:
        found = forwards_module.forward_of(record)
        return found._replace(arrival_ms=record.arrival_ms) if found is not None else None

    patch.setattr(admission_module, "forward_of", forward_by_arrival)


# who may say what


@guard(lambda _: test_erased.test_a_straggler_of_an_erased_customer_does_not_bring_them_back())
def an_erasure_leaves_a_mark(patch: Patch) -> None:
    """Nobody looks at it."""
    patch.setattr(erased, "was_erased", lambda *_: False)


@guard(lambda _: test_signed.test_what_is_not_signed_rules_nothing_once_keys_hold(test_signed.ERASE))
def control_records_are_signed(patch: Patch) -> None:
    """Whatever is written there holds."""
    patch.setattr(signing, "check_signed", lambda *_: None)


@guard(lambda _: test_signed.test_what_shards_send_to_each_other_cannot_be_forged())
def what_is_sent_on_is_signed(patch: Patch) -> None:
    """Whoever says that it comes from a shard is believed."""
    patch.setattr(admission_module, "check_signed", lambda *_: None)


@guard(lambda _: test_signed.test_a_captured_record_does_nothing_a_second_time())
def numbers_of_a_signer_rise(patch: Patch) -> None:
    """An old one is as good as a new one."""
    patch.setattr(signing, "_numbered", lambda trust, signature: (trust.signers, trust.floor))


# definitions and models


@guard(lambda _: test_slices.test_definitions_that_were_overtaken_are_nothing(1))
def definitions_not_above_those_in_force_are_nothing(patch: Patch) -> None:
    """Whatever comes last holds."""
    switch = StepSource._switch

    async def switch_anyhow(self: StepSource, machine: Step, control: Control, offset: int) -> None:
        version, machine.body.version = machine.body.version, -1
        await switch(self, machine, control, offset)
        machine.body.version = max(version, control.version) if machine.migration is None else control.version

    patch.setattr(StepSource, "_switch", switch_anyhow)


async def _a_learner_tells_what_it_comes_to(patch: Patch) -> None:
    world = test_learner_service.World(patch)
    for number in range(30):
        world.topic.minute(number, 20)
    await test_learner_service.test_a_learner_that_begins_anew_tells_only_what_it_comes_to_in_the_end(world)


@guard(_a_learner_tells_what_it_comes_to)
def a_learner_says_nothing_on_its_way(patch: Patch) -> None:
    """What it comes to is told at once."""
    tell = LearnerService._tell_shards

    async def tell_at_once(self: LearnerService, training: TrainingLog) -> None:
        training.is_behind = False
        await tell(self, training)

    patch.setattr(LearnerService, "_tell_shards", tell_at_once)


# reading the log


@guard(lambda _: test_another_log.test_it_is_noticed_when_the_shard_is_acquired(Worker()))
def another_log_is_noticed_at_the_start(patch: Patch) -> None:
    """Nobody asks."""
    patch.setattr(ownership_module, "look_again", _see_nothing)


@guard(lambda _: test_another_log.test_it_is_noticed_while_the_shard_is_owned(Worker()))
def another_log_is_noticed_while_running(patch: Patch) -> None:
    """Nobody asks again."""
    patch.setattr(log_watch_module, "look_again", _see_nothing)


@guard(lambda _: test_same_log.test_a_log_that_has_grown_past_the_position_is_known_by_its_record(None))
def the_record_delivered_last_is_read_again(patch: Patch) -> None:
    """Begin and end are enough."""
    check = test_same_log.check_same_log
    patch.setattr(test_same_log, "check_same_log", lambda shard, position, _last, view: check(shard, position, (-1, 0, b""), view))


async def _see_nothing(*_: object) -> None:
    return None


@guard(test_readers.test_readers_get_what_is_committed_alone)
def readers_are_read_committed(patch: Patch) -> None:
    """As the client does by itself."""
    reader = kafka_module.reader

    def read_everything(*about: Any, **more: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            consumer: Any = kafka_module.AIOKafkaConsumer
            inner.setattr(
                kafka_module, "AIOKafkaConsumer", lambda *topics, isolation_level, **how: consumer(*topics, isolation_level="", **how)
            )
            return reader(*about, **more)

    patch.setattr(kafka_module, "reader", read_everything)


@guard(lambda _: test_log_time.test_a_record_with_its_producers_time_moves_none(1))
def a_producers_time_moves_none(patch: Patch) -> None:
    """Every time counts."""
    patch.setattr(Step, "time_at", lambda self, record: max(self.body.log_time_ms, record.arrival_ms))


@guard(lambda _: test_cases.test_one_wild_clock_does_not_rule_the_lines_after_it(cli.run_here(), ()))
def wild_clocks_in_files_are_put_aside(patch: Patch) -> None:
    """Each line moves time."""
    patch.setattr(event_source, "without_wild_clocks", lambda arrivals, *_: arrivals)


# customers


@guard(lambda _: test_caps.test_an_id_that_fell_out_of_memory_is_refused_and_not_counted_again())
def what_was_lost_to_the_cap_on_ids_is_refused(patch: Patch) -> None:
    """Nothing is said to be lost."""
    remember = admission_module.remember
    patch.setattr(admission_module, "remember", lambda *about, **more: (remember(*about, **more)[0], 0))


@guard(lambda _: test_nobody.test_a_shard_takes_placeholders_away_before_an_event_has_a_customer())
def placeholders_are_no_ids(patch: Patch) -> None:
    """Every id is one."""
    patch.setattr(record_reader, "settle_customer", lambda event, _: event)


# the store


@guard(lambda _: test_lost_keys.test_entries_that_are_gone_are_noticed_before_anything_is_written(MemoryStore(), "customers", "a"))
def lost_keys_are_noticed(patch: Patch) -> None:
    """What is there is all there is."""
    patch.setattr(memory_module, "_check_whole", lambda *_: None)


@guard(lambda _: test_slices.test_what_a_commit_says_is_handed_over_before_the_next_one())
def what_a_record_says_goes_out_slice_by_slice(patch: Patch) -> None:
    """All of it at the end."""
    process = Shard.process

    async def process_whole(self: Shard, records: Sequence[LogRecord], hand_over: HandOver | None = None) -> Any:
        entries = await process(self, records)
        if hand_over is None:
            return entries
        for entry in entries:
            await hand_over(entry)
        return []

    patch.setattr(Shard, "process", process_whole)
