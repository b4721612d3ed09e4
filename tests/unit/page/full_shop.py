"""A shop in memory in which every view of the page has something to show, and in which texts from outside want to be scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from streamer.language.definitions import parse_definitions
from streamer.lift.report import ArmResult, Lift, contrast
from streamer.page.lift_history import MeasuredLifts
from streamer.stores.documents import note_document
from streamer.units import HOUR_MS
from streamer.webhooks.records import DeadDelivery
from streamer.webhooks.watch import DeliveryLag
from tests.unit.flow.persons import MINUTE_MS

from .desk import PageDesk
from .test_alerts_on_the_page import say
from .test_deliveries_on_the_page import START_MS, deliver, line, subscription
from .test_hostile_texts import HOSTILE, SCRIPTS, TURNS
from .test_templates_on_the_page import write

PEOPLE: Final = 40
RULES: Final = parse_definitions(
    {
        "segments": {
            "seen": {"for": f"People; {SCRIPTS[0]} {TURNS[0]}", "when": f"did({json.dumps(SCRIPTS[1])}) or did('A')"},
            "quick": {"for": "Was here within half an hour", "when": 'did("A", within="30m")'},
            "said": {"for": "Said something", "when": 'trait("said") != ""'},
            "stays": {"for": "Stays a while", "when": 'did("A", within="2h")', "exit": 'did("B", within="1h")', "stay": "10m"},
            "left": {"for": "Left something", "when": 'did("A") and idle("A") >= "5m"'},
            **{f"other_{number:02}": {"for": "One of many", "when": f'did("X{number}")'} for number in range(30)},
        },
        "messages": {
            "reminder": {"for": f"Reminds; {SCRIPTS[0]}", "on": 'entered("left")', "channel": "email", "kind": "transactional"},
            "word": {
                "for": "A word",
                "on": 'entered("quick")',
                "delay": "20m",
                "channel": "webhook",
                "kind": "transactional",
                "again": "1d",
                "holdout": "50%",
                "goal": {"event": "B", "within": "1h"},
            },
        },
    }
)


async def fill(desk: PageDesk) -> None:
    """Customers, some with names that want to be a script, refused records, alerts, subscriptions, and a shard that is halted."""
    for number in range(PEOPLE):
        desk.shop.write("", type="identify", userId=f"c-{number}", traits={"said": HOSTILE[number % len(HOSTILE)]})
        desk.shop.write("A", userId=f"c-{number}")
        if number % 5 == 0:
            desk.shop.write("B", userId=f"c-{number}")
        desk.shop.wait(4 * MINUTE_MS)
    for text in HOSTILE:
        desk.shop.write("", type="identify", userId=text, traits={"said": text})
        desk.shop.write("A", userId=text)
        desk.shop.write("A", userId=text, timestamp=f"never {text}")
    await desk.settle()
    for text in HOSTILE[:3]:
        say(desk, text, desk.shop.now_ms)
    await _halt(desk)
    _subscribe(desk)


def write_templates(folder: Path) -> None:
    """One without a fault, one with, and none of the other message."""
    write(folder, "reminder/en", "Hello {{ customer }}", "You left something.", "<b>You left something.</b>")
    write(folder, "word/en", "{{ nobody }}", "Text")


async def measured(_settings: object, now_ms: int) -> MeasuredLifts:
    """What the messages bring about, in the place of the process that reads the ledger."""
    arms = (ArmResult("sent", 9_000, 630, 0.07, 0.0), ArmResult("held out", 1_000, 40, 0.04, 0.0), ArmResult(SCRIPTS[0], 100, 5, 0.05, 0.0))
    contrasts = [contrast(arms[0], arms[1]), contrast(arms[2], arms[1])]
    return MeasuredLifts(now_ms, [Lift("word", f"B {SCRIPTS[0]}", HOUR_MS, 10_000, 3, contrasts)])


async def _halt(desk: PageDesk) -> None:
    status = {"shard": 0, "state": "halted", "since_seconds": 1.0, "problem": f"record of {SCRIPTS[1]} {TURNS[0]}"}
    note = {"at_ms": desk.shop.now_ms, "worker": f"host:1 {SCRIPTS[0]}", "status": status, "zones": "", "refused_ratio": 0.0}
    await desk.store.replace_document(note_document(0), json.dumps(note).encode())


def _subscribe(desk: PageDesk) -> None:
    """One that is well, one that has given up, with a name from outside."""
    watch = desk.page.sources.subscriptions
    hostile = SCRIPTS[0]
    watch.take({"shop": subscription("shop"), hostile: subscription(hostile, "disabled", "five days of failures")})
    watch.lags["shop"], watch.lags[hostile] = DeliveryLag({0: 1_200, 1: 34}, START_MS), DeliveryLag({0: 7, 1: None}, START_MS)
    failed = line(4, hostile, 503)
    deliver(
        desk,
        [line(1, hostile, None, "no connection"), line(2, "shop", 200), failed],
        [DeadDelivery(last=failed, shard=1, offset=77, raw="c2VjcmV0")],
    )
