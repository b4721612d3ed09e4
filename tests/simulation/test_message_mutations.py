"""Break the rules by which messages are decided, one at a time: the oracle must notice, or a law where chance would take too long.

Histories are those of ``tests.property.message_persons``: two people who go in and out all day, under several ids, judged record by record.
"""

# pyright: reportPrivateUsage=false
# Whoever breaks things must reach inside.

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from streamer.customers.memories import MIN_TIME
from streamer.customers.message_state import Intent, MessageState
from streamer.customers.state import State
from streamer.events.event import Event
from streamer.flow import message_writer
from streamer.flow.identity_records import Adopt
from streamer.flow.message_writer import MessageWriter
from streamer.flow.step import Step
from streamer.messages import arms, checks, explain, intents, quiet_hours, telling
from streamer.messages.caps import ScopedCap
from streamer.messages.checks import Check, Occasion, Ruling
from streamer.messages.planned import MessagePlan, PlannedMessage
from streamer.segments.plan import plan as plan_module
from streamer.wire import Control, LogRecord
from tests.property.judged import DifferenceError, judged
from tests.property.message_persons import busy_history
from tests.unit.messages import test_against_the_log, test_decisions, test_laws, test_story

from .catching import Mutant

SEEDS = int(os.environ.get("STREAMER_TEST_MUTANT_SEEDS", "120"))
MUTANTS: dict[str, tuple[Mutant, int]] = {}


def mutant(first: int = 0) -> Callable[[Mutant], Mutant]:
    """Enlist a way to break the code, and the history with which to begin; that is where it was noticed last."""

    def enlist(function: Mutant) -> Mutant:
        MUTANTS[function.__name__] = function, first
        return function

    return enlist


# what begins a message


@mutant()
def a_message_of_an_exit_begins_at_entries_too(patch: pytest.MonkeyPatch) -> None:
    """Who comes in is told that they are missed."""
    patch.setattr(PlannedMessage, "begins", lambda self, changes: True)


@mutant(first=3)
def a_change_of_definitions_writes_to_everybody(patch: pytest.MonkeyPatch) -> None:
    """A segment that is new has its members in it from the beginning."""
    patch.setattr(intents, "PROMPT_CAUSES", frozenset({"event", "timer", "definitions"}))


@mutant(first=4)
def a_login_writes_to_who_is_in_by_the_visitors_past(patch: pytest.MonkeyPatch) -> None:
    """The visitor was in that segment, and got it."""
    patch.setattr(intents, "PROMPT_CAUSES", frozenset({"event", "timer", "merge"}))


@mutant(first=3)
def what_asks_for_other_causes_does_not_get_them(patch: pytest.MonkeyPatch) -> None:
    """``also`` is there for a reason."""
    begin = intents.begin

    def begin_promptly(plan: MessagePlan, state: State, changed: Iterable[Any], now: int, cause: str) -> list[Intent]:
        return begin(plan, state, changed, now, cause) if cause in ("event", "timer") else []

    patch.setattr(intents, "begin", begin_promptly)


@mutant()
def a_delay_is_none(patch: pytest.MonkeyPatch) -> None:
    """The reminder comes while the cart is being filled."""
    _change_intents(patch, lambda one: msgspec.structs.replace(one, due_ms=one.at_ms, next_ms=one.at_ms))


@mutant(first=5)
def a_condition_is_asked_when_the_message_begins(patch: pytest.MonkeyPatch) -> None:
    """Peers do so: whoever bought in between gets it all the same."""
    begin, requires = intents.begin, PlannedMessage.requires

    def begin_if_required(plan: MessagePlan, state: State, changed: Iterable[Any], now: int, cause: str) -> list[Intent]:
        surplus = begin(plan, state, changed, now, cause)
        if state.messages is not None:
            kept = [one for one in state.messages.intents if one.at_ms != now or requires(plan.messages[int(one.message)], state, now)]
            state.messages.intents = kept
        return surplus

    patch.setattr(intents, "begin", begin_if_required)
    patch.setattr(PlannedMessage, "requires", lambda self, state, now: True)


