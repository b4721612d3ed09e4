"""What leaves, how often, and what is said of it: also where the sender is killed between any two of its waits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from streamer.errors import FencedError
from streamer.sender.channels import Accepted, Attempt, Declined, Outgoing, TryLater, Unsure
from streamer.sender.decision import SendDecision
from streamer.sender.rates import SendRates
from streamer.sender.shard_sender import AT_ONCE, ATTEMPTS_MAX
from streamer.values import time_text

from .decisions import HOUR_MS, NOON_MS, decision_bytes
from .world import Killed, World

KEY = f"{1:032x}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_each_message_leaves_once_and_is_told(world: World) -> None:
    """The plain case, with more than are tried at once."""
    for number in range(AT_ONCE + 5):
        world.decide(number)
    await world.run()
    assert set(world.delivered.values()) == {1}
    assert len(world.delivered) == AT_ONCE + 5
    assert world.told() == {f"{number:032x}:sent": 1 for number in range(AT_ONCE + 5)}
    sent = world.events[0]
    assert (sent.event, sent.user_id) == ("Message Sent", "c-0")
    assert sent.properties == {"message": "cart_reminder", "key": f"{0:032x}", "channel": "email", "topic": "offers"}


async def test_the_provider_is_called_only_after_the_attempt_is_acknowledged(world: World) -> None:
    """Or whoever comes after a crash would not know that the message may have left."""
    seen: list[list[str]] = []

    def answer(outgoing: Outgoing, attempt: int) -> Attempt:
        seen.append([entry.state for entry in world.entries if entry.key == outgoing.id])
        return Accepted()

    world.answers = answer
    world.decide(1)
    await world.run()
    assert seen == [["attempting"]]


async def test_what_is_held_or_skipped_does_not_leave(world: World) -> None:
    """They lie in the same topic."""
    world.messages = [decision_bytes(1, "message.hold"), decision_bytes(2, "message.skip", kind=None, channel=None), b"no JSON"]
    await world.run()
    assert not world.delivered


async def test_a_decision_that_is_told_again_leaves_once(world: World) -> None:
    """A shard whose store came back empty tells its whole story again, under the same positions."""
    for number in (1, 2, 3, 1, 2, 3):
        world.decide(number)
    await world.run(1)
    assert set(world.delivered.values()) == {1}
    world.messages += [decision_bytes(number) for number in (1, 2, 3, 4)]
    await world.run()
    assert world.delivered == {f"{number:032x}": 1 for number in (1, 2, 3, 4)}


async def test_nothing_leaves_after_its_time(world: World) -> None:
    """A sender that was down for a day must not send yesterday's offers."""
    world.decide(1, valid_until=time_text(NOON_MS))
    world.decide(2, valid_until=time_text(NOON_MS + 1))
    await world.run()
    assert world.delivered == {f"{2:032x}": 1}
    assert world.events[0].properties is not None
    assert (world.events[0].event, world.events[0].properties["reason"]) == ("Message Failed", "late")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"address": "nobody"}, "bad_address"),
        ({"address": None}, "bad_address"),
        ({"channel": "push"}, "no_channel"),
        ({"facts": {}}, "template"),
        ({"template": "unheard_of"}, "template"),
    ],
)
async def test_what_cannot_be_sent_is_an_outcome_and_stops_nothing(world: World, data: dict[str, object], reason: str) -> None:
    """One bad template must not hold back the messages behind it."""
    world.decide(1, **data)
    world.decide(2)
    await world.run()
    assert world.told() == {f"{KEY}:failed": 1, f"{2:032x}:sent": 1}
    failed = next(event for event in world.events if event.event == "Message Failed")
    assert failed.properties is not None
    assert (failed.properties["reason"], failed.properties["permanent"]) == (reason, True)
    if data == {"facts": {}}:
        assert str(failed.properties["detail"]).startswith("cart_reminder/en/text.liquid:1:")


async def test_an_address_that_is_none_is_suppressed(world: World) -> None:
    """A bounce is an event of its own, so that the next message to it is a skip with its reason."""
    world.answers = lambda outgoing, attempt: Declined("550 5.1.1", bounced=True)
    world.decide(1)
    await world.run()
    assert [event.event for event in world.events] == ["Message Failed", "Message Bounced"]
    assert world.events[1].properties is not None
    assert world.events[1].properties["permanent"] is True


