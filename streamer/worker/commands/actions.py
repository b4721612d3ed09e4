"""What a worker does for a command: one function an action, each of which may run twice.

A worker does it with its own rights and signs with its own key; that whoever asked may ask was checked before.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import time
from typing import Final, NamedTuple, assert_never

from aiokafka import AIOKafkaProducer

from streamer.commands import (
    BoundArrival,
    Command,
    Erase,
    MergeIds,
    PauseMessages,
    Pin,
    Rebuild,
    Redrive,
    Resume,
    ResumeMessages,
    Skip,
    UnmergeIds,
    Unpin,
)
from streamer.deployment.obedience import check_signing
from streamer.deployment.unmerging import part
from streamer.errors import FencedError, RefusedError, SettingsError
from streamer.events.alias import PREVIOUS_ID, check_alias
from streamer.events.codec import encode
from streamer.events.event import Event
from streamer.events.placeholders import is_placeholder
from streamer.flow.learner_checkpoint import LearnerCheckpoint, card_of, read_learner
from streamer.language.definitions import content_digest
from streamer.language.durations import format_duration
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.stores.documents import published_scorer_document
from streamer.transports.kafka.control import send_control
from streamer.transports.kafka.journal import KafkaJournal
from streamer.transports.kafka.log_inspector import LogInspector
from streamer.wire import EVENTS, EXAMPLES, Control, encode_control, model_control, shard_of

from .redrive import redrive
from .shard_orders import amend, going_on, rebuild

SOON_MS_MIN: Final = 5_000  # within which a worker notices an order at the latest, however short its probe interval


class Report(NamedTuple):
    """What was done: a sentence, and further lines."""

    text: str
    notes: list[str] = []


@dataclass(frozen=True, slots=True)
class Tools:
    """With what a worker does it."""

    settings: Settings
    store: Store
    producer: AIOKafkaProducer


async def perform(tools: Tools, command: Command) -> Report:
    """Do what a command asks for; what was done. Raises StreamerError where it cannot be done as asked for, and what the broker and the
    store raise."""
    action = command.do
    match action:
        case Erase():
            return await _erase(tools, action)
        case MergeIds():
            return await _merge(tools, command.id, action)
        case UnmergeIds():
            return await _unmerge(tools, action)
        case Pin():
            return await _pin(tools, action)
        case Unpin():
            return await _unpin(tools, action)
        case PauseMessages() | ResumeMessages():
            return await _pause(tools, action)
        case Redrive():
            text, notes = await redrive(tools.settings, tools.producer, action.letters)
            return Report(text, notes)
        case Resume() | BoundArrival() | Skip():
            return await _amend(tools, command, action)
        case Rebuild():
            return await _rebuild(tools, command, action)
        case _:
            assert_never(action)


async def _erase(tools: Tools, action: Erase) -> Report:
    """A worker that dies between the record and its answer leaves the command to another, who writes a second one: it also forgets what the
    customer did in between."""
    await check_signing(tools.settings, tools.store)
    shard = shard_of(action.customer, tools.settings.shards)
    await send_control(tools.producer, tools.settings, encode_control(Control("erase", customer=action.customer)), [shard])
    return Report(f"the erasure is in the log of shard {shard}")


async def _merge(tools: Tools, command_id: str, action: MergeIds) -> Report:
    """The event has the command's id for its own: written by another worker once more, it is a duplicate."""
    settings, new = tools.settings, action.new
    now_ms = int(time() * 1_000)
    properties = {PREVIOUS_ID: action.old}
    event = Event(type="alias", message_id=f"merge-{command_id}", user_id=new, timestamp_ms=now_ms, properties=properties)
    placeholders = frozenset(settings.rules.placeholder_ids)
    try:
        check_alias(event, placeholders)
    except RefusedError as error:
        raise SettingsError(f"the log would refuse it: {error}") from None
    if is_placeholder(new, placeholders):
        raise SettingsError("the log would refuse it: the new id names nobody")
    shard = shard_of(new, settings.shards)
    sent = await tools.producer.send(settings.topic(EVENTS), encode(event), key=new.encode(), partition=shard, headers=[])
    await sent
    return Report(f"the merge is in the log of shard {shard}")


