"""What the messages of a topic are: one of the formats, or rows that a mapping explains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Final

from streamer.errors import DefinitionError, SettingsError
from streamer.events.adapters import ADAPTERS, adapt
from streamer.events.adapters.columns import Mapping
from streamer.events.adapters.mapping import MappingFile, read_mapping
from streamer.events.adapters.outcome import Outcome, Refusal
from streamer.settings import Settings
from streamer.suggest import did_you_mean
from streamer.transports.kafka.source_consumer import SourceMessage

FORMATS: Final = tuple(name for name in ADAPTERS if name != "pixel")  # which is the query of a request, and no message
MAPPING: Final = "mapping"  # the name of the format in dead letters and of the group
HEADERS_READ: Final = ("ce_", "ce-")  # those of CloudEvents; no other header of a shop means anything here
FRAME_BYTES: Final = 5
NUMBER_BYTES: Final = 7  # of a row's number: a positive integer of JSON

MessageReader = Callable[[SourceMessage], Iterator[Outcome]]
"""Events and refusals of a message, in their order; the same ones, with the same ids, whenever it is read again."""


def format_of(settings: Settings) -> str:
    """The name of the format. SettingsError where the settings say none, or two."""
    name, mapping = settings.ingest_format, settings.ingest_mapping
    if mapping is not None:
        if name:
            raise SettingsError("STREAMER_INGEST_FORMAT: a mapping says what messages are; leave the format out")
        return MAPPING
    if name not in FORMATS:
        hint = did_you_mean(name, FORMATS) if name else ""
        expected = f"expected one of {', '.join(FORMATS)}, or STREAMER_INGEST_MAPPING"
        raise SettingsError(f"STREAMER_INGEST_FORMAT: {expected}{f' ({hint})' if hint else ''}")
    return name


def message_reader(settings: Settings) -> MessageReader:
    """How the messages are read. SettingsError, or DefinitionError of the mapping, where the settings cannot be used.

    A record without a value, as compacted topics have them where something was deleted, is skipped.
    """
    name, mapping = format_of(settings), settings.ingest_mapping
    read = _by_format(name) if mapping is None else _by_mapping(_checked(read_mapping(mapping), settings))

    def read_unless_empty(message: SourceMessage) -> Iterator[Outcome]:
        if message.value is None and not _headers(message):
            return iter((Refusal("skipped", "$", "a record without a value"),))
        return read(message)

    return read_unless_empty


def row_number(message: SourceMessage) -> int:
    """The number of the row that a message is: that of its place, for mappings that tell equal rows apart by where they lay.

    >>> row_number(SourceMessage("orders", 0, 5, None, b"{}")) == row_number(SourceMessage("orders", 1, 5, None, b"{}"))
    False
    """
    place = f"{message.topic}/{message.partition}/{message.offset}".encode()
    return int.from_bytes(blake2b(place, digest_size=NUMBER_BYTES).digest())


def _by_format(name: str) -> MessageReader:
    def read(message: SourceMessage) -> Iterator[Outcome]:
        return adapt(_body(message), format_name=name, received_ms=message.received_ms, headers=_headers(message))

    return read


def _by_mapping(file: MappingFile) -> MessageReader:
    mapping = Mapping(file)

    def read(message: SourceMessage) -> Iterator[Outcome]:
        return (found for _, found in mapping.numbered([(row_number(message), _body(message))]))

    return read


def _body(message: SourceMessage) -> bytes:
    """The JSON of a message, without the frame that producers with a schema registry put before it: a zero, and a number of four bytes."""
    value = message.value or b""
    return value[FRAME_BYTES:] if value[:1] == b"\0" and value[FRAME_BYTES : FRAME_BYTES + 1] in (b"{", b"[") else value


def _checked(file: MappingFile, settings: Settings) -> MappingFile:
    """The same, where it can be used on a stream: each message stands for itself, and nothing is sorted that never ends."""
    name = str(settings.ingest_mapping)
    if file.format != "ndjson":
        raise DefinitionError(f"expected ndjson, a row as JSON a message, found {file.format}, at 'format'", file=name)
    for key, said in (("group_by", bool(file.group_by)), ("sort", file.sort)):
        if said:
            raise DefinitionError(f"a message of a topic stands for itself; this is for files, at '{key}'", file=name)
    if missing := set(file.placeholder_ids or ()) - set(settings.placeholder_ids):
        shown = f"{len(missing)} of them are not among STREAMER_PLACEHOLDER_IDS, which hold in the log"
        raise DefinitionError(f"{shown}, at 'placeholder_ids'", file=name)
    return file


def _headers(message: SourceMessage) -> dict[str, str]:
    return {name.lower(): value.decode(errors="replace") for name, value in message.headers if name.lower().startswith(HEADERS_READ)}
