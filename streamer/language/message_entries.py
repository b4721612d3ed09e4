"""One entry of ``messages``, ``channels`` or ``topics``, and ``message_limits``: from YAML to ``message_specs``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar, get_args

import yaml

from streamer.suggest import did_you_mean

from . import tree
from .message_parts import name_of, read_caps, read_facts, read_goal, read_holdout, read_quiet, read_variants, whole
from .message_specs import (
    AGAIN_ALWAYS,
    AGAIN_ONCE,
    BUILT_IN_CHANNELS,
    EXPIRY_MS,
    EXPIRY_MS_MAX,
    Channel,
    Consent,
    LateCause,
    MessageKind,
    MessageLimits,
    MessageSpec,
    Quiet,
    Trigger,
)
from .tree import Condition, Value
from .yaml_source import YamlSource

PRIORITY_MAX: Final = 1_000

MESSAGE_KEYS: Final = (
    "for",
    "on",
    "also",
    "delay",
    "require",
    "stay",
    "again",
    "expiry",
    "channel",
    "kind",
    "topic",
    "address",
    "language",
    "facts",
    "template",
    "cap",
    "quiet",
    "holdout",
    "variants",
    "priority",
    "goal",
)
_REQUIRED: Final = ("for", "on", "channel")
_KINDS: Final[tuple[MessageKind, ...]] = get_args(MessageKind)
_CONSENTS: Final[tuple[Consent, ...]] = get_args(Consent)
_LATE_CAUSES: Final[tuple[LateCause, ...]] = get_args(LateCause)
_LOCALES: Final = (tree.Trait(("locale",)), tree.Context(("locale",)))
_ADDRESSES: Final[Mapping[str, Value]] = {"email": tree.Trait(("email",))}

Word = TypeVar("Word", bound=str)


def read_channel(name: yaml.ScalarNode, body: yaml.Node, source: YamlSource) -> Channel:
    """One entry of ``channels``."""
    entries = source.known_entries(body, ("cap", "quiet"), what="a mapping with 'cap' or 'quiet'", of=f"the channel {name.value!r:.80}")
    return Channel(
        name_of(name, source, "a channel"),
        read_caps(entries["cap"], source) if "cap" in entries else (),
        read_quiet(entries["quiet"], source) if "quiet" in entries else None,
    )


def read_topic(name: yaml.ScalarNode, body: yaml.Node, source: YamlSource) -> tuple[str, Consent]:
    """One entry of ``topics``."""
    return name_of(name, source, "a topic"), _one_of(body, source, _CONSENTS, "opt_in or opt_out")


def read_limits(node: yaml.Node, source: YamlSource) -> MessageLimits:
    """``message_limits``."""
    entries = source.known_entries(node, ("cap", "holdout"), what="a mapping with 'cap' or 'holdout'", of="'message_limits'")
    return MessageLimits(
        read_caps(entries["cap"], source) if "cap" in entries else (),
        read_holdout(entries["holdout"], source) if "holdout" in entries else 0,
    )


def read_message(
    at: yaml.ScalarNode, body: yaml.Node, source: YamlSource, channels: Mapping[str, Channel], topics: Mapping[str, Consent]
) -> MessageSpec:
    """One entry of ``messages``. Names of segments and models are for the caller to check."""
    name = name_of(at, source, "a message")
    entries = source.known_entries(body, MESSAGE_KEYS, what="a mapping with 'for', 'on' and 'channel'", of=f"the message {name!r}")
    for key in _REQUIRED:
        if key not in entries:
            source.fail(at, f"expected {key!r} in the message {name!r}, found none")
    kind = _one_of(entries["kind"], source, _KINDS, "a kind of message") if "kind" in entries else "marketing"
    channel = _channel(entries["channel"], source, channels)
    return MessageSpec(
        name=name,
        purpose=_purpose(entries["for"], source),
        trigger=_trigger(entries["on"], source),
        also=_also(entries["also"], source) if "also" in entries else frozenset(),
        delay_ms=source.duration(entries["delay"]) if "delay" in entries else 0,
        require=source.condition(entries["require"]) if "require" in entries else None,
        stay=_truth(entries["stay"], source) if "stay" in entries else True,
        again_ms=_again(entries["again"], source) if "again" in entries else AGAIN_ALWAYS,
        expiry_ms=_expiry(entries["expiry"], source) if "expiry" in entries else EXPIRY_MS,
        channel=channel,
        kind=kind,
        topic=_topic(at, entries, source, topics, kind),
        address=_value(entries["address"], source) if "address" in entries else _ADDRESSES.get(channel),
        language=(_value(entries["language"], source),) if "language" in entries else _LOCALES,
        facts=read_facts(entries["facts"], source) if "facts" in entries else (),
        template=name_of(entries["template"], source, "a template") if "template" in entries else name,
        caps=read_caps(entries["cap"], source) if "cap" in entries else (),
        quiet=_quiet(entries, source, kind, channels.get(channel)),
        holdout_bp=read_holdout(entries["holdout"], source) if "holdout" in entries else 0,
        variants=read_variants(entries["variants"], source) if "variants" in entries else (),
        priority=whole(entries["priority"], source, least=-PRIORITY_MAX, most=PRIORITY_MAX) if "priority" in entries else 0,
        goal=read_goal(entries["goal"], source) if "goal" in entries else None,
        file=source.file,
        line=at.start_mark.line + 1,
        source={key: source.plain(node) for key, node in entries.items()},
    )


def _purpose(node: yaml.Node, source: YamlSource) -> str:
    text = source.printable(node)
    if not text.strip():
        source.fail(node, "expected a sentence that says what the message is for, found nothing")
    return text


def _trigger(node: yaml.Node, source: YamlSource) -> Trigger:
    found = source.expression(node)
    if isinstance(found, tree.Entered):
        return Trigger("entered", found.segment)
    if isinstance(found, tree.Left):
        return Trigger("left", found.segment)
    if not isinstance(found, Condition):
        source.fail(node, f'expected entered("…"), left("…") or a condition that turns true, found {tree.text(found):.60}')
    return Trigger("turns", condition=found)


def _also(node: yaml.Node, source: YamlSource) -> frozenset[LateCause]:
    return frozenset(_one_of(item, source, _LATE_CAUSES, "a cause of changes") for item in source.items(node))


def _again(node: yaml.Node, source: YamlSource) -> int:
    text = source.scalar(node)
    if text == "always":
        return AGAIN_ALWAYS
    if text == "once":
        return AGAIN_ONCE
    if not text[:1].isdecimal():
        source.fail(node, f"expected always, once or a duration such as 30d, found {text!r:.40}", did_you_mean(text, ("always", "once")))
    again_ms = source.duration(node)
    if again_ms == 0:
        source.fail(node, "expected a duration of 1ms or more", "again: always has no pause")
    return again_ms


def _expiry(node: yaml.Node, source: YamlSource) -> int:
    expiry_ms = source.duration(node, most_ms=EXPIRY_MS_MAX, most="30d")
    if expiry_ms == 0:
        source.fail(node, "expected an expiry of 1ms to 30d")
    return expiry_ms


def _channel(node: yaml.Node, source: YamlSource, channels: Mapping[str, Channel]) -> str:
    known = sorted({*channels, *BUILT_IN_CHANNELS})
    name = source.scalar(node)
    if name not in known:
        hint = did_you_mean(name, known) or f"known are {', '.join(known)}; others are defined under channels:"
        source.fail(node, f"found the unknown channel {name!r:.80}", hint)
    return name


def _topic(
    at: yaml.ScalarNode, entries: Mapping[str, yaml.Node], source: YamlSource, topics: Mapping[str, Consent], kind: MessageKind
) -> str | None:
    if "topic" not in entries:
        if kind == "marketing":
            source.fail(
                at,
                f"expected 'topic' in the message {at.value!r:.80}, since marketing needs consent, found none",
                "name one of topics:, or say kind: transactional if the customer asked for it",
            )
        return None
    name = source.scalar(entries["topic"])
    if name not in topics:
        known = f"known are {', '.join(sorted(topics))}" if topics else "topics: says which there are, such as {offers: opt_in}"
        source.fail(entries["topic"], f"found the unknown topic {name!r:.80}", did_you_mean(name, topics) or known)
    return name


def _quiet(entries: Mapping[str, yaml.Node], source: YamlSource, kind: MessageKind, channel: Channel | None) -> Quiet | None:
    if "quiet" in entries:
        return read_quiet(entries["quiet"], source)
    return channel.quiet if channel is not None and kind == "marketing" else None


def _value(node: yaml.Node, source: YamlSource) -> Value:
    found = source.expression(node)
    if not isinstance(found, Value):
        source.fail(node, f'expected a value such as trait("email"), found {tree.text(found):.60}')
    return found


def _truth(node: yaml.Node, source: YamlSource) -> bool:
    return _one_of(node, source, ("true", "false"), "true or false") == "true"


def _one_of(node: yaml.Node, source: YamlSource, known: Iterable[Word], what: str) -> Word:
    text, words = source.scalar(node), tuple(known)
    found = next((word for word in words if word == text), None)
    if found is None:
        source.fail(node, f"expected {what}, found {text!r:.40}", did_you_mean(text, words) or f"known are {', '.join(words)}")
    return found
