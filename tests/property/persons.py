"""Histories of people with several ids, for Hypothesis: who logs in where, what joins whom, and when what is on its way arrives."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

from hypothesis import strategies as st

from streamer.wire import shard_of
from tests.property.logs import ANCHORS, EVENT_NAMES, LENGTHS, D, H, contexts, delays, properties, steps_ms, traits
from tests.property.sentences import definitions

SHARDS = 2


def _named(start: str, shard: int) -> str:
    return next(name for number in count() if shard_of(name := f"{start}{number}", SHARDS) == shard)


# Of each person the known ids and the devices; both shards have some of each kind.
KNOWN = (_named("u", 0), _named("w", 1), _named("x", 0)), (_named("v", 1),)
DEVICES = (_named("a", 1), _named("b", 0)), (_named("c", 1),)
OWNED = {KNOWN[0][0]: DEVICES[0][0], KNOWN[0][1]: DEVICES[0][1], KNOWN[1][0]: DEVICES[1][0]}  # the device on which a user logs in


@dataclass(frozen=True)
class Act:
    """Something happens: a producer writes ``body``, or (None) something that is on its way moves on; ``choice`` says what."""

    at_ms: int
    body: dict[str, Any] | None
    choice: int = 0


@dataclass(frozen=True)
class History:
    """Definitions and acts in the order of their times. All of it ends in a long quiet stretch after everything has arrived."""

    definitions: dict[str, Any]
    acts: tuple[Act, ...]
    end_ms: int
    lateness_ms: int = 8 * D
    skew_ms: int = 300_000

    @property
    def events(self) -> list[dict[str, Any]]:
        """What producers write, but for control records."""
        return [act.body for act in self.acts if act.body is not None and "control" not in act.body]


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    """An event but for its ids and its time."""
    kind = draw(st.sampled_from(["track"] * 5 + ["identify", "page"]))
    body: dict[str, Any] = {"type": kind}
    if kind == "track":
        body["event"] = draw(st.sampled_from(EVENT_NAMES))
    for name, strategy in (("properties", properties), ("traits", traits), ("context", contexts)):
        if draw(st.integers(0, 9)) < (9 if name == "traits" and kind == "identify" else 3):
            body[name] = draw(strategy)
    return body


@st.composite
def written(draw: st.DrawFn, *, shared: bool) -> dict[str, Any]:
    """An event of somebody under one of their ids or two, or what joins two of them."""
    person = draw(st.sampled_from((0, 0, 0, 1)))
    user, device = draw(st.sampled_from(KNOWN[person])), draw(st.sampled_from(DEVICES[person]))
    if not shared:
        device = OWNED.get(user, device)
    elif draw(st.integers(0, 5)) == 0:
        device = draw(st.sampled_from(list(OWNED.values())))
    match draw(st.integers(0, 9)):
        case 0 | 1:
            return {**draw(contents()), "anonymousId": device}
        case 2 | 3:
            return {**draw(contents()), "userId": user}
        case 4 | 5 if shared or user in OWNED:
            return {**draw(contents()), "userId": user, "anonymousId": device}
        case _:
            old = draw(
                st.sampled_from((*KNOWN[person], *(device for _ in OWNED if shared or user in OWNED))).filter(lambda id_: id_ != user)
            )
            return {"type": "alias", "userId": user, "properties": {"previousId": old}}


@st.composite
def settling(draw: st.DrawFn) -> History:
    """A history of which the end does not depend on when things arrived: no devices that two people share, definitions that ask about the
    present, and events of different times."""
    source = draw(present_definitions())
    now, used, acts = draw(st.sampled_from(ANCHORS[:8])), set[int](), list[Act]()
    for number in range(draw(st.integers(4, 16))):
        now += abs(draw(steps_ms()))
        if draw(st.integers(0, 3)) == 0:
            acts.append(Act(now, None, draw(st.integers(0, 7))))
            continue
        timestamp = now - draw(st.sampled_from([0, 0, 0, 1, 1000, *LENGTHS[:7]]))
        while timestamp in used:
            timestamp -= 1
        used.add(timestamp)
        acts.append(Act(now, {**draw(written(shared=False)), "messageId": f"m{number}", "timestamp": timestamp}))
    end_ms = now + draw(st.sampled_from([1, H, D, 3 * D]))
    return History(source, tuple(acts), end_ms, lateness_ms=30 * D)


@st.composite
def present_definitions(draw: st.DrawFn) -> dict[str, Any]:
    """Definitions that ask about the present."""
    source = draw(definitions(names=("m", "a")))
    asks = {name: {"when": given["when"]} for name, given in source["segments"].items() if "exit" not in given}
    asks = {name: given for name, given in asks.items() if not any(f'("{other}")' in given["when"] for other in source["segments"])}
    return {"zone": source["zone"], "segments": asks or {"m": {"when": 'count("A") >= 2'}}}


@st.composite
def histories(draw: st.DrawFn, *, erases: bool = True) -> History:
    """Anything: late, twice, early, shared devices, erasures."""
    source = draw(definitions(names=("m", "a")))
    lateness_ms, skew_ms = draw(st.sampled_from([86_400_000, H, 8 * D])), draw(st.sampled_from([300_000, 0]))
    now, acts, ids = draw(st.sampled_from(ANCHORS)), list[Act](), 0
    sent: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(4, 18))):
        now += abs(draw(steps_ms()))
        choice = draw(st.integers(0, 19))
        if choice < 6:
            acts.append(Act(now, None, draw(st.integers(0, 7))))
        elif choice == 6 and erases:
            everybody = [each for one in (*KNOWN, *DEVICES) for each in one]
            acts.append(Act(now, {"control": "erase", "customer": draw(st.sampled_from(everybody))}))
        elif choice == 7 and sent:
            acts.append(Act(now, draw(st.sampled_from(sent))))
        else:
            ids += 1
            timestamp = max(0, now - draw(delays(lateness_ms, skew_ms)))
            sent.append({**draw(written(shared=True)), "messageId": f"m{ids}", "timestamp": timestamp})
            acts.append(Act(now, sent[-1], draw(st.integers(0, 7))))
    return History(source, tuple(acts), now + draw(st.sampled_from([1, H, 9 * D])), lateness_ms, skew_ms)
