"""What the step hands to the learner, and in what terms both speak of a customer: features, models, examples, marks.

An example is a customer as they were at one moment, and later what became of them. The step writes examples into the outbox like
everything else it says, so they are a function of the log; the learner reads them in the order of ``merge_key`` and is a function of the
examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final, Literal

import msgspec

from streamer.errors import RefusedError
from streamer.units import MINUTE_MS

SCHEMA: Final = 1
SCORE_SCALE: Final = 10_000  # scores are whole ten-thousandths: what two machines' last bits might disagree on is rounded away
MARK_MS: Final = MINUTE_MS  # a shard says at each full minute of its log time that it has passed: nothing earlier is missing then
FEATURES_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Linear:
    """A number as it is, in ``unit``. ``more`` and ``less`` are the adjectives for a customer above and below the average."""

    unit: str = ""
    more: str = "high"
    less: str = "low"

    @property
    def text(self) -> str:
        """The unit of what is measured."""
        return self.unit


@dataclass(frozen=True, slots=True)
class Logarithm:
    """``log(1 + x)`` of a number ``x`` in ``unit``; ``more`` and ``less`` as for ``Linear``."""

    unit: str
    more: str = "high"
    less: str = "low"

    @property
    def text(self) -> str:
        """The unit of what is measured."""
        return f"log(1 + {self.unit})"


@dataclass(frozen=True, slots=True)
class Flag:
    """0 or 1."""

    @property
    def text(self) -> str:
        """What the values are."""
        return "0 or 1"


@dataclass(frozen=True, slots=True)
class Cyclic:
    """Whole numbers that go round with the day, each ``hours`` long: the last is beside the first."""

    unit: str
    hours: int

    @property
    def text(self) -> str:
        """What the values are."""
        return self.unit


@dataclass(frozen=True, slots=True)
class Category:
    """Whole numbers without an order. ``labels`` name them from 0 on; where they are ``proper`` names, they need no noun ("Monday")."""

    labels: tuple[str, ...] = ()
    proper: bool = False

    @property
    def text(self) -> str:
        """What the values are."""
        if self.proper:
            return f"0 {self.labels[0]} to {len(self.labels) - 1} {self.labels[-1]}"
        return ", ".join(f"{value} {label}" for value, label in enumerate(self.labels))


Scale = Linear | Logarithm | Flag | Cyclic | Category


@dataclass(frozen=True, slots=True)
class Feature:
    """One number measured of a customer. ``low`` and ``high`` bound it (both inside); values outside are clipped when measured.

    Numbers (``Linear``, ``Logarithm``) are binned by quantiles and also used as they are; the other scales are small whole numbers.
    ``reads`` names what it is measured from (event names; ``context``): a lookalike whose seed is defined by the same must leave it out.
    """

    name: str
    scale: Scale
    low: float
    high: float
    reads: tuple[str, ...] = ()
    words: str = ""

    @property
    def is_number(self) -> bool:
        """Whether more and less of it means something."""
        return isinstance(self.scale, Linear | Logarithm)

    @property
    def unit(self) -> str:
        """The unit, or what the values are, as text for people."""
        return self.scale.text


@dataclass(frozen=True, slots=True)
class FeatureList:
    """A fixed, ordered list of features, and pairs of them that are looked at together. ``version`` rises when any of it changes."""

    version: int
    features: tuple[Feature, ...]
    crosses: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """In order."""
        return tuple(feature.name for feature in self.features)


ModelKind = Literal["purchase", "churn", "value", "groups", "lookalike", "unusual"]


class ModelSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model as a definitions file asks for it.

    ``purchase``: chance of one of ``events`` within ``horizon_ms``. ``churn``: chance of none of them. ``value``: expected sum of
    ``amount`` (a path) over
    ``events`` within ``horizon_ms``. ``groups``: ``groups`` behaviour groups. ``lookalike``: how much somebody outside ``seed`` is like
    those inside.
    ``unusual``: how far from everybody else. ``window_ms`` is the short window after which a negative is learned. Customers inside the
    segment ``exclude`` neither train nor count. Another ``edition`` is another model, which learns anew of the whole past.
    """

    name: str
    kind: ModelKind
    events: tuple[str, ...] = ()
    horizon_ms: int = 0
    window_ms: int = 0
    amount: tuple[str, ...] = ()
    groups: int = 0
    seed: str = ""
    exclude: str = ""
    sensitive: tuple[str, ...] = ()
    edition: int = 1


class Example(msgspec.Struct, omit_defaults=True):
    """A customer at one moment and what became of them, or a mark of time.

    ``kind``: ``train`` is to be learned (a positive as it comes, a negative after the short window, a late positive again as a positive);
    ``mature`` comes once an example's horizon is over, with the final label: only these judge; ``profile`` is somebody as they are,
    without an outcome, once a day at most;
    ``mark`` ends a minute of a shard and carries the sizes of its segments and the version of its ``definitions``;
    ``switch`` says that other ``definitions`` hold in the shard from here on: all that lanes have to say of them stands before it.

    ``t_ms`` is the moment of measuring, ``at_ms`` log time when this was written. ``x`` has one finite number per feature. ``label`` is 0
    or 1, ``amount`` what was spent within the horizon, in ten-thousandths. ``score`` is what was served at ``t_ms`` by ``version`` (None:
    no model was ready). ``generation`` is the log's.
    """

    kind: Literal["train", "mature", "profile", "mark", "switch"]
    shard: int
    offset: int
    ordinal: int
    at_ms: int
    t_ms: int = 0
    model: str = ""
    features: int = 0
    x: tuple[float, ...] = ()
    label: int = 0
    amount: int = 0
    score: int | None = None
    version: int = 0
    seeds: tuple[str, ...] = ()
    sizes: dict[str, int] = {}
    definitions: int = 0
    generation: int = 1
    schema: int = SCHEMA

    @property
    def merge_key(self) -> tuple[int, int, int, int]:
        """The order in which the learner takes examples of all shards: by minute, then by shard, then as they were said."""
        return (self.at_ms // MARK_MS, self.shard, self.offset, self.ordinal)


encode_example: Final = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Example, strict=True)


def decode_example(raw: bytes, known: FeatureList) -> Example:
    """An example that may be learned from; RefusedError (``bad_example``) with the path of the fault otherwise.

    One number that is not finite would ruin a model for ever, and a feature list of another version would teach it nonsense.
    """
    try:
        example = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_example", detail=str(error)[:200]) from None
    if example.schema != SCHEMA:
        raise RefusedError("bad_example", path="$.schema", detail=f"expected {SCHEMA}, found {example.schema}")
    if example.kind in ("mark", "switch"):
        return example
    if example.features != known.version:
        raise RefusedError("bad_example", path="$.features", detail=f"expected feature list {known.version}, found {example.features}")
    check_finite(example.x, len(known.features))
    if example.kind != "profile" and not example.model:
        raise RefusedError("bad_example", path="$.model", detail="expected the model that it is for")
    if example.label not in (0, 1):
        raise RefusedError("bad_example", path="$.label", detail=f"expected 0 or 1, found {example.label}")
    return example


def check_finite(x: Sequence[float], length: int) -> None:
    """RefusedError unless ``x`` has ``length`` finite numbers."""
    if len(x) != length:
        raise RefusedError("bad_example", path="$.x", detail=f"expected {length} numbers, found {len(x)}")
    for at, number in enumerate(x):
        if not isfinite(number):
            raise RefusedError("bad_example", path=f"$.x[{at}]", detail="expected a finite number")