def _change_intents(patch: pytest.MonkeyPatch, change: Callable[[Intent], Intent]) -> None:
    begin = intents.begin

    def begin_otherwise(plan: MessagePlan, state: State, changed: Iterable[Any], now: int, cause: str) -> list[Intent]:
        surplus = begin(plan, state, changed, now, cause)
        if state.messages is not None:
            state.messages.intents = [change(one) if one.at_ms == now else one for one in state.messages.intents]
        return surplus

    patch.setattr(intents, "begin", begin_otherwise)


# when it is decided


@mutant()
def nothing_wakes_for_a_message(patch: pytest.MonkeyPatch) -> None:
    """It is decided when somebody looks next: at the next event, or a timer of something else."""
    patch.setattr(intents, "next_due", lambda state: 1 << 52)


@mutant(first=9)
def the_lowest_priority_goes_first(patch: pytest.MonkeyPatch) -> None:
    """The last place of a cap goes to the message that matters least."""
    in_order = intents.in_order

    def backwards(some: Iterable[Intent]) -> list[Intent]:
        return in_order(some)[::-1]

    patch.setattr(intents, "in_order", backwards)


@mutant(first=11)
def what_began_first_goes_first(patch: pytest.MonkeyPatch) -> None:
    """A queue knows no priority."""
    patch.setattr(intents, "in_order", lambda some: sorted(some, key=lambda one: (one.at_ms, str(one.message))))


# the tests


@mutant(first=4)
def what_was_held_is_sent_in_the_morning(patch: pytest.MonkeyPatch) -> None:
    """Peers do so: nothing is asked again, and whoever bought at night is reminded."""
    verdict = intents.verdict

    def verdict_once(plan: MessagePlan, intent: Intent, occasion: Occasion) -> Ruling:
        was_held = intent.next_ms > intent.due_ms
        return Ruling("send") if was_held and plan.find(intent.message) is not None else verdict(plan, intent, occasion)

    patch.setattr(intents, "verdict", verdict_once)


def _change_checks(patch: pytest.MonkeyPatch, change: Callable[[list[Check], Intent, Occasion, PlannedMessage], list[Check]]) -> None:
    sound = checks.checks

    def checks_otherwise(plan: MessagePlan, message: PlannedMessage, intent: Intent, occasion: Occasion) -> Iterator[Check]:
        yield from change(list(sound(plan, message, intent, occasion)), intent, occasion, message)

    patch.setattr(checks, "checks", checks_otherwise)


def _without(patch: pytest.MonkeyPatch, reason: str) -> None:
    _change_checks(patch, lambda found, intent, occasion, message: [check for check in found if check.reason != reason])


@mutant(first=3)
def nobody_is_held_out(patch: pytest.MonkeyPatch) -> None:
    """What a message brings about is not known."""
    _without(patch, "holdout")


@mutant(first=2)
def the_hold_out_is_drawn_before_all_else(patch: pytest.MonkeyPatch) -> None:
    """The arms are no longer alike: one has passed the tests, the other has not been asked."""
    _change_checks(patch, lambda found, intent, occasion, message: sorted(found, key=lambda check: check.reason != "holdout"))


@mutant(first=11)
def in_and_out_and_in_again_is_two_messages(patch: pytest.MonkeyPatch) -> None:
    """The stay that began the first is over."""
    _without(patch, "stay")


@mutant(first=4)
def it_comes_again_always(patch: pytest.MonkeyPatch) -> None:
    """Four times the same mail."""
    _without(patch, "again")


@mutant()
def an_address_that_is_none_is_sent_to(patch: pytest.MonkeyPatch) -> None:
    """The provider says so, a thousand times."""
    _without(patch, "no_address")


@mutant()
def whoever_complained_is_written_to(patch: pytest.MonkeyPatch) -> None:
    """Providers close accounts for it."""
    _without(patch, "suppressed")


@mutant()
def nobody_is_asked_for_consent(patch: pytest.MonkeyPatch) -> None:
    """It is against the law."""
    _without(patch, "no_consent")


@mutant(first=2)
def a_pause_is_not_heard(patch: pytest.MonkeyPatch) -> None:
    """Somebody has seen the mistake, and it goes on."""
    _without(patch, "paused")


@mutant(first=27)
def what_can_only_expire_is_held(patch: pytest.MonkeyPatch) -> None:
    """A row that promises a morning that does not come."""
    failed = checks._failed
    patch.setattr(checks, "_failed", lambda check, valid_until: failed(check, 1 << 60))