async def test_what_the_provider_surely_has_not_is_tried_again_later_and_later(world: World) -> None:
    """Greylisting, a full mailbox, a provider that is down."""
    times: list[int] = []

    def answer(outgoing: Outgoing, attempt: int) -> Attempt:
        times.append(world.now_ms)
        return TryLater("451") if attempt < 5 else Accepted()

    world.answers = answer
    world.decide(1)
    await world.run()
    assert world.delivered == {KEY: 1}
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert all(later > earlier for earlier, later in pairwise(waits)), waits


async def test_a_provider_that_names_a_time_is_not_asked_before_it(world: World) -> None:
    """Retry-After."""
    world.answers = lambda outgoing, attempt: TryLater("429", 600) if attempt == 1 else Accepted()
    world.decide(1)
    await world.run()
    assert world.now_ms >= NOON_MS + 600_000


async def test_it_is_given_up_after_so_many_attempts(world: World) -> None:
    """And said: a provider that never takes it must not be asked for ever."""
    world.answers = lambda outgoing, attempt: TryLater("451")
    world.decide(1)
    await world.run()
    assert world.attempts[KEY] == ATTEMPTS_MAX
    assert world.told() == {f"{KEY}:failed": 1}


async def test_the_count_of_attempts_goes_on_after_a_restart(world: World) -> None:
    """A sender that is restarted every minute would begin anew each time."""
    world.answers = lambda outgoing, attempt: TryLater("451")
    world.decide(1)
    await world.sender().turn()
    assert world.entries[-1].state == "deferred"
    again = world.sender()
    assert await again.turn() > 0, "it waits for its time"
    assert world.attempts[KEY] == 1
    await world.run()
    assert world.attempts[KEY] == ATTEMPTS_MAX


@pytest.mark.parametrize(("kind", "attempts", "told"), [("marketing", 1, "unknown"), ("transactional", 2, "sent")])
async def test_what_nobody_can_tell_is_repeated_only_where_it_must_arrive(world: World, kind: str, attempts: int, told: str) -> None:
    """Two offers are worse than none; no confirmation of an order is worse than two."""
    world.answers = lambda outgoing, attempt: Unsure("cut") if attempt == 1 else Accepted()
    world.decide(1, kind=kind)
    await world.run()
    assert world.attempts[KEY] == attempts
    assert world.told() == {f"{KEY}:{told}": 1}


async def test_a_provider_that_drops_repetitions_is_asked_again(world: World) -> None:
    """A push service with ids of its own: then nothing is unknown."""
    world.drops_repeats = True
    world.answers = lambda outgoing, attempt: Unsure("cut") if attempt == 1 else Accepted()
    world.decide(1)
    await world.run()
    assert world.told() == {f"{KEY}:sent": 1}


async def test_a_channel_that_raises_is_an_attempt_of_which_nobody_can_tell(world: World) -> None:
    """A channel is somebody else's code, and must not end the sender."""

    def answer(outgoing: Outgoing, attempt: int) -> Attempt:
        raise RuntimeError("a customer's data")

    world.answers = answer
    world.decide(1)
    await world.run()
    assert world.told() == {f"{KEY}:unknown": 1}
    assert world.entries[-1].detail == "RuntimeError"


async def test_the_last_look_stops_what_is_wrong_by_now(world: World) -> None:
    """The order came in while the reminder lay in the queue."""
    world.verdicts = lambda decision: "stay" if decision.customer == "c-1" else ""
    world.decide(1)
    world.decide(2)
    await world.run()
    assert world.delivered == {f"{2:032x}": 1}
    failed = next(event for event in world.events if event.event == "Message Failed")
    assert failed.properties is not None
    assert (failed.properties["reason"], failed.properties["detail"]) == ("gate", "stay")


async def test_how_old_the_last_looks_question_is_when_a_message_leaves_is_told(world: World) -> None:
    """What comes into the log in between may contradict it: operators see how long that is, from before the look to the channel."""

    def verdict(decision: SendDecision) -> str:
        world.now_ms += 250
        return "stay" if decision.customer == "c-2" else ""

    world.verdicts = verdict
    world.decide(1)
    world.decide(2)
    await world.run()
    assert world.ages == [0.5], "of the one that left, with the time that both took"


