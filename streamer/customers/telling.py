"""What a state remembers, in words: for the customer whose data it is, and for whoever answers them.

Moments become UTC texts and ten-thousandths become numbers. Nothing is left out: what a memory holds only for its own work is said too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

import msgspec

from streamer.values import SCALE, Json, time_text

from . import memories
from .cart import Cart
from .memories import MIN_TIME, RUNS_HEAD, STEPS_HEAD, Data
from .model_data import AwaitedMemory, ScoreMemory, awaited_of, score_of
from .profile import ProfileMemory, profile_of
from .specs import Spec


def told(spec: Spec, data: Data, origin_ms: int) -> Json:
    """The data of one memory as plain values by name. ``origin_ms`` is where the customer's own clock begins."""
    match spec:
        case memories.Newest():
            return {"newest": [_moment(t, origin_ms) for t in (data if spec.keep > 1 else [data])]}
        case memories.Oldest():
            return {"oldest": _moment(data, origin_ms)}
        case memories.EventCount():
            return {"number": data}
        case memories.Totals():
            return {"sum": data[0] / SCALE, "number": data[1]}
        case memories.Bests():
            return {"largest" if spec.sign > 0 else "smallest": data / SCALE}
        case memories.Pairs():
            entries = [{"at": _moment(t, origin_ms), "sum": total / SCALE, "number": n} for t, total, n in _groups(data[1:], 3)]
            return _over_cap(data[0], origin_ms) | {"entries": entries}
        case memories.Ladder():
            steps = [{"at": _moment(t, origin_ms), "value": value / SCALE} for t, value in _groups(data[1:], 2)]
            return _over_cap(data[0], origin_ms) | {"entries": steps}
        case memories.Distinct() | memories.Labels() | memories.Frequencies():
            return _told_values(spec, data, origin_ms)
        case memories.KnownValue():
            return {"value": data[1], "at": _moment(data[0], origin_ms)}
        case memories.Runs():
            runs = [{"at": _moment(t, origin_ms), "value": value} for t, value in _groups(data[RUNS_HEAD:], 2)]
            return {"said": runs, "approximate_until": _moment(memories.newer(data[0], data[1]), origin_ms)}
        case memories.Zone():
            return {"zone": data[2], "said_by": "trait" if data[1] else "context", "at": _moment(data[0], origin_ms)}
        case memories.Steps():
            return _told_steps(data, origin_ms)
        case Cart():
            return _told_cart(data, origin_ms)
        case ProfileMemory():
            return _told_struct(profile_of(data))
        case ScoreMemory():
            return _told_struct(score_of(data))
        case AwaitedMemory():
            return _told_struct(awaited_of(data))
        case _:
            assert_never(spec)


def _groups(values: Data, size: int) -> Iterator[Data]:
    """So many at a time."""
    return (values[at : at + size] for at in range(0, len(values), size))


def _moment(t: int | None, origin_ms: int) -> str | None:
    """A moment of the customer's own clock; None where there is none."""
    return None if t is None or t == MIN_TIME else time_text(t + origin_ms)


def _over_cap(lost: int | None, origin_ms: int) -> dict[str, Json]:
    return {} if lost is None else {"approximate_until": _moment(lost, origin_ms)}


def _told_values(spec: memories.Distinct | memories.Labels | memories.Frequencies, data: Data, origin_ms: int) -> dict[str, Json]:
    match spec:
        case memories.Distinct():
            return {"values": [{"value": _value(text), "newest": _moment(t, origin_ms)} for text, t in data.items()]}
        case memories.Frequencies():
            found = [{"value": _value(text), "number": n, "newest": _moment(t, origin_ms)} for text, (n, t) in data[1].items()]
            return {"values": found} | ({"up_to_forgotten": data[0]} if data[0] else {})
        case memories.Labels():
            values = [
                {"value": _value(text), "at": _moment(t, origin_ms), "number": n}
                for text, entries in data[1].items()
                for t, n in _groups(entries, 2)
            ]
            return _over_cap(data[0], origin_ms) | {"values": values}


def _told_steps(data: Data, origin_ms: int) -> dict[str, Json]:
    return {
        "completed": [_moment(t, origin_ms) for t in ([] if data[2] == MIN_TIME else [data[2]]) + data[3]],
        "held": [{"at": _moment(t, origin_ms), "steps": bits} for t, bits in _groups(data[STEPS_HEAD:], 2)],
        "approximate_until": _moment(data[0], origin_ms),
    }


def _told_cart(data: Data, origin_ms: int) -> dict[str, Json]:
    items = [
        {"key": _value(text), "added": _moment(added, origin_ms), "removed": _moment(removed, origin_ms), "values": values}
        for text, (added, removed, values) in data[1].items()
    ]
    return {"items": items, "cleared": _moment(data[0], origin_ms)}


def _told_struct(struct: msgspec.Struct) -> dict[str, Json]:
    """Fields by their names; moments of models are UTC, 0 for never."""
    fields: dict[str, Data] = msgspec.structs.asdict(struct)
    return {
        name.removesuffix("_ms") if _is_moment(name) else name: (time_text(value) if value else None) if _is_moment(name) else value
        for name, value in fields.items()
    }


def _is_moment(name: str) -> bool:
    return name in ("first_ms", "last_ms", "said_ms") or name.endswith("_at_ms") or name == "at_ms"


def _value(text: str) -> Json:
    """A value that is kept by its JSON text."""
    return msgspec.json.decode(text)
