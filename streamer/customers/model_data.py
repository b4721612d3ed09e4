"""What the step itself keeps of models for a customer: the score that was given, the example whose outcome is awaited.

Both are lists of numbers in a state as it was decoded; whoever reads one by its names makes it a struct, of the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from streamer.examples import ModelSpec
from streamer.values import Json

from .memories import Data, Update

OPEN, DENIED, CAME = range(3)  # an awaited example: nothing yet · the short window passed without · it happened
NOT_SERVED: Final = -1


@dataclass(frozen=True, slots=True)
class ScoreMemory:
    """What a model says of a customer; the step puts it there. Data: a ``KeptScore``, or the list of its parts."""

    def update(self) -> Update:
        """What is put takes the place of what was there."""
        return _put


@dataclass(frozen=True, slots=True)
class AwaitedMemory:
    """The example of a model whose outcome is awaited; the step puts it there. Data: an ``AwaitedExample``, or the list of its parts."""

    def update(self) -> Update:
        """What is put takes the place of what was there."""
        return _put


def _put(_old: Data, value: Json, _t: int, _now: int, _origin_ms: int) -> Data:
    return value


class AwaitedExample(msgspec.Struct, array_like=True, gc=False):
    """An example whose outcome is not known yet.

    ``at_ms``: when the customer was measured, ``features``: how they were, in thousandths. ``served``: the score they had, in
    ten-thousandths (``NOT_SERVED``: none), by the scorer of ``version``. ``stage`` is how far it is, ``amount`` what was spent since, in
    ten-thousandths.
    """

    at_ms: int
    served: int
    version: int
    stage: int
    amount: int
    features: list[int]

    def looked_at_ms(self, spec: ModelSpec) -> int:
        """The moment at which it is to be looked at next: the end of the short window, or of the horizon."""
        if self.stage == OPEN and spec.window_ms:
            return self.at_ms + spec.window_ms
        return self.at_ms + spec.horizon_ms


def awaited_of(data: Data) -> AwaitedExample:
    """The awaited example that a state carries."""
    return data if type(data) is AwaitedExample else AwaitedExample(*data)


class KeptScore(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a model said of a customer: the score in ten-thousandths and its percentile, or of groups the name and the number.

    ``version`` is of the scorer that said it.
    """

    value: int | str
    share: int
    version: int


def score_of(data: Data) -> KeptScore:
    """The kept score that a state carries."""
    return data if type(data) is KeptScore else KeptScore(*data)
