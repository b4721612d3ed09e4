"""All that files say of messages, collected: channels and topics may stand in another file than the messages that name them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, assert_never, get_args

import yaml

from streamer.errors import DefinitionError
from streamer.examples import ModelSpec
from streamer.suggest import did_you_mean
from streamer.values import Json

from .message_entries import read_channel, read_limits, read_message, read_topic
from .message_specs import NO_LIMITS, Channel, Consent, MessageLimits, MessageSpec
from .references import check_models, references
from .yaml_source import WrittenEntry, YamlSource

MESSAGES_MAX: Final = 1_000
CHANNELS_MAX: Final = 16
TOPICS_MAX: Final = 64

Section = Literal["messages", "channels", "topics", "message_limits"]
MESSAGE_SECTIONS: Final[tuple[Section, ...]] = get_args(Section)


@dataclass(frozen=True, slots=True)
class MessageDefinitions:
    """What was read. ``messages`` are in the order of (priority, highest first, name), ``written`` is their source by section."""

    messages: tuple[MessageSpec, ...]
    channels: tuple[Channel, ...]
    topics: Mapping[str, Consent]
    limits: MessageLimits
    written: Mapping[str, Json]


class MessagesReader:
    """Collects the four sections over several files."""

    def __init__(self) -> None:
        self._messages: dict[str, WrittenEntry] = {}
        self._channels: dict[str, WrittenEntry] = {}
        self._topics: dict[str, WrittenEntry] = {}
        self._limits: tuple[yaml.Node, YamlSource] | None = None

    def add(self, section: Section, node: yaml.Node, source: YamlSource) -> None:
        """Note one section of one file. Raises DefinitionError."""
        match section:
            case "messages":
                _collect(self._messages, node, source, what="message", most=MESSAGES_MAX)
            case "channels":
                _collect(self._channels, node, source, what="channel", most=CHANNELS_MAX)
            case "topics":
                _collect(self._topics, node, source, what="topic", most=TOPICS_MAX)
            case "message_limits":
                if self._limits is not None:
                    source.fail(node, f"found 'message_limits' a second time; they were given in {self._limits[1].file} before")
                self._limits = node, source
            case _:
                assert_never(section)

    def finish(self, segments: Collection[str], models: Mapping[str, ModelSpec]) -> MessageDefinitions:
        """All of it, checked against the names of segments and models. Raises DefinitionError."""
        channels = {name: read_channel(*self._channels[name]) for name in sorted(self._channels)}
        topics = dict(read_topic(*self._topics[name]) for name in sorted(self._topics))
        limits = read_limits(*self._limits) if self._limits is not None else NO_LIMITS
        messages = [read_message(*written, channels, topics) for written in self._messages.values()]
        for message, written in zip(messages, self._messages.values(), strict=True):
            at = partial(written.source.place_of, written.body)
            _check_segments(message, segments, at)
            check_models(message.expressions, models, of=f"the message {message.name!r}", file=message.file, at=at)
        ordered = sorted(messages, key=lambda message: (-message.priority, message.name))
        return MessageDefinitions(tuple(ordered), tuple(channels.values()), topics, limits, self._written(messages))

    def _written(self, messages: list[MessageSpec]) -> dict[str, Json]:
        """The source of each section that says anything: what says nothing leaves the content as it was."""
        written: dict[str, Json] = {}
        if messages:
            written["messages"] = {message.name: message.source for message in messages}
        for section, entries in (("channels", self._channels), ("topics", self._topics)):
            if entries:
                written[section] = {name: entry.source.plain(entry.body) for name, entry in entries.items()}
        if self._limits is not None:
            node, source = self._limits
            written["message_limits"] = source.plain(node)
        return written


def _collect(into: dict[str, WrittenEntry], node: yaml.Node, source: YamlSource, *, what: str, most: int) -> None:
    for key, body in source.entries(node, what=f"a mapping of {what} names"):
        if key.value in into:
            earlier = into[key.value]
            place = f"{earlier.source.file}:{earlier.key.start_mark.line + 1}"
            source.fail(key, f"found the {what} {key.value!r:.80} a second time; it was defined at {place}")
        if len(into) >= most:
            source.fail(key, f"expected at most {most} {what}s")
        into[key.value] = WrittenEntry(key, body, source)


def _check_segments(message: MessageSpec, segments: Collection[str], at: Callable[[str], tuple[int, int]]) -> None:
    for name in (*message.segments, *references(message.expressions)):
        if name not in segments:
            line, column = at(name)
            raise DefinitionError(
                f"the message {message.name!r} refers to the unknown segment {name!r:.80}",
                file=message.file,
                line=line,
                column=column,
                hint=did_you_mean(name, segments),
            )