async def _unmerge(tools: Tools, action: UnmergeIds) -> Report:
    """Done twice, the second one finds that there is nothing to do."""
    await check_signing(tools.settings, tools.store)
    await part(tools.settings, tools.store, tools.producer, action.old, action.survivor)
    return Report("they are two customers again")


async def _pin(tools: Tools, action: Pin) -> Report:
    """The learner hears it first: it would go on to the next version otherwise."""
    settings, name, version = tools.settings, action.model, action.version
    await check_signing(settings, tools.store)
    serving = _current(await read_learner(tools.store), name)
    content = await tools.store.get_document(published_scorer_document(name, version))
    if content is None:
        raise SettingsError(f"{name} has no version {version}; the newest is {serving}")
    await send_control(tools.producer, settings, encode_control(Control("pin", version=version, model=name)), [0], EXAMPLES)
    raw = model_control(name, content, content_digest(content), version)
    await send_control(tools.producer, settings, raw, range(settings.shards))
    return Report(f"{name} stays at version {version}")


async def _unpin(tools: Tools, action: Unpin) -> Report:
    await check_signing(tools.settings, tools.store)
    _current(await read_learner(tools.store), action.model)
    await send_control(tools.producer, tools.settings, encode_control(Control("unpin", model=action.model)), [0], EXAMPLES)
    return Report(f"{action.model} goes on as it learns")


async def _pause(tools: Tools, action: PauseMessages | ResumeMessages) -> Report:
    await check_signing(tools.settings, tools.store)
    pauses = isinstance(action, PauseMessages)
    raw = encode_control(Control("pause" if pauses else "resume", message=action.message))
    await send_control(tools.producer, tools.settings, raw, range(tools.settings.shards))
    what = "all messages" if action.message == "*" else action.message
    return Report(f"{'paused' if pauses else 'resumed'}: {what}, in the log of every shard")


def _current(taught: LearnerCheckpoint, name: str) -> int:
    """The version that serves; SettingsError where there is no such model."""
    card_of(taught, name)
    return taught.current.get(name, (0, ""))[0]


async def _amend(tools: Tools, command: Command, action: Resume | BoundArrival | Skip) -> Report:
    settings, shard = tools.settings, action.shard
    _check_number(settings, shard)
    inspector = LogInspector(settings)
    at = action.to if isinstance(action, Resume) else None
    arrival_ms = action.arrival_ms if isinstance(action, BoundArrival) else None
    decide = going_on(shard, settings.log_generation, command.who, action.why, inspector.unread, at=at, arrival_ms=arrival_ms)
    try:
        amendment = await amend(tools.store, lambda number: KafkaJournal.open(settings, number, command.who), shard, decide, command.id)
    except FencedError:
        raise SettingsError(f"the worker of shard {shard} took it up in between; nothing was written, try again") from None
    finally:
        await inspector.stop()
    upto = f" up to {amendment.to}" if amendment.what == "arrival" else ""
    place = f"{amendment.what} at offset {amendment.offset}{upto} of shard {shard}"
    return Report(f"amended: {place}; its worker goes on within {_soon(settings)}")


async def _rebuild(tools: Tools, command: Command, action: Rebuild) -> Report:
    settings, shard = tools.settings, action.shard
    _check_number(settings, shard)
    inspector = LogInspector(settings)
    try:
        begin = (await inspector.look(shard, -1)).begin
    finally:
        await inspector.stop()
    who, generation = command.who, settings.log_generation
    await rebuild(tools.store, lambda number: KafkaJournal.open(settings, number, who), shard, begin, who, action.why, generation)
    lost = f", which begins at offset {begin:,}: what lay before it is lost" if begin else ""
    return Report(f"shard {shard} is told anew from its log{lost}; its worker begins within {_soon(settings)}")


def _soon(settings: Settings) -> str:
    return format_duration(max(SOON_MS_MIN, 2 * settings.probe))


def _check_number(settings: Settings, shard: int) -> None:
    if shard >= settings.shards:
        raise SettingsError(f"there is no shard {shard}: STREAMER_SHARDS is {settings.shards}, they count from 0")


__all__ = ["Report", "Tools", "perform"]
