"""The sender on the ledger that it really has, ended or refused at each wait of its own, its producer's and its providers' in turn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest
from aiokafka.errors import KafkaTimeoutError

from streamer.errors import FencedError, NotWrittenError
from streamer.events.codec import decode
from streamer.sender.channels import Accepted, Attempt, Declined, Outgoing, TryLater, Unsure
from streamer.sender.kafka_ledger import KafkaSendLog
from streamer.sender.ledger import read_entry
from streamer.settings import Settings
from streamer.wire import EVENTS, SENDS

from .memory_kafka import MemoryKafka, MemoryProducer
from .world import Killed, World

MESSAGES = 6
SETTINGS = Settings.model_construct(shards=1)


@dataclass
class Town:
    """A world with a broker: its processes, and the waits at which they are killed or refused."""

    world: World
    transactions: bool = True
    refuse_at: int = -1  # of the producer's waits, which are counted for themselves
    refusals: int = 0
    asked: int = 0
    kafka: MemoryKafka = field(init=False)

    def __post_init__(self) -> None:
        self.kafka = MemoryKafka(self._wait)
        self.settings = SETTINGS.model_copy(update={"transactions": self.transactions})

    def producer(self, settings: Settings, *, transactional_id: str = "", **_: object) -> MemoryProducer:
        """In the place of ``clients.producer``."""
        assert settings is self.settings
        return MemoryProducer(self.kafka, transactional_id)

    async def live(self) -> None:
        """Processes, one after the other, until nothing is left to send."""
        for _ in range(20):
            try:
                ledger = await KafkaSendLog.open(self.settings, 0)
                await self.world.work(self.world.sender_on(ledger, ledger.book))
            except (Killed, NotWrittenError, KafkaTimeoutError):  # the last one: it could not be opened, and is opened again
                continue
            return
        raise AssertionError("never done")

    def told(self) -> dict[str, set[str]]:
        """What the log says became of each message."""
        found: dict[str, set[str]] = {}
        for _, raw in self.kafka.read(self.settings.topic(EVENTS)):
            _, key, kind = decode(raw).message_id.split(":")
            found.setdefault(key, set()).add(kind)
        return found

    def states(self) -> Counter[str]:
        """How many entries of the ledger have each state."""
        return Counter(read_entry(raw).state for _, raw in self.kafka.read(self.settings.topic(SENDS)))

    def _wait(self) -> None:
        self.asked += 1
        self.world.wait()
        if self.asked == self.refuse_at:
            self.refusals += 1
            raise KafkaTimeoutError


class TownOf(Protocol):
    """Makes a town."""

    def __call__(self, *, transactions: bool = True) -> Town: ...


@pytest.fixture
def town_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TownOf:
    """Towns with six messages, two of them transactional: some are taken at once, some later, some never, and of some nobody knows."""

    def make(*, transactions: bool = True) -> Town:
        town = Town(World(tmp_path, answers=_answer), transactions)
        monkeypatch.setattr("streamer.sender.shard_sender.AT_ONCE", 4)  # so that there are several turns
        monkeypatch.setattr("streamer.sender.kafka_ledger.producer", town.producer)
        monkeypatch.setattr("streamer.sender.kafka_ledger.read_partition", town.kafka.read_partition)
        monkeypatch.setattr("streamer.sender.kafka_ledger.take_errors", lambda _: None)  # of which this producer keeps none
        for number in range(MESSAGES):
            town.world.decide(number, kind="transactional" if number % 3 == 0 else "marketing")
        return town

    return make


def _answer(outgoing: Outgoing, attempt: int) -> Attempt:
    match int(outgoing.id, 16):
        case 1 | 3:
            return Accepted() if attempt > 1 else TryLater("451")
        case 2 | 4:
            return Accepted() if attempt > 1 else Unsure("cut")
        case 5:
            return Declined("550")
        case _:
            return Accepted()


def _check(town: Town, at: int) -> set[str]:
    """What is promised, whatever happened; what was told."""
    told, delivered = town.told(), town.world.delivered
    for number in range(MESSAGES):
        key = f"{number:032x}"
        kinds = told[key] - {"bounced"}
        assert kinds, (at, number, "an outcome is told in the end")
        assert len(kinds) == 1 or not town.transactions, (at, number, kinds)
        assert delivered[key] >= 1 or "sent" not in kinds, (at, number, "said to be sent, and never was")
        assert delivered[key] == 0 or "failed" not in kinds, (at, number, "said not to have left, and did")
        if number % 3:
            assert delivered[key] <= 1, (at, number, "an offer left twice")
        else:
            assert delivered[key] >= 1, (at, number, "a confirmation is lost")
    return set[str]().union(*told.values())


@pytest.mark.parametrize("transactions", [True, False])
async def test_killed_at_any_wait_of_sender_ledger_or_provider_it_keeps_its_promises(town_of: TownOf, transactions: bool) -> None:
    """Also in the middle of a transaction: its successor aborts it, and reads what was committed."""
    whole = town_of(transactions=transactions)
    await whole.live()
    assert _check(whole, 0) == {"sent", "failed", "unknown"}
    waits, repeated, unknown = whole.world.waits, 0, 0
    assert waits > 60, "the waits of the producer are among them"
    for at in range(1, waits + 1):
        town = town_of(transactions=transactions)
        town.world.kill_at = at
        await town.live()
        assert town.world.waits > at or at == waits, "it was killed there, and another went on"
        _check(town, at)
        repeated += town.world.delivered[f"{0:032x}"] > 1
        unknown += "unknown" in town.told()[f"{1:032x}"]
    assert repeated, "some kill made a confirmation leave twice"
    assert unknown, "some kill left an offer of which nobody knows"


async def test_refused_by_kafka_at_any_wait_it_keeps_its_promises(town_of: TownOf) -> None:
    """A commit whose answer is lost may be done or not; the ledger is opened anew and says which."""
    whole = town_of()
    await whole.live()
    refused = 0
    for at in range(1, whole.asked + 1):
        town = town_of()
        town.refuse_at = at
        await town.live()
        refused += town.refusals
        _check(town, at)
    assert refused == whole.asked, "each wait was refused once"


async def test_a_sender_that_lost_its_shard_writes_nothing_more(town_of: TownOf) -> None:
    """It slept through the loss with a transaction open: what it wrote is aborted, and it can write no more."""
    town = town_of()
    frozen = await KafkaSendLog.open(town.settings, 0)
    sender = town.world.sender_on(frozen, frozen.book)
    town.world.kill_at = town.world.waits + 6
    with pytest.raises(Killed):
        await sender.turn()
    assert town.kafka.stable_end(town.settings.topic(SENDS)) < len(town.kafka.partitions[town.settings.topic(SENDS)]), "one is open"
    await town.live()
    before = town.states()
    with pytest.raises(FencedError):
        await sender.turn()
    assert town.states() == before
    _check(town, 0)
