"""Mails through a real SMTP server that refuses, hangs and cuts, by senders that are killed: none twice that must not be, and none lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from email.headerregistry import Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from streamer.sender.channels.smtp import SmtpChannel, SmtpServer
from tests.unit.sender.decisions import NOON_MS
from tests.unit.sender.mailbox import Mailboxes, mailboxes
from tests.unit.sender.world import Killed, World

SENDER: Final = Address("Shop", addr_spec="news@shop.example")
MAILBOXES: Final = ("good",) * 12 + (
    "oncegreylist",
    "oncefull",
    "oncemiddle",
    "oncecut",
    "oncespam",
    "nobody",
    "spam",
    "middle",
    "cut",
    "odd",
)
TIMES_OUT: Final = "oncesilent"  # one of each round: the client waits for its timeout
TIMEOUT_SECONDS: Final = 0.5


async def send_round(seed: int, mails: int, *, kill_every: int = 60, cut_seconds: float | None = None) -> Counter[str]:
    """One shard's mails; what became of them. A sender is killed after ``kill_every`` of its waits, on average, or wherever it is after
    ``cut_seconds``, in the middle of a mail too. AssertionError where a promise is broken."""
    draw = random.Random(seed)
    with TemporaryDirectory() as folder:
        async with mailboxes() as server:
            world = World(Path(folder))
            kinds: dict[str, str] = {}
            for number in range(mails):
                kind = draw.choice(("marketing", "transactional"))
                name = TIMES_OUT if number == mails // 2 else draw.choice(MAILBOXES)
                kinds[f"{number:032x}"] = kind
                world.decide(number, kind=kind, address=f"{name}+{number}@shop.example", valid_until="2026-12-29T12:00:00.000Z")
            kills = await _until_done(world, server, draw, kill_every, cut_seconds)
    return _judged(world, server, kinds) + Counter(kills=kills)


async def _until_done(world: World, server: Mailboxes, draw: random.Random, kill_every: int, cut_seconds: float | None) -> int:
    """Sender after sender, each killed at some wait or moment but the last; how many were."""
    kills = 0
    while True:
        channel = SmtpChannel(SmtpServer("127.0.0.1", server.port, "none", SENDER), lambda: NOON_MS, timeout_seconds=TIMEOUT_SECONDS)
        world.channels = {"email": channel}
        world.kill_at = world.waits + draw.randrange(1, 2 * kill_every)
        running = asyncio.create_task(world.run(100_000))
        cut = None
        if cut_seconds is not None:
            cut = asyncio.get_running_loop().call_later(draw.expovariate(1 / cut_seconds), running.cancel)
        try:
            await running
        except (Killed, asyncio.CancelledError):
            kills += 1
        else:
            return kills
        finally:
            if cut is not None:
                cut.cancel()
            await channel.close()


def _judged(world: World, server: Mailboxes, kinds: dict[str, str]) -> Counter[str]:
    found, told, ids = Counter[str](), world.told(), server.ids
    for key, kind in kinds.items():
        outcomes = {name for name in ("sent", "failed", "unknown") if told[f"{key}:{name}"]}
        arrived = ids[key]
        assert len(outcomes) == 1, (key, outcomes)
        (outcome,) = outcomes
        assert kind == "transactional" or arrived <= 1, f"an offer arrived {arrived} times"
        assert outcome != "sent" or arrived >= 1, "said to be sent, and did not arrive"
        assert outcome != "failed" or arrived == 0, "said not to have left, and arrived"
        found[f"{kind} {outcome}"] += 1
    return found


__all__ = ["send_round"]
