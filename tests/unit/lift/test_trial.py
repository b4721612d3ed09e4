"""Who is counted, for what, and from when."""

from __future__ import annotations

import msgspec
import pytest

from streamer.errors import RefusedError
from streamer.events.event import Event
from streamer.lift.assignment import Assignment, read_assignment
from streamer.lift.report import Lift, lifts
from streamer.lift.trial import Trial
from streamer.units import DAY_MS, HOUR_MS
from streamer.values import time_text

BEGIN_MS = 1_772_000_000_000


def decision(customer: str, at_ms: int = 0, kind: str = "message.send", **changed: object) -> bytes:
    """A record of the ledger."""
    data: dict[str, object] = {
        "message": "tasting",
        "key": f"{customer}-{at_ms}",
        "at": time_text(BEGIN_MS + at_ms),
        "reason": None,
        "arm": "treated",
        "variant": None,
        "goal": {"event": "Order Completed", "within_ms": 3 * DAY_MS, "value": "total"},
    }
    return msgspec.json.encode({"specversion": "1.0", "type": kind, "subject": customer, "data": data | changed})


def held_out(customer: str, at_ms: int = 0) -> bytes:
    return decision(customer, at_ms, kind="message.skip", reason="holdout", arm="held_out")


def order(customer: str | None, at_ms: int, message_id: str = "", anonymous: str | None = None, total: float = 10.0) -> Event:
    return Event(
        event="Order Completed",
        message_id=message_id or f"{customer}-{at_ms}",
        user_id=customer,
        anonymous_id=anonymous,
        timestamp_ms=BEGIN_MS + at_ms,
        properties={"total": total},
    )


def lift_of(decisions: list[bytes], events: list[Event], *, end_ms: int = 9 * DAY_MS) -> Lift:
    trial = Trial()
    for raw in decisions:
        if (found := read_assignment(raw)) is not None:
            trial.decide(found)
    for event in events:
        trial.happen(event, event.timestamp_ms)
    trial.pass_time(BEGIN_MS + end_ms)
    (only,) = lifts(trial)
    return only


def counts(lift: Lift) -> tuple[int, int, int, int]:
    arms = lift.contrasts[0]
    return arms.arm.customers, arms.arm.reached, arms.against.customers, arms.against.reached


def test_both_arms_are_followed_from_the_decision_to_the_end_of_the_window() -> None:
    """What came before the decision is not its doing; the last millisecond of the window is still in it."""
    people = [("c-1", -1), ("c-2", 0), ("c-3", 1), ("c-4", 3 * DAY_MS), ("c-5", 3 * DAY_MS + 1)]
    events = [order(customer, at_ms) for customer, at_ms in people]
    assert counts(lift_of([decision(customer) for customer, _ in people], events)) == (5, 2, 0, 0)
    assert counts(lift_of([held_out(customer) for customer, _ in people], events)) == (0, 0, 5, 2)


def test_decisions_count_and_not_deliveries() -> None:
    """A mail that the provider lost was sent as far as lift asks: to leave it out would compare those who can be reached with everybody."""
    failed = Event(event="Message Failed", message_id="out:1", user_id="c-1", timestamp_ms=BEGIN_MS + 1, properties={"permanent": True})
    assert counts(lift_of([decision("c-1"), held_out("c-2")], [failed])) == (1, 0, 1, 0)


def test_who_failed_another_test_is_in_no_arm() -> None:
    """Skipped by a cap, held by the night, or a message without a goal: no draw was made between two equals."""
    skipped, held = decision("c-1", kind="message.skip", reason="cap"), decision("c-1", kind="message.hold", reason="quiet")
    assert [read_assignment(raw) for raw in (skipped, held, decision("c-1", goal=None))] == [None, None, None]


def test_a_customer_counts_once_by_the_first_decision() -> None:
    """Arms are drawn by customer: ten messages to one person are one draw, and ten times the same outcome is no ten outcomes."""
    lift = lift_of([decision("c-1", at_ms) for at_ms in (DAY_MS, 0, 0, 2 * DAY_MS)], [order("c-1", HOUR_MS)])
    assert counts(lift) == (1, 1, 0, 0)
    assert lift.decisions == 3, "the record that lay there twice is one decision"