async def test_nothing_leaves_while_nobody_can_look(world: World) -> None:
    """A store that is away delays messages; it does not let them pass unseen."""
    looks: list[int] = []

    def verdict(decision: SendDecision) -> str | None:
        looks.append(world.now_ms)
        return None if len(looks) < 4 else ""

    world.verdicts = verdict
    world.decide(1)
    await world.run()
    assert len(looks) == 4
    assert world.delivered == {KEY: 1}


async def test_messages_to_one_domain_leave_at_its_rate(world: World) -> None:
    """Large mailboxes slow down or block whoever is faster."""
    world.rates = SendRates(1_000.0, 2.0)
    for number in range(10):
        world.decide(number)
    await world.run(1_000)
    assert len(world.delivered) == 10
    assert world.now_ms - NOON_MS >= (10 - 2) / 2 * 1_000


async def test_a_sender_that_lost_the_shard_calls_nobody(world: World) -> None:
    """It was frozen, another took the shard, and it wakes up with its list in hand."""
    world.decide(1)
    frozen = world.sender()
    await world.run()
    with pytest.raises(FencedError):
        await frozen.turn()
    assert world.delivered == {KEY: 1}


def answers_of_a_bad_day(outgoing: Outgoing, attempt: int) -> Attempt:
    """By the last digit of the key: taken, later and then taken, nobody can tell and then taken, never."""
    match int(outgoing.id, 16) % 4:
        case 0:
            return Accepted()
        case 1:
            return Accepted() if attempt > 1 else TryLater("451")
        case 2:
            return Accepted() if attempt > 1 else Unsure("cut")
        case _:
            return Declined("550")


async def a_day(world: World) -> None:
    """Twelve messages, a third of them transactional, told in part twice; processes until nothing is left."""
    world.answers = answers_of_a_bad_day
    for number in (*range(8), *range(4), *range(8, 12)):
        world.decide(number, kind="transactional" if number % 3 == 0 else "marketing")
    for _ in range(50):
        try:
            await world.run()
        except Killed:
            continue
        return
    raise AssertionError("never done")


async def test_killed_between_any_two_waits_marketing_leaves_at_most_once_and_transactional_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every wait of a day is the last one of some process: none of these may send an offer twice, or lose a confirmation; and each message
    has an outcome in the end."""
    monkeypatch.setattr("streamer.sender.shard_sender.AT_ONCE", 5)  # so that there are several turns
    whole = World(tmp_path)
    await a_day(whole)
    assert whole.waits > 20, "there are waits to be killed at"
    unknown = repeated = 0
    for at in range(1, whole.waits + 1):
        world = World(tmp_path)
        world.kill_at = at
        await a_day(world)
        assert world.waits >= at, "it was killed there"
        for number in range(12):
            key, found = f"{number:032x}", world.delivered[f"{number:032x}"]
            told = {kind for kind in ("sent", "failed", "unknown") if world.told()[f"{key}:{kind}"]}
            assert len(told) == 1, (at, number, told)
            repeated += found > 1
            unknown += told == {"unknown"}
            if number % 3:
                assert found <= 1, (at, number)
            elif number % 4 != 3:
                assert found >= 1, (at, number)
            if told == {"sent"}:
                assert found >= 1, (at, number)
            if told == {"failed"}:
                assert found == 0, (at, number)
    assert unknown > 0, "some kill left an outcome that nobody knows"
    assert repeated > 0, "some kill made a transactional message leave twice"


async def test_killed_twice_it_holds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the second process wrote is what the third goes on from."""
    monkeypatch.setattr("streamer.sender.shard_sender.AT_ONCE", 5)

    def a_world() -> World:
        world = World(tmp_path)
        world.answers = answers_of_a_bad_day
        for number in range(12):
            world.decide(number)
        return world

    whole = a_world()
    await whole.run()
    for first in range(1, whole.waits, 3):
        for second in range(1, 25, 4):
            world = a_world()
            world.kill_at = first
            with pytest.raises(Killed):
                await world.run()
            world.kill_at = first + second
            try:
                await world.run()
            except Killed:
                await world.run()
            assert all(found <= 1 for found in world.delivered.values()), (first, second)


async def test_an_hour_without_a_provider_costs_no_message(world: World) -> None:
    """They wait, as long as they are valid."""
    world.answers = lambda outgoing, attempt: TryLater("no connection") if world.now_ms < NOON_MS + HOUR_MS // 4 else Accepted()
    for number in range(5):
        world.decide(number)
    await world.run(1_000)
    assert len(world.delivered) == 5
