"""Histories in which messages are decided of people with several ids: any, for Hypothesis, and busy ones, each by a seed."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.property.logs import ANCHORS, D, H, delays, steps_ms
from tests.property.messages import NAMES, key_of, successors_with_messages, told_events, with_messages
from tests.property.persons import DEVICES, KNOWN, Act, History, written
from tests.property.sentences import definitions

EVERYBODY = tuple(id_ for one in (*KNOWN, *DEVICES) for id_ in one)
STEPS_MS = (0, 1, 1_000, 600_000, 600_000, 1_800_000, H, H, 2 * H, D)


@st.composite
def message_histories(draw: st.DrawFn) -> History:
    """Who logs in, is joined, shares devices and is erased, while messages wait, are paused and are defined anew."""
    source = draw(with_messages(draw(definitions(names=("m", "a")))))
    now, acts = draw(st.sampled_from(ANCHORS[:8])), list[Act]()
    lateness_ms = draw(st.sampled_from([86_400_000, 8 * D]))
    switched = False
    for number in range(draw(st.integers(4, 18))):
        now += abs(draw(steps_ms()))
        choice = draw(st.integers(0, 23))
        if choice < 5:
            acts.append(Act(now, None, draw(st.integers(0, 7))))
        elif choice == 5:
            acts.append(Act(now, {"control": "erase", "customer": draw(st.sampled_from(EVERYBODY))}))
        elif choice == 6:
            kind, name = draw(st.sampled_from(["pause", "resume"])), draw(st.sampled_from([*NAMES, "*"]))
            acts.append(Act(now, {"control": kind, "message": name}))
        elif choice == 7 and not switched:
            switched = True
            acts.append(Act(now, {"control": "definitions", "version": 2, "definitions": draw(successors_with_messages(source))}))
        else:
            event = draw(told_events(*EVERYBODY) if choice < 10 else written(shared=True))
            timestamp = max(0, now - draw(delays(lateness_ms, 300_000)))
            acts.append(Act(now, {**event, "messageId": f"m{number}", "timestamp": timestamp}, draw(st.integers(0, 7))))
    return History(source, tuple(acts), now + draw(st.sampled_from([1, H, 9 * D])), lateness_ms)


# Two people who go in and out all day

SEGMENTS = {
    "m": {"when": 'count("A", within="1h") >= 1'},
    "a": {"when": 'count("A") > 0 and last("A") > last("B")'},
    "asks": {"when": 'count("A", within="10m") >= 2 or count("A") in [1, 3, 5, 7]'},  # as much as any trigger: no memory grows at a switch
}
TRIGGERS = ('entered("m")', 'entered("a")', 'left("m")', 'left("a")', 'count("A", within="10m") >= 2', 'count("A") in [1, 3, 5, 7]')
ZONES = ("America/New_York", "Asia/Kolkata")
CHANNELS = ("console", "own", "own", "email")
TOLD = (
    *("Message Failed", "Message Bounced", "Message Unsubscribed", "Message Unsuppressed", "Message Complained"),
    *("Consent Given", "Consent Given", "Consent Withdrawn"),
)
CAPS = ("1 per 1h", "1 per 25h", "2 per 2d", ["1 per 10m", "3 per 7d"])


def busy_history(seed: int) -> History:
    """Messages that are decided often, of whom places are taken, given up, and joined."""
    random = Random(seed)
    source, now = busy_definitions(random), random.choice(ANCHORS[:4])
    acts: list[Act] = []
    for number in range(random.randrange(12, 40)):
        now += random.choice(STEPS_MS)
        body = _busy_body(random)
        if body is not None and "control" not in body:
            body |= {"messageId": f"m{number}", "timestamp": now - random.choice((0, 0, 0, 1, 1_000, H))}
        acts.append(Act(now, body, random.randrange(8)))
    switch = {"control": "definitions", "version": 2, "definitions": successor(random, source)}
    at = random.randrange(len(acts))
    if random.random() < 0.5:
        acts.insert(at, Act(acts[at].at_ms, switch))
    return History(source, tuple(acts), now + random.choice((1, H, 3 * D)))


def busy_definitions(random: Random) -> dict[str, Any]:
    """Two or three messages, each with some of what limits it."""
    return {
        "zone": random.choice(("UTC", "Europe/Berlin")),
        "segments": SEGMENTS,
        "topics": {"told": "opt_out", "asked": "opt_in"},
        "channels": {"own": random.choice(({}, {"cap": "1 per 1h"}, {"quiet": "12:00-13:30"}))},
        "message_limits": random.choice(({}, {"cap": "1 per 25h"}, {"holdout": "20%"})),
        "messages": {name: _message(random) for name in NAMES[: random.randrange(2, 4)]},
    }


def _message(random: Random) -> dict[str, Any]:
    kind = random.choice(("marketing", "marketing", "transactional"))
    found: dict[str, Any] = {"on": random.choice(TRIGGERS), "channel": random.choice(CHANNELS), "kind": kind}
    if kind == "marketing":
        found["topic"] = random.choice(("told", "told", "asked"))
    optional: dict[str, tuple[float, tuple[Any, ...]]] = {
        "also": (0.3, ("merge", ["definitions", "merge"])),
        "delay": (0.6, ("1s", "10m", "1h", "25h")),
        "require": (0.2, ('did("A", within="1h")', 'not segment("a")', 'entered("m") > last("B")')),
        "stay": (0.4, (False,)),
        "again": (0.3, ("once", "1h", "25h")),
        "expiry": (0.2, ("1ms", "1h")),
        "cap": (0.5, CAPS),
        "quiet": (0.2, ("12:30-14:00", "23:00-06:00")),
        "holdout": (0.2, ("50%",)),
        "priority": (0.4, (-1, 1)),
        "variants": (0.2, ({"b": 2, "a": 1},)),
        "facts": (0.3, ({"n": 'count("A")', "items": {"left_of": "A", "minus": "B", "by": "tag"}},)),
    }
    return found | {key: random.choice(values) for key, (chance, values) in optional.items() if random.random() < chance}


def successor(random: Random, source: dict[str, Any]) -> dict[str, Any]:
    """Each message stays, goes, or is another one now."""
    kept = {name: given for name, given in source["messages"].items() if random.random() < 0.7}
    changed = {name: {**given, "on": random.choice(TRIGGERS)} if random.random() < 0.3 else given for name, given in kept.items()}
    return {**source, "messages": changed | {name: _message(random) for name in NAMES if random.random() < 0.3} or source["messages"]}


def _busy_body(random: Random) -> dict[str, Any] | None:
    person = random.choice((0, 0, 0, 1))
    user, device = random.choice(KNOWN[person][:2]), random.choice(DEVICES[person])
    what = random.random()
    if what < 0.15:
        return None
    if what < 0.18:
        return {"control": "erase", "customer": random.choice((user, device))}
    if what < 0.21:
        return {"control": random.choice(("pause", "resume")), "message": random.choice((*NAMES, "*"))}
    if what < 0.29:
        return _told(random, user)
    if what < 0.32:
        traits = {"email": random.choice(("ada@example.org", "ada@example.org", "none")), "timezone": random.choice(ZONES)}
        return {"type": "identify", "userId": user, "traits": traits}
    if what < 0.4:
        old = random.choice([id_ for id_ in (*KNOWN[person][:2], device) if id_ != user])
        return {"type": "alias", "userId": user, "properties": {"previousId": old}}
    ids = random.choice(({"userId": user}, {"anonymousId": device}, {"anonymousId": device}, {"userId": user, "anonymousId": device}))
    return {"type": "track", "event": random.choice("AAAB"), **ids, "properties": {"tag": random.choice("xyz")}}


def _told(random: Random, user: str) -> dict[str, Any]:
    """What people agree to and refuse, and what providers say."""
    properties: dict[str, Any] = {"topic": random.choice(("told", "asked", None)), "channel": random.choice((*CHANNELS, None))}
    properties |= {"key": key_of(random.choice(NAMES), user, random.randrange(1, 4)), "permanent": random.random() < 0.8}
    present = {key: value for key, value in properties.items() if value is not None}
    return {"type": "track", "event": random.choice(TOLD), "userId": user, "properties": present}
