"""Segment definitions as a shop writes them: YAML files, or the same as JSON in a ``definitions`` record.

What is loaded here is checked whole: every expression parsed, every reference resolved, every cycle refused with its path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

import msgspec
import yaml

from streamer.errors import DefinitionError
from streamer.examples import ModelSpec
from streamer.suggest import did_you_mean
from streamer.values import Json
from streamer.zones import PINNED, MissingZonesError, is_version, zones_of

from .limits import is_segment_name
from .message_sections import MESSAGE_SECTIONS, MessagesReader
from .message_specs import NO_LIMITS, Channel, Consent, MessageLimits, MessageSpec
from .model_specs import MODELS_MAX, read_model, read_sensitive, unknown_segment
from .references import check_models, in_order
from .segment_specs import Segment, read_segment
from .yaml_source import WrittenEntry, YamlSource

SEGMENTS_MAX: Final = 20_000
FILE_BYTES_MAX: Final = 8_000_000
BASE: Final = "what was published"  # stands for the file of what ``parse_over`` puts a text over
_NAMED: Final = ("segments", "models", "messages", "channels", "topics")  # sections whose entries have names
_SECTIONS: Final = ("segments", "models", "sensitive", "zone", "zone_data", *MESSAGE_SECTIONS)


@dataclass(frozen=True, slots=True)
class Definitions:
    """All segments of a shop, those that others refer to first, its models by name, and its time zone. ``written`` is the source of
    models and messages; ``zone_data`` the version of tzdata by which all zones are read. Messages are in the order in which they are
    decided at one instant: higher priority first, then by name. ``channels`` are those that are written down, by name."""

    segments: tuple[Segment, ...]
    zone: str = "UTC"
    models: tuple[ModelSpec, ...] = ()
    written: Mapping[str, Json] = field(default_factory=dict[str, Json])
    zone_data: str = PINNED.version
    messages: tuple[MessageSpec, ...] = ()
    channels: tuple[Channel, ...] = ()
    topics: Mapping[str, Consent] = field(default_factory=dict[str, Consent])
    message_limits: MessageLimits = NO_LIMITS

    @property
    def clock(self) -> ZoneInfo:
        """The shop's zone, by the zone data in force. Raises MissingZonesError where they are not here."""
        zones = zones_of(self.zone_data)
        return zones.find(self.zone) or zones.utc

    def content(self) -> bytes:
        """The canonical JSON: what a ``definitions`` record carries and ``digest`` is taken of."""
        return msgspec.json.encode(
            {
                "zone": self.zone,
                "zone_data": self.zone_data,
                "segments": {segment.name: dict(segment.source) for segment in sorted(self.segments, key=lambda s: s.name)},
                **self.written,
            },
            order="sorted",
        )

    @property
    def digest(self) -> str:
        """Names the content: 32 hexadecimal digits."""
        return content_digest(self.content())


