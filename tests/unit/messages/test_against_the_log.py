"""What is decided is held against the log alone, without the code that decides: nothing is sent against a record that was there before, and
nobody is woken on any clock of the world."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from streamer.messages.explain import explain_message
from streamer.messages.planned import MessagePlan
from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS
from streamer.zones import find_zone, local
from tests.oracle.decisions import Decision
from tests.oracle.story import Record
from tests.property.driving import Case, drive, ms_of, states_of
from tests.property.message_persons import busy_definitions
from tests.property.said import decisions_by
from tests.unit.messages.desk import ms
from tests.unit.messages.test_laws import ZONES, start_of

BEGIN = ms("01T00:00")
SEGMENTS = {
    "left": {"when": 'did("Product Added") and idle("Product Added") >= "30m"'},
    "buyer": {"when": 'did("Order Completed", within="1h")'},
}
MAIL: dict[str, Any] = {"channel": "console", "topic": "offers", "stay": False}
SOURCE: dict[str, Any] = {
    "segments": SEGMENTS,
    "topics": {"offers": "opt_out"},
    "messages": {
        "nudge": {**MAIL, "on": 'entered("left")', "delay": "45m", "require": 'never("Order Completed", within="1h")'},
        "turned": {**MAIL, "on": 'count("Product Added", within="3h") >= 2', "delay": "20m"},
        "receipt": {"on": 'entered("buyer")', "delay": "10m", "stay": False, "channel": "console", "kind": "transactional"},
    },
}
YES, NO = ("Consent Given",), ("Consent Withdrawn", "Message Unsubscribed")
BAD, GOOD = ("Message Complained", "Message Suppressed"), ("Message Unsuppressed",)
SHOPPING = ("Product Added", "Product Added", "Product Added", "Order Completed")
PEOPLE = ("ada", "bob")


def bodies(random: Random) -> list[tuple[int, dict[str, Any]]]:
    """Two days in which people shop, refuse, agree, complain, are erased, and messages are paused."""
    found: list[tuple[int, dict[str, Any]]] = []
    now = BEGIN
    for number in range(120):
        now += random.choice((1, 60_000, 600_000, 1_200_000, 2_400_000))
        what = random.random()
        if what < 0.03:
            found.append((now, {"control": "erase", "customer": random.choice(PEOPLE)}))
        elif what < 0.1:
            control = random.choice(("pause", "resume", "resume"))
            found.append((now, {"control": control, "message": random.choice((*SOURCE["messages"], "*"))}))
        else:
            name = random.choice(SHOPPING if what < 0.75 else (*YES, *NO, *BAD, *GOOD, *GOOD))
            properties = {"topic": "offers", "channel": "console"}
            found.append((now, _track(name, random.choice(PEOPLE), number, now, properties)))
    return [*found, (now + DAY_MS, {"control": "tick"})]


def _track(name: str, who: str, number: int, now: int, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "track", "event": name, "userId": who, "messageId": f"m{number}", "timestamp": now, "properties": properties}


def case_of(source: dict[str, Any], log: Sequence[tuple[int, dict[str, Any]]]) -> Case:
    return Case(source, tuple(Record(offset, at, body) for offset, (at, body) in enumerate(log, 1)))


def test_nothing_is_sent_after_a_record_that_contradicts_it() -> None:
    """An order, a no, a complaint, a pause, an erasure: whatever was in the log before the instant counts, to the millisecond."""
    met: Counter[str] = Counter()
    for seed in range(40):
        log = bodies(Random(seed))
        driver, _ = drive(case_of(SOURCE, log))
        for one in decisions_by(driver):
            met[one.reason or one.outcome] += 1
            if one.outcome == "send":
                before = [(at, body) for at, body in log if at < one.at_ms]
                assert not list(contradictions(one, before)), f"seed {seed}: {one}"
    assert met.keys() >= {"send", "require", "no_consent", "suppressed", "paused", "erased"}, met


def contradictions(one: Decision, before: Sequence[tuple[int, dict[str, Any]]]) -> Sequence[str]:
    """What lies in the log and says that this should not have been sent."""
    theirs = [(at, body["event"]) for at, body in before if body.get("userId") == one.customer]
    erased = [at for at, body in before if body.get("control") == "erase" and body["customer"] == one.customer]
    theirs = [(at, name) for at, name in theirs if at > max(erased, default=0)]
    rulings = [(body["control"], body["message"]) for _, body in before if body.get("control") in ("pause", "resume")]
    found = ["erased"] if any(at > one.triggered_ms for at in erased) else []
    newest = {about: control for control, about in rulings}
    found += [f"{name} is paused" for name in (one.message, "*") if newest.get(name) == "pause"]
    if one.message == "nudge" and any(name == "Order Completed" and at > one.at_ms - HOUR_MS for at, name in theirs):
        found.append("has ordered")
    if one.message != "receipt" and _newest(theirs, NO) >= max(_newest(theirs, YES), 1):
        found.append("has said no")
    if _newest(theirs, BAD) >= max(_newest(theirs, GOOD), 1):
        found.append("is not to be written to")
    return found


def _newest(theirs: Sequence[tuple[int, str]], names: Sequence[str]) -> int:
    return max((at for at, name in theirs if name in names), default=0)


@pytest.mark.parametrize("day", ["2026-03-07", "2026-03-28", "2026-04-04", "2026-04-23", "2026-10-24", "2026-10-31"])
def test_nobody_is_woken_in_any_zone_on_the_days_on_which_clocks_change(day: str) -> None:
    """Every 37 minutes a message would go to somebody in each of thirty zones: all are sent, none in quiet hours, and those held at
    once when they end."""
    begin, end_minute = start_of(day), 8 * 60 + 30
    ping = {**MAIL, "on": 'count("Ping", within="30m") >= 1', "quiet": "22:15-08:30", "expiry": "30d"}
    log: list[tuple[int, dict[str, Any]]] = []
    for step in range(78):
        at = begin + step * 37 * MINUTE_MS
        for zone in ZONES:
            body = {**_track("Ping", zone, step, at, {}), "messageId": f"{zone} {step}", "context": {"timezone": zone}}
            log += [(at, body)]
    source = {"segments": SEGMENTS, "topics": {"offers": "opt_out"}, "messages": {"ping": ping}}
    driver, _ = drive(case_of(source, [*log, (begin + 4 * DAY_MS, {"control": "tick"})]))
    found = decisions_by(driver)
    sent = [one for one in found if one.outcome == "send"]
    assert len(sent) == len(log), "each is sent once, sooner or later"
    assert sum(one.outcome == "hold" for one in found) > len(log) // 4, "else nothing is proved"
    for one in sent:
        zone = find_zone(one.customer)
        assert zone is not None
        wall, before = local(one.at_ms, zone), local(one.at_ms - 1, zone)
        minute = wall.hour * 60 + wall.minute
        assert end_minute <= minute < 22 * 60 + 15, f"{one.customer}: {wall}"
        if one.at_ms > one.due:
            assert minute == end_minute or wall.utcoffset() != before.utcoffset(), f"{one.customer}: {wall}"


def test_what_explain_says_will_be_decided_is_decided_if_nothing_happens() -> None:
    """At whatever moment it is asked: the same instant, outcome, reason and detail."""
    asked: Counter[str] = Counter()
    for seed in range(80):
        random = Random(seed)
        source, log = busy_definitions(random), list[tuple[int, dict[str, Any]]]()
        for given in source["messages"].values():
            given.update({"quiet": "22:30-13:15"} if random.random() < 0.5 else {})
        now = BEGIN + random.choice((11, 12, 22, 23)) * HOUR_MS
        for number in range(random.randrange(1, 10)):
            now += random.choice((0, 1, 600_000, 600_000, 1_800_000, HOUR_MS))
            name = random.choice(("A", "A", "A", "A", "B", "B", "Consent Given"))
            log.append((now, _track(name, "ada", number, now, {"topic": random.choice(("asked", "told")), "tag": "x"})))
        driver, shard = drive(case_of(source, log))
        later, _ = drive(case_of(source, [*log, (now + 40 * DAY_MS, {"control": "tick"})]))
        to_come = decisions_by(later)[len(decisions_by(driver)) :]
        state, plan = states_of(driver)["ada"], MessagePlan(shard.plan)
        for message in plan.messages:
            told = explain_message(plan, "ada", state, message, shard.body.log_time_ms, shard.body.paused)
            decided = [one for one in to_come if one.message == message.name]
            until_settled = next((at for at, one in enumerate(decided, 1) if one.outcome != "hold"), len(decided))
            assert [(ms_of(step.at), step.outcome, step.reason, step.detail) for step in told.ahead] == [
                (one.at_ms, one.outcome, one.reason, one.detail) for one in decided[:until_settled]
            ], f"seed {seed}: {message.name}"
            asked.update(one.outcome for one in decided[:until_settled])
            asked["nothing"] += not decided
    assert min(asked[each] for each in ("send", "hold", "skip", "nothing")) > 3, asked