# caps


@mutant(first=81)
def a_window_is_a_millisecond_longer(patch: pytest.MonkeyPatch) -> None:
    """After exactly a day there is a place again."""
    _count_slots(patch, lambda at_ms, after_ms: at_ms >= after_ms)


@mutant(first=14)
def a_cap_lets_one_more_through(patch: pytest.MonkeyPatch) -> None:
    """Off by one."""
    taken = ScopedCap.taken
    patch.setattr(ScopedCap, "taken", lambda self, *what: taken(self, *what) - 1)


@mutant(first=14)
def caps_count_calendar_days(patch: pytest.MonkeyPatch) -> None:
    """Peers do so: two at midnight."""
    day_ms = 86_400_000
    _count_slots(patch, lambda at_ms, after_ms: at_ms > (after_ms // day_ms + 1) * day_ms)


def _count_slots(patch: pytest.MonkeyPatch, lies_in: Callable[[int, int], bool]) -> None:
    def taken(self: ScopedCap, slots: Iterable[Any], message: Any, channel: str, now: int) -> int:
        after_ms = now - self.cap.window_ms
        return sum(1 for slot in slots if lies_in(slot.at_ms, after_ms) and self._counts(slot, message, channel))

    patch.setattr(ScopedCap, "taken", taken)


@mutant(first=94)
def a_cap_of_the_channel_is_the_messages_own(patch: pytest.MonkeyPatch) -> None:
    """Five campaigns, five mails."""
    patch.setattr(ScopedCap, "_counts", lambda self, slot, message, channel: slot.message == message)


@mutant(first=67)
def what_is_no_marketing_takes_its_places(patch: pytest.MonkeyPatch) -> None:
    """Whoever orders much hears of nothing."""
    patch.setattr(PlannedMessage, "slot_channel", property(lambda self: self.spec.channel))


@mutant(first=9)
def a_skip_takes_a_place(patch: pytest.MonkeyPatch) -> None:
    """Nobody got anything, and nobody gets anything."""
    patch.setattr(Ruling, "takes_place", property(lambda self: True))


@mutant(first=60)
def who_is_held_out_takes_no_place(patch: pytest.MonkeyPatch) -> None:
    """The other arm meets caps that this one does not."""
    patch.setattr(Ruling, "takes_place", property(lambda self: self.outcome == "send"))


# quiet hours


@mutant(first=72)
def quiet_hours_are_those_of_the_server(patch: pytest.MonkeyPatch) -> None:
    """Nine in the morning in Greenwich."""
    quiet_until = checks.quiet_until
    patch.setattr(checks, "quiet_until", lambda quiet, now, zone: quiet_until(quiet, now, ZoneInfo("UTC")))


@mutant(first=4)
def the_last_minute_of_the_night_is_a_minute_longer(patch: pytest.MonkeyPatch) -> None:
    """At the end itself nobody is asleep any more."""
    is_quiet = quiet_hours.is_quiet
    patch.setattr(quiet_hours, "is_quiet", lambda quiet, minute: is_quiet(quiet, minute) or minute == quiet.until_minute)


@mutant(first=27)
def a_night_does_not_reach_over_midnight(patch: pytest.MonkeyPatch) -> None:
    """``21:00-09:00`` would be none at all."""
    patch.setattr(quiet_hours, "is_quiet", lambda quiet, minute: quiet.from_minute <= minute < quiet.until_minute)


# identity, definitions, control


@mutant(first=3)
def what_waits_for_a_visitor_ends_unsaid(patch: pytest.MonkeyPatch) -> None:
    """Nobody can say why they did not get it."""
    end = MessageWriter.end

    def end_unsaid(self: MessageWriter, customer: str, state: State, reason: Any, now: int, offset: int) -> None:
        if reason != "merged":
            end(self, customer, state, reason, now, offset)

    patch.setattr(MessageWriter, "end", end_unsaid)


@mutant(first=4)
def what_the_visitor_got_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A cap is about a person."""
    patch.setattr(MessageWriter, "join", lambda self, state, adopt, now: None)


@mutant(first=4)
def once_is_once_under_each_id(patch: pytest.MonkeyPatch) -> None:
    """The welcome comes again after the login."""
    join = MessageWriter.join

    def join_places(self: MessageWriter, state: State, adopt: Adopt, now: int) -> None:
        join(self, state, msgspec.structs.replace(adopt, sent_ms={}), now)

    patch.setattr(MessageWriter, "join", join_places)


@mutant(first=11)
def a_message_that_means_something_else_now_keeps_what_waits(patch: pytest.MonkeyPatch) -> None:
    """The message that was meant is defined no longer."""
    patch.setattr(intents, "_begins_otherwise", lambda message, before, after: False)


@mutant(first=11)
def what_waits_for_a_message_that_is_gone_is_dropped(patch: pytest.MonkeyPatch) -> None:
    """It may be back by then; and if not there is a row."""

    def begins_otherwise(message: Any, before: MessagePlan, after: MessagePlan) -> bool:
        return isinstance(message, str) or before.messages[message].name not in after.numbers

    patch.setattr(intents, "_begins_otherwise", begins_otherwise)


@mutant(first=69)
def sends_are_forgotten_when_definitions_change(patch: pytest.MonkeyPatch) -> None:
    """Whoever corrects a comma writes to everybody again."""
    renamed = intents.renamed_messages

    def renamed_anew(held: MessageState, rename: Any) -> MessageState:
        return msgspec.structs.replace(renamed(held, rename), slots=[], newest_ms={})

    patch.setattr(intents, "renamed_messages", renamed_anew)


@mutant(first=5)
def messages_are_known_by_their_numbers(patch: pytest.MonkeyPatch) -> None:
    """A number is another message under other definitions."""
    renamed = intents.renamed_messages
    patch.setattr(intents, "renamed_messages", lambda held, rename: renamed(held, lambda message: message))


@mutant(first=70)
def one_resumption_takes_back_every_pause(patch: pytest.MonkeyPatch) -> None:
    """Who paused the others had a reason."""
    obey = Step._obey

    def obey_all(self: Step, control: Control, now: int, record: LogRecord) -> None:
        obey(self, control, now, record)
        if control.control == "resume":
            self.body.paused = []

    patch.setattr(Step, "_obey", obey_all)


# what is said


@mutant()
def an_entry_again_has_the_key_of_the_first(patch: pytest.MonkeyPatch) -> None:
    """A sender takes it for one that it has sent."""
    key = arms.decision_key
    patch.setattr(telling, "decision_key", lambda message, customer, sequence: key(message, customer, 1))


@mutant()
def variants_are_drawn_by_the_message_alone(patch: pytest.MonkeyPatch) -> None:
    """Everybody gets the same."""
    variant_of = arms.variant_of
    patch.setattr(telling, "variant_of", lambda message, customer, variants: variant_of(message, "", variants))


@mutant(first=2)
def whoever_is_tested_is_treated(patch: pytest.MonkeyPatch) -> None:
    """The arm of those held out is compared with nobody."""
    patch.setattr(telling, "_arm", lambda message, customer: "treated")


@mutant(first=77)
def what_was_taken_out_is_still_in_the_mail(patch: pytest.MonkeyPatch) -> None:
    """Facts as they were when the message began are as wrong as that."""
    items_in = plan_module.items_in

    def items_ever(data: Any, most: int) -> Any:
        return items_in(data and [MIN_TIME, {text: [added, MIN_TIME, values] for text, (added, _, values) in data[1].items()}], most)

    patch.setattr(plan_module, "items_in", items_ever)


@pytest.mark.parametrize("name", MUTANTS)
def test_the_oracle_notices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge who lets a broken rule pass proves nothing about the sound one."""
    broken, first = MUTANTS[name]
    assert _noticed(broken, monkeypatch, [first, *range(SEEDS)]) is not None, f"{name}: not noticed in {SEEDS} histories"


def _noticed(broken: Mutant, monkeypatch: pytest.MonkeyPatch, seeds: Iterable[int]) -> int | None:
    """The first of these histories of which the oracle tells another story when the code is broken."""
    for seed in seeds:
        with monkeypatch.context() as patch:
            broken(patch)
            try:
                judged(busy_history(seed))
            except DifferenceError as error:  # nothing else counts: a clumsy mutant must not pass for one that was noticed
                if os.environ.get("STREAMER_TEST_VERBOSE"):
                    print(f"\n{broken.__name__}: seed {seed}: {error!s:.200}")
                return seed
    return None


# too rare for people who do anything at all: a law notices


def a_message_is_good_up_to_its_last_millisecond_and_one_more(patch: pytest.MonkeyPatch) -> None:
    """A sender refuses what is expired, so the row would say send and nobody would get it."""

    def a_moment_longer(found: list[Check], intent: Intent, occasion: Occasion, message: PlannedMessage) -> list[Check]:
        at_the_end = occasion.now == intent.due_ms + message.spec.expiry_ms
        return [check._replace(holds=True) if check.reason == "expired" and at_the_end else check for check in found]

    _change_checks(patch, a_moment_longer)


def a_failed_send_keeps_its_place(patch: pytest.MonkeyPatch) -> None:
    """The mail that never came is the one of the week."""
    patch.setattr(message_writer.intents, "give_back", lambda state, key: None)


def a_send_that_may_yet_arrive_gives_its_place_back(patch: pytest.MonkeyPatch) -> None:
    """A full mailbox is emptied, and two mails are in it."""

    def note_any(self: MessageWriter, state: State, event: Event) -> None:
        key = (event.properties or {}).get("key")
        if event.name in message_writer.NEVER_DELIVERED and isinstance(key, str):
            intents.give_back(state, bytes.fromhex(key))

    patch.setattr(MessageWriter, "note_outcome", note_any)


def an_end_that_the_clock_skips_is_an_hour_late(patch: pytest.MonkeyPatch) -> None:
    """Twice a year, in each zone on another day."""

    def by_the_older_offset(day: date, minute: int, zone: ZoneInfo) -> list[int]:
        wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=zone)
        return [quiet_hours._utc_ms(wall)]

    patch.setattr(quiet_hours, "_moments", by_the_older_offset)


def who_is_held_out_is_drawn_by_another_hash(patch: pytest.MonkeyPatch) -> None:
    """Everybody is on another side in the middle of a comparison; the oracle's hash is written down too."""
    draw = arms._draw
    patch.setattr(arms, "_draw", lambda what, message, customer: draw(what, message, f"{customer} "))


def any_number_waits(patch: pytest.MonkeyPatch) -> None:
    """A program that goes in and out all day fills a state."""
    patch.setattr(intents, "WAITING_MAX", 1 << 30)


def what_begins_later_is_not_foreseen(patch: pytest.MonkeyPatch) -> None:
    """Somebody is told that nothing will come, and it comes."""
    patch.setattr(explain, "begin", lambda *what: [])


LAWS: dict[str, tuple[Mutant, Callable[[], object]]] = {
    "a last millisecond": (
        a_message_is_good_up_to_its_last_millisecond_and_one_more,
        lambda: asyncio.run(test_story.test_an_expiry_that_was_shortened_meanwhile_is_over_to_the_millisecond("2h", "expired")),
    ),
    "a place that is kept": (a_failed_send_keeps_its_place, test_decisions.test_a_permanent_failure_gives_its_place_back),
    "a place given back": (
        a_send_that_may_yet_arrive_gives_its_place_back,
        test_decisions.test_a_permanent_failure_gives_its_place_back,
    ),
    "a skipped end": (
        an_end_that_the_clock_skips_is_an_hour_late,
        test_laws.test_the_end_of_quiet_hours_that_the_clock_skips_or_shows_twice,
    ),
    "another hash": (
        who_is_held_out_is_drawn_by_another_hash,
        test_laws.test_who_is_held_out_and_which_variant_somebody_gets_is_the_same_for_ever,
    ),
    "an order in between": (
        a_condition_is_asked_when_the_message_begins,
        test_against_the_log.test_nothing_is_sent_after_a_record_that_contradicts_it,
    ),
    "a night elsewhere": (
        quiet_hours_are_those_of_the_server,
        lambda: test_against_the_log.test_nobody_is_woken_in_any_zone_on_the_days_on_which_clocks_change("2026-03-28"),
    ),
    "a foresight": (
        what_begins_later_is_not_foreseen,
        test_against_the_log.test_what_explain_says_will_be_decided_is_decided_if_nothing_happens,
    ),
    "a thousand": (any_number_waits, test_decisions.test_no_more_than_a_thousand_wait_for_one_customer),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_law_notices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What chance brings about too rarely is written down as a history of its own."""
    broken, law = LAWS[name]
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        law()
