"""What every scorer promises, and what those that read them from bytes share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

import msgspec

from streamer.errors import RefusedError

T = TypeVar("T")

SCHEMA: Final = 1
SCORER_BYTES_MAX: Final = 2_000_000

canonical: Final = msgspec.json.Encoder(order="sorted").encode


class Reason(msgspec.Struct, frozen=True):
    """One feature's part in a score, against the average customer: in log-odds for a chance, in the logarithm for an amount."""

    feature: str
    value: float
    effect: float
    words: str


class Scorer(Protocol):
    """Scores a row of the feature list ``features``."""

    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def features(self) -> int:
        """Version of the feature list."""
        ...

    def score(self, x: Sequence[float]) -> int:
        """Ten-thousandths: a chance, a likeness, an unusualness; for ``value`` an amount in ten-thousandths of the currency."""
        ...

    def percentile(self, score: int) -> int:
        """Share of recent customers at or below this score, in ten-thousandths."""
        ...

    def reasons(self, x: Sequence[float], most: int = 3) -> list[Reason]:
        """The features that moved this score most from the average customer's, the strongest first."""
        ...


class Groups(Protocol):
    """Puts people into groups. Numbers and names stay with the same people over versions."""

    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def version(self) -> int: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def features(self) -> int: ...  # noqa: D102
    @property
    def names(self) -> tuple[str, ...]:
        """By number."""
        ...

    def assign(self, x: Sequence[float], before: int | None) -> int:
        """The group; the one before unless another is clearly nearer."""
        ...

    def describe(self, number: int) -> list[str]:
        """What sets a group apart, in words."""
        ...


class Head(msgspec.Struct):
    """What all scorers' JSON begins with, so to speak: enough to know who reads the rest."""

    kind: str
    schema: int


def bad_model(path: str, detail: str) -> RefusedError:
    """The refusal of a scorer."""
    return RefusedError("bad_model", path=path, detail=detail)


def decode_as(decoder: msgspec.json.Decoder[T], content: bytes) -> T:
    """What the decoder makes of it; RefusedError if it cannot."""
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_model("$", str(error)[:200]) from None
