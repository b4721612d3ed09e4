"""What a worker does for each command: what lies in the log, the store and the amendments afterwards, and what it says of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from streamer.commands import BoundArrival, Command, Erase, MergeIds, Pin, Rebuild, Resume, Skip, Unpin
from streamer.errors import FencedError, SettingsError
from streamer.events.alias import previous_id
from streamer.events.codec import decode
from streamer.events.event import Event
from streamer.flow.amendments import Amendment, MemoryJournal
from streamer.flow.learner_checkpoint import LearnerCheckpoint, encode_learner
from streamer.learning.reports.model_card import Card
from streamer.settings import Settings, load_settings
from streamer.stores.base import Position
from streamer.stores.documents import LEARNER_SHARD, published_scorer_document
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import MemoryLog
from streamer.wire import EVENTS, EXAMPLES, Control, decode_control, shard_of
from streamer.worker.commands import actions
from streamer.worker.commands.actions import Tools, perform
from tests.contract.dump import next_commit

SHARDS, NOW_MS = 2, 1_800_000_000_000
CARD = Card("purchase", "purchase", "ready", version=3)


class Deployment:
    """Two shards with three events each, a store in memory, amendments, and a producer that the log acknowledges at once."""

    def __init__(self) -> None:
        self.settings: Settings = load_settings(shards=SHARDS, topic_prefix="shop")
        self.log, self.store = MemoryLog(SHARDS, lambda: NOW_MS), MemoryStore()
        self.sent: list[tuple[str, int, Control]] = []
        self.events: list[tuple[int, bytes, Event]] = []
        self.amendments: list[Amendment] = []
        self.fenced = 0  # how often the shard's worker is quicker
        for shard in range(SHARDS):
            for number in range(3):
                self.log.append(EVENTS, shard, b"event %d" % number)

    async def send(self, topic: str, raw: bytes, *, partition: int, headers: object, key: bytes = b"") -> asyncio.Future[None]:
        if headers:
            self.sent.append((topic.removeprefix("shop."), partition, decode_control(raw)))
        else:
            self.events.append((partition, key, decode(raw)))
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged

    def inspector(self, _settings: Settings) -> Deployment:
        return self

    async def look(self, shard: int, offset: int) -> Any:
        return await self.log.look(shard, offset)

    async def unread(self, shard: int, offset: int) -> Any:
        return await self.log.unread(shard, offset)

    async def stop(self) -> None:
        pass

    async def open(self, _settings: Settings, _shard: int, _who: str) -> MemoryJournal:
        if self.fenced:
            self.fenced -= 1
            raise FencedError("the worker took it up")
        return MemoryJournal(self.amendments)

    async def teach(self, **current: tuple[int, str]) -> None:
        """A learner that has learned; ``current``: the version that serves, by model."""
        body = encode_learner(LearnerCheckpoint(current=current, cards=dict.fromkeys(current, CARD)))
        commit = next_commit(await self.store.acquire(LEARNER_SHARD))
        await self.store.commit(LEARNER_SHARD, replace(commit, body=body))

    async def stand_at(self, shard: int, offset: int) -> None:
        await self.store.commit(shard, replace(next_commit(await self.store.acquire(shard), offset=offset), body=b""))

    async def do(self, action: Any) -> str:
        command = Command("c" * 32, NOW_MS, NOW_MS + 60_000, action, "ops@shop")
        return (await perform(Tools(self.settings, self.store, cast("Any", self)), command)).text


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The worker's edges, in memory."""
    found = Deployment()
    monkeypatch.setattr(actions, "LogInspector", found.inspector)
    monkeypatch.setattr(actions, "KafkaJournal", found)
    return found


async def test_an_erasure_goes_to_the_shard_of_the_customer_alone(shop: Deployment) -> None:
    """Another shard would forget nobody, and the answer must not repeat who was erased."""
    said = await shop.do(Erase("mila@example.com"))
    shard = shard_of("mila@example.com", SHARDS)
    assert [(topic, at, control.control, control.customer) for topic, at, control in shop.sent] == [
        (EVENTS, shard, "erase", "mila@example.com")
    ]
    assert said == f"the erasure is in the log of shard {shard}"


async def test_a_merge_is_an_alias_in_the_shard_of_the_new_id(shop: Deployment) -> None:
    """Done by two workers after each other it is one event: the second one is a duplicate."""
    shard = shard_of("mila@example.com", SHARDS)
    for _ in range(2):
        assert await shop.do(MergeIds("an-1", "mila@example.com")) == f"the merge is in the log of shard {shard}"
    assert [(at, key) for at, key, _ in shop.events] == [(shard, b"mila@example.com")] * 2
    assert {(event.type, event.user_id, previous_id(event)) for _, _, event in shop.events} == {("alias", "mila@example.com", "an-1")}
    assert len({event.message_id for _, _, event in shop.events}) == 1


