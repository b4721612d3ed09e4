"""One person under several ids: who judges agree with each other, and the step with them."""

from __future__ import annotations

from collections import Counter

from hypothesis import given

from streamer.wire import shard_of
from tests.oracle import settled
from tests.oracle.courier import Courier
from tests.property.effort import effort
from tests.property.persons import SHARDS, History, settling


def home(customer: str) -> int:
    return shard_of(customer, SHARDS)


def carried(history: History) -> Courier:
    """The oracle alone, with its own messages carried as the history says."""
    town = Courier(history.definitions, home, shards=SHARDS, lateness_ms=history.lateness_ms, skew_ms=history.skew_ms)
    for act in history.acts:
        if act.body is None:
            town.deliver(act.at_ms, act.choice)
        else:
            town.write(act.at_ms, act.body)
    town.settle(history.end_ms)
    town.tick(history.end_ms)
    return town


def by_person(memberships: dict[str, list[str]], history: History) -> dict[str, list[str]]:
    """The same under each person's smallest id. AssertionError where a person is two customers."""
    leader = settled.persons(history.events)
    found = {leader[customer]: names for customer, names in memberships.items()}
    assert len(found) == len(memberships), f"one person, several customers: {memberships}"
    return found


def test_two_judges_agree_on_who_is_in_what_in_the_end() -> None:
    """The one who follows every record, and the one who knows no protocol. Cases without a cycle or a second hop prove little."""
    met: Counter[str] = Counter()

    @given(history=settling())
    @effort()
    def holds(history: History) -> None:
        town = carried(history)
        assert not town.post.undelivered()
        assert by_person(town.memberships(), history) == settled.memberships(history.definitions, history.events, history.end_ms)
        for messages in town.post.sent.values():
            met.update(message.kind for message in messages)
            met["passed on"] += sum(message.kind == "adopt" and bool(message.passed) for message in messages)
        met["in"] += len(town.memberships())

    holds()
    missing = {"event", "link", "adopt", "point", "passed on", "in"} - set(+met)
    assert not missing, met