def content_digest(content: bytes) -> str:
    """The name under which a definitions' content is kept."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def load_definitions(*paths: Path | str) -> Definitions:
    """Definitions in files, and in folders of ``*.yaml`` (and ``*.yml``) files in the order of their names.

    Raises DefinitionError with file, line and column. What is in a text itself, ``parse_definitions`` reads.
    """
    reader = _Reader()
    for path in paths:
        if isinstance(path, str) and "\n" in path:
            raise DefinitionError("expected the name of a file or a folder, found a text of several lines; parse_definitions reads a text")
        for file in _files(Path(path)):
            reader.read_yaml(_text(file), file=str(file))
    try:
        return reader.finish()
    except MissingZonesError as error:
        raise DefinitionError(f"'zone_data' {error}", file=str(paths[0])) from None


def parse_definitions(content: bytes | str | Mapping[str, Any], *, file: str = "definitions") -> Definitions:
    """Definitions from the canonical JSON, from YAML text, or from a decoded mapping.

    Raises DefinitionError; MissingZonesError where they are to be read by zone data that are not here, which is no fault of theirs.
    """
    reader = _Reader()
    if isinstance(content, Mapping):
        content = msgspec.json.encode(content)
    try:
        text = content.decode() if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise DefinitionError(f"expected UTF-8 text, found a byte that is not at {error.start}", file=file) from None
    reader.read_yaml(text, file=file)
    return reader.finish()


def parse_over(base: bytes, text: str, *, file: str = "definitions") -> Definitions:
    """A text put over the canonical JSON of other definitions: what both name is as the text says, all else stays. Raises as
    ``parse_definitions`` does."""
    reader = _Reader()
    reader.read_yaml(_without_named(base, YamlSource(text, file)).decode(), file=BASE)
    reader.read_yaml(text, file=file)
    return reader.finish()


def _without_named(base: bytes, over: YamlSource) -> bytes:
    """The canonical JSON without whatever ``over`` names."""
    left: dict[str, Json] = msgspec.json.decode(base)
    for key, value in over.entries(over.root(), what="a mapping with 'segments'"):
        entries = left.get(key.value)
        if key.value in _NAMED and isinstance(entries, dict):
            for name, _ in over.entries(value, what="a mapping of names"):
                cast("dict[str, Json]", entries).pop(name.value, None)
        else:
            left.pop(key.value, None)
    return msgspec.json.encode(left)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml"))
        if not found:
            raise DefinitionError("expected *.yaml files in the folder, found none", file=str(path))
        return found
    if not path.is_file():
        raise DefinitionError("expected a file or a folder of definitions, found nothing there", file=str(path))
    return [path]


def _text(file: Path) -> str:
    if file.stat().st_size > FILE_BYTES_MAX:
        raise DefinitionError(f"expected at most {FILE_BYTES_MAX} bytes, found {file.stat().st_size}", file=str(file))
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DefinitionError(f"expected UTF-8 text, found a byte that is not at {error.start}", file=str(file)) from None


class _Reader:
    """Collects definitions over several files."""

    def __init__(self) -> None:
        self._segments: dict[str, Segment] = {}
        self._models: dict[str, WrittenEntry] = {}
        self._sensitive: tuple[str, ...] = ()
        self._zone: tuple[yaml.Node, YamlSource, str] | None = None
        self._zone_data: str | None = None
        self._messages = MessagesReader()

    def read_yaml(self, text: str, *, file: str) -> None:
        source = YamlSource(text, file)
        for key, value in source.entries(source.root(), what="a mapping with 'segments'"):
            match key.value:
                case "segments":
                    for name, body in source.entries(value, what="a mapping of segment names"):
                        self._add(name, body, source)
                case "models":
                    for name, body in source.entries(value, what="a mapping of model names"):
                        self._add_model(name, body, source)
                case "sensitive":
                    self._sensitive += read_sensitive(value, source.fail)
                case "zone":
                    self._set_zone(value, source)
                case "zone_data":
                    self._set_zone_data(value, source)
                case section if section in MESSAGE_SECTIONS:
                    self._messages.add(section, value, source)
                case unknown:
                    hint = did_you_mean(unknown, _SECTIONS) or f"known are {', '.join(_SECTIONS)}"
                    source.fail(key, f"found the unknown key {unknown!r:.80}", hint)

    def _add_model(self, key: yaml.ScalarNode, body: yaml.Node, source: YamlSource) -> None:
        if key.value in self._models:
            source.fail(key, f"found the model {key.value!r:.80} a second time")
        if len(self._models) >= MODELS_MAX:
            source.fail(key, f"expected at most {MODELS_MAX} models")
        self._models[key.value] = WrittenEntry(key, body, source)

    def _set_zone(self, node: yaml.Node, source: YamlSource) -> None:
        zone = source.scalar(node)
        if self._zone is not None and self._zone[2] != zone:
            source.fail(node, f"found a second zone; it was {self._zone[2]} before")
        self._zone = node, source, zone

    def _set_zone_data(self, node: yaml.Node, source: YamlSource) -> None:
        version = source.scalar(node)
        if not is_version(version):
            source.fail(node, f"expected a version of tzdata such as {PINNED.version}, found {version!r:.60}")
        if self._zone_data not in (None, version):
            source.fail(node, f"found a second version of the zone data; it was {self._zone_data} before")
        self._zone_data = version

    def _checked_zone(self, zone_data: str) -> str:
        """The shop's zone. Raises MissingZonesError where the zone data are not here."""
        zones = zones_of(zone_data)
        if self._zone is None:
            return "UTC"
        node, source, zone = self._zone
        if zones.find(zone) is None:
            source.fail(node, f"expected an IANA time zone such as Europe/Berlin, found {zone!r:.60}")
        return zone

    def _add(self, key: yaml.ScalarNode, body: yaml.Node, source: YamlSource) -> None:
        name = key.value
        if not is_segment_name(name):
            source.fail(key, f"expected a segment name of a-z, 0-9 and _, found {name!r:.80}")
        if name in self._segments:
            earlier = self._segments[name]
            source.fail(key, f"found the segment {name!r} a second time; it was defined at {earlier.file}:{earlier.line}")
        if len(self._segments) >= SEGMENTS_MAX:
            source.fail(key, f"expected at most {SEGMENTS_MAX} segments")
        self._segments[name] = read_segment(name, key, body, source)

    def finish(self) -> Definitions:
        models = {name: self._model(name) for name in sorted(self._models)}
        for segment in self._segments.values():
            check_models(
                segment.conditions, models, of=f"the segment {segment.name!r}", file=segment.file, at=lambda _, line=segment.line: (line, 0)
            )
        said = self._messages.finish(self._segments, models)
        written: dict[str, Json] = {}
        if models:
            written["models"] = {name: self._models[name].source.plain(self._models[name].body) for name in models}
        if self._sensitive:
            written["sensitive"] = sorted(set(self._sensitive))
        zone_data = self._zone_data or PINNED.version
        return Definitions(
            in_order(self._segments),
            self._checked_zone(zone_data),
            tuple(models.values()),
            {**written, **said.written},
            zone_data,
            said.messages,
            said.channels,
            said.topics,
            said.limits,
        )

    def _model(self, name: str) -> ModelSpec:
        key, body, source = self._models[name]
        entries = {k.value: (k, v) for k, v in source.entries(body, what="a mapping with 'kind'")}
        spec = read_model(name, key, entries, tuple(sorted(set(self._sensitive))), source.fail)
        wrong = unknown_segment(spec, self._segments)
        if wrong is not None:
            source.fail(key, wrong)
        return spec
