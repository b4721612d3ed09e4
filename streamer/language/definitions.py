# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Segment definitions as a shop writes them: YAML files, or the same as JSON in a ``definitions`` record.

What is loaded here is checked whole: every expression parsed, every reference resolved, every cycle refused with its path.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn, cast
from zoneinfo import ZoneInfo

import msgspec
import yaml

from streamer.errors import DefinitionError
from streamer.examples import ModelSpec
from streamer.suggest import did_you_mean
from streamer.zones import PINNED, MissingZonesError, is_version, zones_of

from . import slips, tree
from .durations import parse_duration
from .hysteresis import staying
from .limits import WINDOW_MS_MAX, is_segment_name
from .model_specs import MODELS_MAX, check_use, read_model, read_sensitive, unknown_segment
from .parse import parse
from .tree import AnyNode, Condition

SEGMENTS_MAX: Final = 20_000
FILE_BYTES_MAX: Final = 8_000_000
YAML_DEPTH_MAX: Final = 20  # three are needed; the composer is recursive and would take the process down
_SCALAR_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp"))
_UNREADABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_KEYS: Final = ("for", "when", "exit", "stay", "cooldown")


@dataclass(frozen=True, slots=True)
class Segment:
    """One definition, parsed. ``stay_ms`` and ``cooldown_ms`` are 0 when not given; ``file`` and ``line`` say where it was written."""

    name: str
    purpose: str
    when: Condition
    exit: Condition | None = None
    stay_ms: int = 0
    cooldown_ms: int = 0
    file: str = ""
    line: int = 0
    source: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def conditions(self) -> Iterator[Condition]:
        """``when``, and ``exit`` if given."""
        yield self.when
        if self.exit is not None:
            yield self.exit


@dataclass(frozen=True, slots=True)
class Definitions:
    """All segments of a shop, those that others refer to first, its models by name, and its time zone. ``written`` is the models'
    source; ``zone_data`` the version of tzdata by which all zones are read."""

    segments: tuple[Segment, ...]
    zone: str = "UTC"
    models: tuple[ModelSpec, ...] = ()
    written: Mapping[str, Any] = field(default_factory=dict[str, Any])
    zone_data: str = PINNED.version

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
    """Collects segments over several files."""

    def __init__(self) -> None:
        self._segments: dict[str, Segment] = {}
        self._models: dict[str, tuple[yaml.ScalarNode, yaml.Node, str]] = {}
        self._sensitive: tuple[str, ...] = ()
        self._zone: tuple[yaml.Node, str, str] | None = None
        self._zone_data: str | None = None

    def read_yaml(self, text: str, *, file: str) -> None:
        for key, value in _entries(_compose(text, file), file, what="a mapping with 'segments'"):
            if key.value == "segments":
                for name, body in _entries(value, file, what="a mapping of segment names"):
                    self._add(name, body, file, text)
            elif key.value == "models":
                for name, body in _entries(value, file, what="a mapping of model names"):
                    self._add_model(name, body, file)
            elif key.value == "sensitive":
                self._sensitive += read_sensitive(value, _failing(file))
            elif key.value == "zone":
                self._set_zone(value, file)
            elif key.value == "zone_data":
                self._set_zone_data(value, file)
            else:
                _fail(
                    key, file, f"found the unknown key {key.value!r}", "expected 'segments', 'models', 'sensitive', 'zone' and 'zone_data'"
                )

    def _add_model(self, key: yaml.ScalarNode, body: yaml.Node, file: str) -> None:
        if key.value in self._models:
            _fail(key, file, f"found the model {key.value!r:.80} a second time")
        if len(self._models) >= MODELS_MAX:
            _fail(key, file, f"expected at most {MODELS_MAX} models")
        self._models[key.value] = (key, body, file)

    def _set_zone(self, node: yaml.Node, file: str) -> None:
        zone = _scalar(node, file)
        if self._zone is not None and self._zone[2] != zone:
            _fail(node, file, f"found a second zone; it was {self._zone[2]} before")
        self._zone = node, file, zone

    def _set_zone_data(self, node: yaml.Node, file: str) -> None:
        version = _scalar(node, file)
        if not is_version(version):
            _fail(node, file, f"expected a version of tzdata such as {PINNED.version}, found {version!r:.60}")
        if self._zone_data not in (None, version):
            _fail(node, file, f"found a second version of the zone data; it was {self._zone_data} before")
        self._zone_data = version

    def _checked_zone(self, zone_data: str) -> str:
        """The shop's zone. Raises MissingZonesError where the zone data are not here."""
        zones = zones_of(zone_data)
        if self._zone is None:
            return "UTC"
        node, file, zone = self._zone
        if zones.find(zone) is None:
            _fail(node, file, f"expected an IANA time zone such as Europe/Berlin, found {zone!r:.60}")
        return zone

    def _add(self, key: yaml.ScalarNode, body: yaml.Node, file: str, text: str) -> None:
        name = key.value
        if not is_segment_name(name):
            _fail(key, file, f"expected a segment name of a-z, 0-9 and _, found {name!r:.80}")
        if name in self._segments:
            earlier = self._segments[name]
            _fail(key, file, f"found the segment {name!r} a second time; it was defined at {earlier.file}:{earlier.line}")
        if len(self._segments) >= SEGMENTS_MAX:
            _fail(key, file, f"expected at most {SEGMENTS_MAX} segments")
        self._segments[name] = _segment(
            name, key, {k.value: (k, v) for k, v in _entries(body, file, what="a mapping with 'for' and 'when'")}, file, text
        )

    def finish(self) -> Definitions:
        models = {name: self._model(name) for name in sorted(self._models)}
        for segment in self._segments.values():
            _check_models(segment, models)
        written: dict[str, Any] = {}
        if models:
            written["models"] = {name: _plain(self._models[name][1], self._models[name][2]) for name in models}
        if self._sensitive:
            written["sensitive"] = sorted(set(self._sensitive))
        zone_data = self._zone_data or PINNED.version
        return Definitions(_in_order(self._segments), self._checked_zone(zone_data), tuple(models.values()), written, zone_data)

    def _model(self, name: str) -> ModelSpec:
        key, body, file = self._models[name]
        entries = {k.value: (k, v) for k, v in _entries(body, file, what="a mapping with 'kind'")}
        spec = read_model(name, key, entries, tuple(sorted(set(self._sensitive))), _failing(file))
        wrong = unknown_segment(spec, self._segments)
        if wrong is not None:
            _fail(key, file, wrong)
        return spec


