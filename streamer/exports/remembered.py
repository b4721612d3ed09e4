"""What the store remembers of one customer: where they stand and why, every memory in words, their other ids, what waits to be said."""

from __future__ import annotations

from typing import Final

import msgspec

from streamer.customers.message_state import MessageRef, MessageState
from streamer.customers.state import NO_TIMER, State
from streamer.customers.telling import told
from streamer.flow.committed import CommittedCustomer
from streamer.messages.explain import MessageExplanation, explain_message
from streamer.messages.planned import MessagePlan
from streamer.server.answers import CustomerAnswer
from streamer.server.customer_answers import Wish
from streamer.server.server import Answers
from streamer.settings import Settings
from streamer.values import Json, time_text


class ToldMemory(msgspec.Struct):
    """One memory: ``of`` says of what, as the definitions name it, ``kind`` how it is kept, ``data`` what it holds."""

    of: str
    kind: str
    data: Json


class SentMessage(msgspec.Struct):
    """A message that counts against caps."""

    at: str
    message: str
    channel: str


class Remembered(msgspec.Struct, omit_defaults=True):
    """What the store has of a customer as of one commit of their shard.

    ``standing`` is what the API answers, with why and why not of each segment. ``profile``: traits, context and time zone that are
    remembered, by name. ``links``: other ids, since when. ``messages``: each message of the definitions with its tests, consent among them,
    and what it would decide. ``sent``: what counts against caps; ``newest_sent``: by message, of those with a limit of their own.
    ``refused_until``: events with a timestamp up to then count no more, since their ids may be forgotten; of later ones the ids are kept as
    hashes of ``message_ids_bytes`` in all.
    """

    standing: CustomerAnswer
    profile: dict[str, Json]
    memories: list[ToldMemory]
    links: dict[str, str]
    messages: list[MessageExplanation]
    sent: list[SentMessage] = []
    newest_sent: dict[str, str] = {}
    retired_segments: dict[str, int] = {}
    message_ids_bytes: int = 0
    refused_until: str = ""
    timer_at: str = ""


PROFILE_TAKES: Final = ("trait", "context", "zone")


async def remembered(answers: Answers, settings: Settings, found: CommittedCustomer, now_ms: int) -> Remembered:
    """All of it. Raises AnswerError where the ids were joined or forgotten meanwhile, and what reading the store may."""
    state, body = found.state, found.view.body
    assert state is not None, "there is somebody to be told of"
    assert body is not None, "a shard that has states has a checkpoint"
    plan = await answers.committed.plan_of(found)
    standing, _ = await answers.customers.one(found.customer, Wish(explain=True))
    at_ms = max(found.view.log_time_ms, min(now_ms, found.view.log_time_ms + settings.tick))
    messages = MessagePlan(plan)
    held = [(plan.memories[slot], data) for slot, data in sorted(state.slots.items())]
    profile = {
        ".".join(one.input.path) or one.input.take: told(one.spec, data, state.origin_ms)
        for one, data in held
        if one.input.take in PROFILE_TAKES
    }
    memories = [
        ToldMemory(one.key, type(one.spec).__name__, told(one.spec, data, state.origin_ms))
        for one, data in held
        if one.input.take not in PROFILE_TAKES
    ]
    explained = (
        [] if state.aside_ms else [explain_message(messages, found.customer, state, one, at_ms, body.paused) for one in messages.messages]
    )
    return _with_sent(Remembered(standing, profile, memories, _links(state), explained), messages, state)


def _links(state: State) -> dict[str, str]:
    return {one: time_text(linked_ms) if linked_ms else "" for one, linked_ms in state.links.items()}


def _with_sent(found: Remembered, messages: MessagePlan, state: State) -> Remembered:
    held = state.messages or MessageState()

    def name(ref: MessageRef) -> str:
        return ref if isinstance(ref, str) else messages.messages[ref].name

    def moment(own_ms: int) -> str:
        return time_text(own_ms + state.origin_ms)

    found.sent = [SentMessage(moment(one.at_ms), name(one.message), one.channel) for one in held.slots]
    found.newest_sent = {name(ref): moment(at_ms) for ref, at_ms in held.newest_ms.items()}
    found.retired_segments = {**state.retired}
    found.message_ids_bytes = len(state.seen)
    found.refused_until = "" if state.floor_ms is None else moment(state.floor_ms)
    found.timer_at = time_text(state.due_ms) if state.timer_ms < NO_TIMER else ""
    return found


__all__ = ["Remembered", "remembered"]
