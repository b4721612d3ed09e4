"""Self-describing JSON of Snowplow: an event, and the entities around it, each with the address of its schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from streamer.errors import RefusedError
from streamer.events.adapters.fields import from_base64, object_at
from streamer.events.codec import section
from streamer.events.json_limits import json_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ADDRESS: Final = re.compile(r"iglu:([A-Za-z0-9_.-]{1,128})/([A-Za-z0-9_-]{1,128})/jsonschema/[0-9]+(?:-[0-9]+){2}", re.ASCII)


class Described(NamedTuple):
    """Data with the vendor and the name of its schema."""

    vendor: str
    name: str
    data: dict[str, object]


class Iglu(NamedTuple):
    """Entities of an event, by the names of their schemas, in their order."""

    by_name: Mapping[str, Sequence[dict[str, object]]]

    def all(self, name: str) -> Sequence[dict[str, object]]:
        """The entities of that name."""
        return self.by_name.get(name, ())

    def first(self, name: str) -> dict[str, object]:
        """The first one of that name; empty where there is none."""
        found = self.all(name)
        return found[0] if found else {}


def event_in(payload: dict[str, object]) -> Described:
    """The self-describing event of a payload, in base64 or plain; ``RefusedError`` if there is none."""
    found = _unpacked(payload, "ue_px", "ue_pr")
    if found is None:
        raise RefusedError("missing_event_name", path="$.ue_px", detail="absent, as is ue_pr; expected a self-describing event")
    path, envelope = found
    data = section(envelope, "data", path=path)
    return _described(data or {}, f"{path}.data")


def entities_of(payload: dict[str, object]) -> Iglu:
    """The entities of a payload. ``RefusedError`` where they cannot be read: a product that is lost in silence would be a wrong story."""
    found = _unpacked(payload, "cx", "co")
    if found is None:
        return Iglu({})
    path, envelope = found
    listed: object = envelope.get("data")
    if not isinstance(listed, list):
        raise RefusedError("wrong_type", path=f"{path}.data", detail=f"expected an array, found {json_type(listed)}")
    by_name: dict[str, list[dict[str, object]]] = {}
    for index, entity in enumerate(cast("list[object]", listed)):
        if not isinstance(entity, dict):
            raise RefusedError("wrong_type", path=f"{path}.data[{index}]", detail=f"expected an object, found {json_type(entity)}")
        described = _described(cast("dict[str, object]", entity), f"{path}.data[{index}]")
        by_name.setdefault(described.name, []).append(described.data)
    return Iglu(by_name)


def _unpacked(payload: dict[str, object], packed: str, plain: str) -> tuple[str, dict[str, object]] | None:
    """Where the envelope lay, and what it is; None where there is none."""
    for key in (packed, plain):
        value = payload.get(key)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise RefusedError("wrong_type", path=f"$.{key}", detail=f"expected a text, found {json_type(value)}")
        path = f"$.{key}"
        raw = from_base64(value, path=path) if key == packed else value.encode("utf-8", "surrogatepass")
        return path, object_at(raw, path=path)
    return None


def _described(found: dict[str, object], path: str) -> Described:
    schema = found.get("schema")
    address = _ADDRESS.fullmatch(schema) if isinstance(schema, str) else None
    if address is None:
        raise RefusedError("missing_event_name", path=f"{path}.schema", detail="expected iglu:VENDOR/NAME/jsonschema/VERSION")
    return Described(address[1], address[2], section(found, "data", path=path) or {})