def test_a_window_that_is_still_open_is_not_counted() -> None:
    """Early buyers would be counted before late ones could be, in the arm that is told to hurry."""
    events = [order("c-1", HOUR_MS)]
    lift = lift_of([decision("c-1"), decision("c-2", 2 * DAY_MS)], events, end_ms=4 * DAY_MS)
    assert (counts(lift), lift.open) == ((1, 1, 0, 0), 1)


def test_a_visitor_who_logs_in_and_buys_is_one_person() -> None:
    """The message went to the visitor, and the user bought. Both names are one person from the event on that says both."""
    login = Event(type="identify", message_id="m", user_id="u-1", anonymous_id="a-1", timestamp_ms=BEGIN_MS + HOUR_MS)
    events = [login, order("u-1", 2 * HOUR_MS)]
    assert counts(lift_of([decision("a-1")], events)) == (1, 1, 0, 0)
    assert counts(lift_of([decision("a-1"), held_out("u-1", HOUR_MS)], events)) == (1, 1, 0, 0), "the first decision is theirs"


def test_a_device_belongs_to_the_first_user_who_logged_in() -> None:
    """As the log has it: a second user of a shared device takes no past."""
    logins = [Event(type="identify", message_id=name, user_id=name, anonymous_id="a-1", timestamp_ms=BEGIN_MS) for name in ("u-1", "u-2")]
    assert counts(lift_of([decision("a-1")], [*logins, order("u-2", HOUR_MS)])) == (1, 0, 0, 0)


def test_ids_that_lead_to_each_other_are_one_person() -> None:
    """An alias there and one back must neither hang nor make two people."""
    aliases = [
        Event(type="alias", message_id=f"{one}{two}", user_id=two, timestamp_ms=BEGIN_MS, properties={"previousId": one})
        for one, two in (("u-1", "u-2"), ("u-2", "u-1"))
    ]
    assert counts(lift_of([decision("u-1"), decision("u-2", 1)], [*aliases, order("u-2", HOUR_MS)])) == (1, 1, 0, 0)


def test_an_order_that_lies_in_the_log_twice_is_worth_its_total_once() -> None:
    """A collector that repeats a write after a lost reply must not double anybody's turnover."""
    events = [order("c-1", HOUR_MS, "m-1"), order("c-1", HOUR_MS, "m-1"), order("c-1", 2 * HOUR_MS, "m-2", total=5.5)]
    assert lift_of([decision("c-1"), decision("c-2")], events).contrasts[0].arm.worth == pytest.approx(15.5 / 2)


def test_variants_are_measured_by_the_first() -> None:
    """Without a hold-out, too, two texts can be compared."""
    people = [decision(f"{name}-{number}", variant=name) for name in ("a", "b") for number in range(400)]
    lift = lift_of(people, [order(f"b-{number}", HOUR_MS) for number in range(100)])
    sent, variants = lift.contrasts
    assert (sent.verdict, sent.against.customers) == ("not known yet", 0)
    assert (variants.arm.name, variants.against.name, variants.verdict) == ("b", "a", "more")
    assert variants.relative is None, "nobody of the first bought, so no part of its share can be named"


def test_fewer_is_said_too() -> None:
    """A message that keeps people from buying is the one to know about first."""
    people = [decision(f"t-{number}") for number in range(600)] + [held_out(f"h-{number}") for number in range(600)]
    events = [order(f"h-{number}", HOUR_MS) for number in range(200)] + [order(f"t-{number}", HOUR_MS) for number in range(50)]
    assert lift_of(people, events).contrasts[0].verdict == "fewer"


def test_what_is_no_decision_is_refused_by_name() -> None:
    """A ledger is a topic, and anything may lie in a topic."""
    for raw in (b"{", b"[]", b'{"type": "message.send", "subject": "c"}', b"\xff"):
        with pytest.raises(RefusedError, match="no decision on a message"):
            read_assignment(raw)


def test_a_decision_without_value_has_no_worth() -> None:
    """Only what a goal names is added up."""
    assert read_assignment(decision("c", goal={"event": "E", "within_ms": 1})) == Assignment(
        "tasting", "c-0", "c", BEGIN_MS, "treated", None, "E", 1
    )