@pytest.mark.parametrize(("old", "new"), [("c-1", "c-1"), ("undefined", "c-1"), ("c-1", "null")])
async def test_a_merge_that_the_log_would_refuse_is_refused_before(shop: Deployment, old: str, new: str) -> None:
    """Whoever asks hears it, and not only whoever reads dead letters."""
    with pytest.raises(SettingsError, match="the log would refuse it"):
        await shop.do(MergeIds(old, new))
    assert shop.events == []


async def test_a_pin_is_told_to_the_learner_before_the_shards(shop: Deployment) -> None:
    """The other way round the learner could publish the next version in between, and the shards would take it."""
    await shop.teach(purchase=(3, "abc"))
    await shop.store.put_document(published_scorer_document("purchase", 2), b'{"kind":"linear"}')
    assert await shop.do(Pin("purchase", 2)) == "purchase stays at version 2"
    assert [(topic, at, control.control, control.model, control.version) for topic, at, control in shop.sent] == [
        (EXAMPLES, 0, "pin", "purchase", 2),
        (EVENTS, 0, "model", "purchase", 2),
        (EVENTS, 1, "model", "purchase", 2),
    ]


async def test_an_unpin_is_for_the_learner_alone(shop: Deployment) -> None:
    """The shards keep what they have until it publishes something better."""
    await shop.teach(purchase=(3, "abc"))
    assert await shop.do(Unpin("purchase")) == "purchase goes on as it learns"
    assert [(topic, at, control.control, control.model) for topic, at, control in shop.sent] == [(EXAMPLES, 0, "unpin", "purchase")]


async def test_what_no_model_or_version_has_is_refused_and_nothing_is_written(shop: Deployment) -> None:
    """A pin to a version that is not there would leave the shards without a scorer."""
    with pytest.raises(SettingsError, match="nothing was learned yet"):
        await shop.do(Unpin("purchase"))
    await shop.teach(purchase=(3, "abc"))
    with pytest.raises(SettingsError, match="there is no model 'churn'; there are purchase"):
        await shop.do(Pin("churn", 1))
    with pytest.raises(SettingsError, match="purchase has no version 9; the newest is 3"):
        await shop.do(Pin("purchase", 9))
    assert shop.sent == []


@pytest.mark.parametrize(
    ("action", "says", "amendment"),
    [
        (Skip(0, "poisoned"), "amended: skip at offset 1 of shard 0", ("skip", 1, None)),
        (Resume(0, 3, "retention"), "amended: resume at offset 1 of shard 0", ("resume", 1, 3)),
        (BoundArrival(0, NOW_MS, "clock"), "amended: arrival at offset 1 up to 3 of shard 0", ("arrival", 1, 3)),
    ],
    ids=["skip", "resume", "bounded arrival"],
)
async def test_what_a_person_decides_of_a_shard_is_an_amendment_in_their_name(
    shop: Deployment, action: Skip | Resume | BoundArrival, says: str, amendment: tuple[str, int, int | None]
) -> None:
    """It says who, why and for which command; the shard's checkpoint changes its owner, by which its worker notices."""
    await shop.stand_at(0, 1)
    before = (await shop.store.checkpoint(0)).mark
    assert (await shop.do(action)).startswith(says)
    [written] = shop.amendments
    what, offset, to = amendment
    assert (written.what, written.offset, written.who, written.why) == (what, offset, "ops@shop", action.why)
    assert to is None or written.to == to
    assert written.command == "c" * 32
    assert (await shop.store.checkpoint(0)).mark != before


async def test_a_command_that_comes_again_amends_once(shop: Deployment) -> None:
    """A worker that dies before it answers leaves the command to another: a second skip would pass over the next record."""
    await shop.stand_at(0, 1)
    first = await shop.do(Skip(0, "poisoned"))
    assert await shop.do(Skip(0, "poisoned")) == first
    assert len(shop.amendments) == 1


async def test_a_worker_that_is_quicker_each_time_is_told_and_nothing_is_written(shop: Deployment) -> None:
    """The person tries again; an amendment that nobody has read must not be said to hold."""
    shop.fenced = 100
    with pytest.raises(SettingsError, match="the worker of shard 0 took it up in between; nothing was written, try again"):
        await shop.do(Skip(0, "poisoned"))
    assert shop.amendments == []


async def test_a_rebuild_empties_the_shard_and_no_other(shop: Deployment) -> None:
    """Its worker begins at the beginning of the log."""
    await shop.stand_at(0, 2)
    await shop.stand_at(1, 2)
    assert (await shop.do(Rebuild(0, "damaged"))).startswith("shard 0 is told anew from its log; its worker begins within")
    assert [(await shop.store.checkpoint(shard)).position for shard in range(SHARDS)] == [Position(0, 0), Position(2, 0)]
    assert shop.amendments == [], "the log has its beginning"


@pytest.mark.parametrize("action", [Rebuild(2, "x"), Skip(2, "x"), Resume(2, 5, "x"), BoundArrival(2, NOW_MS, "x")], ids=repr)
async def test_a_shard_that_there_is_not_is_refused(shop: Deployment, action: Any) -> None:
    """The store would make one, and its worker never comes."""
    with pytest.raises(SettingsError, match="there is no shard 2: STREAMER_SHARDS is 2, they count from 0"):
        await shop.do(action)
