"""What an adapter makes of a message: events, and refusals of the parts that are none."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import msgspec

from streamer.errors import RefusedError
from streamer.events.event import Event
from streamer.events.json_limits import json_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


SHARED_MAX_BYTES: Final = 16 << 20  # what lies once in a message and in each of its events, written out


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
    return each_element(message.get(key), f"$.{key}", lambda element: (read(element),))


def each_element(elements: object, place: str, read: Callable[[dict[str, object]], Iterable[Event]]) -> Iterator[Outcome]:
    """The same for the list at ``place``, where an element may tell of several events: all of them, or its refusal."""
    if not isinstance(elements, list):
        raise RefusedError("wrong_type", path=place, detail=f"expected an array, found {json_type(elements)}")
    if not elements:
        yield Refusal("skipped", place, "an empty list")
    for index, element in enumerate(cast("list[object]", elements)):
        under = f"{place}[{index}]"
        if not isinstance(element, dict):
            yield Refusal("wrong_type", under, f"expected an object, found {json_type(element)}", _written(element))
            continue
        element = cast("dict[str, object]", element)
        try:
            yield from list(read(element))
        except RefusedError as error:
            yield Refusal.of(error, _written(element), under=under)


def check_shared(shared: dict[str, object], elements: object, *, path: str) -> None:
    """Refuse values that hold for all elements of a list where the events together would be many times the message."""
    count = len(cast("list[object]", elements)) if isinstance(elements, list) else 0
    if shared and count > 1 and count * len(_written(shared)) > SHARED_MAX_BYTES:
        raise RefusedError(
            "too_large", path=path, detail=f"holds for {count} elements, which would come to more than {SHARED_MAX_BYTES} bytes"
        )


def _written(element: object) -> bytes:
    """An element as JSON again; halves of surrogate pairs, which no UTF-8 holds, as escapes."""
    try:
        return json.dumps(element, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(element).encode()
