"""What an adapter makes of a message: events, and refusals of the parts that are none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from streamer.errors import RefusedError
from streamer.events.event import Event
from streamer.events.json_limits import json_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Refusal(msgspec.Struct, frozen=True):
    """Reason why a message, or a part of it, is no event. A value, not an exception: what stands beside it still counts.

    ``reason`` is a code of ``events.admission.REASONS`` (``skipped`` is no fault: the part was passed over on purpose), ``path`` the JSON
    path of the fault in the whole message, ``detail`` a sentence without customers' data. ``part`` is the refused part; None means the
    whole message.
    """

    reason: str
    path: str = "$"
    detail: str = ""
    part: dict[str, object] | bytes | None = None

    @classmethod
    def of(cls, error: RefusedError, part: dict[str, object] | bytes | None = None, *, under: str = "$") -> Refusal:
        """The same reason as ``error``; ``under`` is the path of ``part`` in the message."""
        return cls(error.reason, under + error.path.removeprefix("$"), error.detail, part)


Outcome: TypeAlias = Event | Refusal


def each(message: dict[str, object], key: str, read: Callable[[dict[str, object]], Event]) -> Iterator[Outcome]:
    """An event or a refusal for each element of the list under ``key``, in its order.

    ``read`` makes an event of one element or raises ``RefusedError``, with a path within the element; the path of the refusal also says
    which element it is: ``$.batch[2].userId``. An empty list is skipped. ``RefusedError`` if there is no list under ``key``.
    """
    elements: object = message.get(key)
    if not isinstance(elements, list):
        raise RefusedError("wrong_type", path=f"$.{key}", detail=f"expected an array, found {json_type(elements)}")
    if not elements:
        yield Refusal("skipped", f"$.{key}", "an empty list")
    for index, element in enumerate(cast("list[object]", elements)):
        place = f"$.{key}[{index}]"
        if not isinstance(element, dict):
            yield Refusal("wrong_type", place, f"expected an object, found {json_type(element)}", _written(element))
            continue
        element = cast("dict[str, object]", element)
        try:
            yield read(element)
        except RefusedError as error:
            yield Refusal.of(error, _written(element), under=place)


def _written(element: object) -> bytes:
    """An element as JSON again; halves of surrogate pairs, which no UTF-8 holds, as escapes."""
    try:
        return json.dumps(element, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(element).encode()
