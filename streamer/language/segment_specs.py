"""The ``segments`` of a definitions file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

from .hysteresis import staying
from .tree import Condition
from .yaml_source import YamlSource

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


def read_segment(name: str, at: yaml.Node, body: yaml.Node, source: YamlSource) -> Segment:
    """One entry of ``segments``. Raises DefinitionError."""
    entries = source.known_entries(body, _KEYS, what="a mapping with 'for' and 'when'", of=f"the segment {name!r}")
    for key in ("for", "when"):
        if key not in entries:
            source.fail(at, f"expected {key!r} in the segment {name!r}, found none")
    written = {key: source.printable(node) for key, node in entries.items()}
    if not written["for"].strip():
        source.fail(entries["for"], "expected a sentence that says what the segment is for, found nothing")
    when = source.condition(entries["when"])
    return Segment(
        name,
        written["for"],
        when,
        source.condition(entries["exit"]) if "exit" in entries else staying(when),
        source.duration(entries["stay"]) if "stay" in entries else 0,
        source.duration(entries["cooldown"]) if "cooldown" in entries else 0,
        source.file,
        at.start_mark.line + 1,
        written,
    )
