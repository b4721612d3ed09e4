"""What a customer has put somewhere and has neither taken out nor bought: the items left in a cart, a list of wishes.

Of each item the newest time it was put in and the newest time it was taken out are kept, and of all of them when everything was last
cleared: so the order in which events come does not matter. Of one moment what takes away counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from streamer.values import Json

from .memories import MIN_TIME, Data, Update

ITEMS_HELD: Final = 32  # at the least; items beyond that are forgotten, those first that were touched longest ago

CartStep = tuple[Literal["added", "removed", "cleared"], str, list[Json]]  # what an event does, to which item, and what it says of it


@dataclass(frozen=True, slots=True)
class Cart:
    """Items by the JSON text of their key. The value is a list of steps. Data: ``[cleared, {text: [added, removed, [values]]}]``, each
    time ``MIN_TIME`` where there is none. ``most`` is how many are shown."""

    most: int

    @property
    def held(self) -> int:
        """How many items are held."""
        return max(ITEMS_HELD, 2 * self.most)

    def update(self) -> Update:
        """How an event changes the data."""
        held = self.held

        def update(old: Data, value: Json, t: int, _now: int, _origin_ms: int) -> Data:
            data: list[Json] = [MIN_TIME, {}] if old is None else old
            for step in value:
                _take(data, step, t)
            settle_cart(data, held)
            return data

        return update


def _take(data: list[Json], step: CartStep, t: int) -> None:
    kind, text, values = step
    if kind == "cleared":
        data[0] = max(data[0], t)
        return
    added, removed, kept = data[1].get(text, (MIN_TIME, MIN_TIME, []))
    if kind == "removed":
        data[1][text] = [added, max(removed, t), kept]
    elif t >= added:
        data[1][text] = [t, removed, values]


def settle_cart(data: list[Json], held: int) -> None:
    """Forget what was cleared, and the items touched longest ago where there are more than ``held``. Items are in the order of their
    texts, so that the same items are the same bytes."""
    cleared, items = data
    left = {text: item for text, item in items.items() if max(item[0], item[1]) > cleared}
    if len(left) > held:
        newest = sorted(left, key=lambda text: (max(left[text][0], left[text][1]), text))[-held:]
        left = {text: left[text] for text in newest}
    data[1] = dict(sorted(left.items()))


def items_in(data: Data, most: int) -> list[list[Json]]:
    """What was said of the items that are in, at most so many: the newest first, of one moment by their texts."""
    if data is None:
        return []
    cleared, items = data
    there = [(-added, text, values) for text, (added, removed, values) in items.items() if added > max(removed, cleared)]
    return [values for _, _, values in sorted(there)[:most]]


def join_carts(ours: Data, theirs: Data, held: int) -> Data:
    """One cart of two: of equal times what the other id put in comes after."""
    if ours is None:
        return theirs
    items: dict[str, list[Json]] = ours[1]
    for text, (added, removed, values) in theirs[1].items():
        mine: Sequence[Json] = items.get(text, (MIN_TIME, MIN_TIME, []))
        newer = (added, values) if added >= mine[0] else (mine[0], mine[2])
        items[text] = [newer[0], max(removed, mine[1]), newer[1]]
    joined = [max(ours[0], theirs[0]), items]
    settle_cart(joined, held)
    return joined


def moved_cart(data: Data, move: Callable[[int], int]) -> Data:
    """The same with ``move`` of each time."""

    def moved(t: int) -> int:
        return t if t == MIN_TIME else move(t)

    return [moved(data[0]), {text: [moved(added), moved(removed), values] for text, (added, removed, values) in data[1].items()}]