def _segment(name: str, at: yaml.Node, body: Mapping[str, tuple[yaml.ScalarNode, yaml.Node]], file: str, text: str) -> Segment:
    for key, (node, _) in body.items():
        if key not in _KEYS:
            _fail(
                node,
                file,
                f"found the unknown key {key!r} in the segment {name!r}",
                did_you_mean(key, _KEYS) or f"known are {', '.join(_KEYS)}",
            )
    for key in ("for", "when"):
        if key not in body:
            _fail(at, file, f"expected {key!r} in the segment {name!r}, found none")
    source = {key: _printable(node, file) for key, (_, node) in body.items()}
    if not source["for"].strip():
        _fail(body["for"][1], file, "expected a sentence that says what the segment is for, found nothing")
    when = _condition(body["when"][1], file, text)
    return Segment(
        name,
        source["for"],
        when,
        _condition(body["exit"][1], file, text) if "exit" in body else staying(when),
        _duration(body["stay"][1], file) if "stay" in body else 0,
        _duration(body["cooldown"][1], file) if "cooldown" in body else 0,
        file,
        at.start_mark.line + 1,
        source,
    )


def _plain(node: yaml.Node, file: str) -> Any:
    """What was written, as JSON: texts, lists of texts, mappings of them."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(value, file) for key, value in _entries(node, file, what="a mapping")}
    if isinstance(node, yaml.SequenceNode):
        return [_scalar(item, file) for item in node.value]
    return _scalar(node, file)


def _failing(file: str) -> Callable[[yaml.Node, str, str], NoReturn]:
    def fail(node: yaml.Node, message: str, hint: str) -> NoReturn:
        _fail(node, file, message, hint)

    return fail


def _check_models(segment: Segment, models: Mapping[str, ModelSpec]) -> None:
    for condition in segment.conditions:
        for node in nodes(condition):
            if isinstance(node, (tree.Score, tree.Percentile, tree.Group)):
                function = node.function if isinstance(node, tree.Score) else type(node).__name__.lower()
                wrong = check_use(node.model, function, models)
                if wrong is not None:
                    raise DefinitionError(f"in the segment {segment.name!r}: {wrong}", file=segment.file, line=segment.line)


def _compose(text: str, file: str) -> yaml.Node:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _measure(text, loader, file)
        node = yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        found = slips.in_yaml(text, error) if isinstance(error, yaml.MarkedYAMLError) else None
        if found is not None:
            row, slip = found
            message = f"expected YAML, found {slip.found}"
            raise DefinitionError(message, file=file, line=row + 1, column=slip.at + 1, hint=slip.remedy) from None
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not YAML"
        raise DefinitionError(
            f"expected YAML, found: {problem}", file=file, line=mark.line + 1 if mark else 0, column=mark.column + 1 if mark else 0
        ) from None
    if node is None:
        raise DefinitionError("expected a mapping with 'segments', found an empty file", file=file)
    return node


def _measure(text: str, loader: Any, file: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > YAML_DEPTH_MAX:
                _fail(event, file, f"expected YAML at most {YAML_DEPTH_MAX} deep, found more")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _entries(node: yaml.Node, file: str, *, what: str) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        _fail(node, file, f"expected {what}, found {_yaml_kind(node)}")
    if node.tag != "tag:yaml.org,2002:map":
        _fail(node, file, f"expected {what}, found the tag {node.tag!r:.60}")
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _fail(key, file, "expected a name as key")
        if key.value in seen:
            _fail(key, file, f"found the key {key.value!r:.80} twice")
        seen.add(key.value)
        yield key, value


def _scalar(node: yaml.Node, file: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        _fail(node, file, f"expected a text, found {_yaml_kind(node)}")
    if node.tag not in _SCALAR_TAGS:
        _fail(node, file, f"expected a text, found the tag {node.tag!r:.60}")
    return node.value


def _printable(node: yaml.Node, file: str) -> str:
    """A text that the canonical JSON can carry: it is read as YAML again, where some characters are line breaks and others forbidden.

    Else what ``check`` passed would be refused by every shard.
    """
    value = _scalar(node, file)
    if (found := _UNREADABLE.search(value)) is not None:
        _fail(node, file, f"expected a printable text, found the character U+{ord(found[0]):04X}")
    return value


def _condition(node: yaml.Node, file: str, text: str) -> Condition:
    value, mark = _scalar(node, file), node.start_mark
    try:
        return parse(value, file=file, line=mark.line + 1, column=mark.column + 1 + _is_quoted(node))
    except DefinitionError as error:
        raise _as_written(error, node, file, text) from None


def _is_quoted(node: yaml.Node) -> bool:
    return getattr(node, "style", None) in ("'", '"')


def _as_written(error: DefinitionError, node: yaml.Node, file: str, text: str) -> DefinitionError:
    """YAML joins the lines of a condition before it is parsed; find the place of an error in the lines as they stand in the file."""
    start, end = node.start_mark, node.end_mark
    if start.line == end.line:
        return error
    rows = text.split("\n")
    if getattr(node, "style", None) in ("|", ">"):  # the text begins on the next line, indented
        written, line, column = rows[start.line + 1 : end.line + (end.column > 0)], start.line + 2, 1
    else:
        quoted = _is_quoted(node)
        written = [*rows[start.line : end.line], rows[end.line][: end.column - quoted]]
        written[0] = written[0][start.column + quoted :]
        line, column = start.line + 1, start.column + 1 + quoted
    try:
        parse("\n".join(written).rstrip(), file=file, line=line, column=column)
    except DefinitionError as found:
        return found if found.message == error.message else error
    return error


def _duration(node: yaml.Node, file: str) -> int:
    try:
        ms = parse_duration(_scalar(node, file))
    except ValueError as error:
        _fail(node, file, str(error))
    if ms > WINDOW_MS_MAX:
        _fail(node, file, "expected at most 400d")
    return ms


def _yaml_kind(node: yaml.Node) -> str:
    return {"ScalarNode": "a text", "SequenceNode": "a list", "MappingNode": "a mapping"}.get(type(node).__name__, "something else")


def _fail(node: yaml.Node | yaml.Event, file: str, message: str, hint: str = "") -> NoReturn:
    raise DefinitionError(message, file=file, line=node.start_mark.line + 1, column=node.start_mark.column + 1, hint=hint)


# references -----------------------------------------------------------------------------------------------------------


def nodes(root: AnyNode) -> Iterator[AnyNode]:
    """Every node of a tree, ``root`` first."""
    yield root
    for name in root.__struct_fields__:
        value = getattr(root, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, (tree.Node, tree.Events)):
                yield from nodes(cast("AnyNode", item))


def references(conditions: Iterable[Condition]) -> list[str]:
    """Names of the segments that conditions refer to, each once, in order."""
    found = (node.segment for root in conditions for node in nodes(root) if isinstance(node, (tree.InSegment, tree.Entered, tree.Left)))
    return list(dict.fromkeys(found))


def _in_order(segments: Mapping[str, Segment]) -> tuple[Segment, ...]:
    """Those referred to first, else by name. Raises DefinitionError for unknown names and cycles."""
    order: dict[str, Segment] = {}
    for name in sorted(segments):
        _visit(name, segments, order)
    return tuple(order.values())


def _visit(start: str, segments: Mapping[str, Segment], order: dict[str, Segment]) -> None:
    """Depth first without recursion: a chain of thousands of segments is legal."""
    path: dict[str, Iterator[str]] = {}
    todo = [start]
    while todo:
        name = todo[-1]
        if name in order:
            todo.pop()
            continue
        if name not in path:
            path[name] = iter(sorted(_known_references(segments[name], segments)))
        for other in path[name]:
            if other in path and other not in order:
                cycle = [*list(path)[list(path).index(other) :], other]
                raise DefinitionError(
                    f"found a cycle of segments: {' -> '.join(cycle)}", file=segments[name].file, line=segments[name].line
                )
            if other not in order:
                todo.append(other)
                break
        else:
            order[name] = segments[name]
            del path[name]
            todo.pop()


def _known_references(segment: Segment, segments: Mapping[str, Segment]) -> list[str]:
    found = references(segment.conditions)
    for name in found:
        if name not in segments:
            raise DefinitionError(
                f"the segment {segment.name!r} refers to the unknown segment {name!r}",
                file=segment.file,
                line=segment.line,
                hint=did_you_mean(name, segments),
            )
    return found
