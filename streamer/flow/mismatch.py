"""What shows that the store has something else of a customer than the log says, whole enough to be told again without Kafka and a store.

It has the customer's own records as they lie in the log, those that concern everybody, and both states: nothing of anybody else, but for
whoever was joined to them or parted from them, and no secret. Which keys hold is left out, so what was signed is not checked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from streamer.customers.state import State, decode_state
from streamer.customers.tombstone import is_tombstone
from streamer.errors import RefusedError
from streamer.segments.plan.plan import Plan
from streamer.stores.memory import MemoryStore
from streamer.wire import LogRecord, decode_control

from .amendments import FOR_DEFINITIONS, Amendment, Amendments
from .audit import Audited
from .catalog import Plans
from .customer_folder import twin_of_one
from .folding import ToldLog, tell
from .rules import Rules


class Mismatch(msgspec.Struct, frozen=True):
    """Two states of one customer as of ``offset`` (that of the next record): what the store had, and what was ``folded`` by ``records``.

    ``aside`` are the places at which the shard set them aside, as ``amendments.aside_place`` says. ``history`` has their records in the
    shard's history.
    """

    shard: int
    offset: int
    log_time_ms: int
    customer: str
    rules: Rules
    stored: bytes
    folded: bytes | None
    aside: list[tuple[int, str, int]]
    records: list[LogRecord]
    history: list[LogRecord] = []


encode_mismatch: Final = msgspec.json.Encoder().encode
decode_mismatch: Final = msgspec.json.Decoder(Mismatch).decode


class Retold(NamedTuple):
    """What the records come to with this program: the state (None: nothing is known), and the plan by which its parts are numbered."""

    state: bytes | None
    plan: Plan


def mismatch_of(found: Audited, rules: Rules, decided: Amendments) -> Mismatch:
    """What shows that both states of an audit differ. ``decided`` are the amendments of the shard."""
    return Mismatch(
        found.shard,
        found.position.offset,
        found.log_time_ms,
        found.customer,
        rules,
        found.stored,
        found.folded,
        sorted(place for place in decided.aside if place[1] == found.customer),
        [record for record in found.told if not _names_keys(record)],
        [*found.history],
    )


def retell(mismatch: Mismatch) -> Retold:
    """The customer told anew. Raises FoldError where the records do not tell it, and what our own code raises at them."""
    return asyncio.run(_retell(mismatch))


async def _retell(mismatch: Mismatch) -> Retold:
    shard, rules, store, log = mismatch.shard, mismatch.rules, MemoryStore(), ToldLog()
    twin = await twin_of_one(shard, store, Plans(store, rules), rules, Amendments(_aside(mismatch)), log)
    log.records, log.past = mismatch.records, mismatch.history
    await tell(twin, store, mismatch.records)
    state = (await store.fetch(shard, [mismatch.customer], until_ms=0, limit=0)).states[0]
    return Retold(state, twin.plan)


def differences(stored: bytes, told: bytes | None, plan: Plan) -> list[str]:
    """By name what differs between two states of one customer: parts of the state, memories and segments. Empty where nothing does."""
    if stored == told:
        return []
    if told is None or is_tombstone(told) or is_tombstone(stored):
        return ["one of them is no state"]
    one, other = decode_state(stored), decode_state(told)
    names = [*_slots(one, other, plan), *_members(one, other, plan)]
    names += [part for part in State.__struct_fields__ if part not in ("slots", "members") and getattr(one, part) != getattr(other, part)]
    return names or ["the order in which something is written"]


def _slots(one: State, other: State, plan: Plan) -> Iterable[str]:
    for number in sorted(one.slots.keys() | other.slots.keys()):
        if one.slots.get(number) != other.slots.get(number):
            yield f"memory {plan.memories[number].key}" if number < len(plan.memories) else f"memory {number}, which the plan has not"


def _members(one: State, other: State, plan: Plan) -> Iterable[str]:
    for number in sorted(one.members.keys() | other.members.keys()):
        if one.members.get(number) != other.members.get(number):
            yield f"segment {plan.rules[number].name}" if number < len(plan.rules) else f"segment {number}, which the plan has not"


def _aside(mismatch: Mismatch) -> Iterable[Amendment]:
    for offset, customer, due_ms in mismatch.aside:
        to = offset if due_ms == FOR_DEFINITIONS else 0
        yield Amendment("aside", mismatch.shard, offset, customer=customer, due_ms=due_ms, to=to)


def _names_keys(record: LogRecord) -> bool:
    try:
        return record.control and decode_control(record.value).control == "keys"
    except RefusedError:
        return False


__all__ = ["Mismatch", "Retold", "decode_mismatch", "differences", "encode_mismatch", "mismatch_of", "retell"]
