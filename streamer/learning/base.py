"""What every model of the learner promises, and the card by which it is judged.

A student is a state machine over examples: no clock, no I/O, no chance but a seeded one that is part of its state. The same examples in the
same order leave the same bytes, whatever the batches, the hash seed or the number of times it was put down and taken up again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from streamer.examples import Example, ModelSpec
    from streamer.learning.said import Said


class Decile(msgspec.Struct, frozen=True):
    """One of ten bands of scores. ``scored`` and ``came`` are means: what was promised and what happened."""

    count: int
    scored: float
    came: float


class Contender(msgspec.Struct, frozen=True):
    """One line of the roster.

    ``gain`` is the mean log loss that it saves over the champion per mature example; ``gain_low`` a bound under it that holds at every
    moment at which one looks.
    """

    name: str
    log_loss: float
    auc: float | None
    count: int
    gain: float = 0.0
    gain_low: float | None = None
    why: str = ""


class Card(msgspec.Struct, frozen=True, omit_defaults=True):
    """How good a model is, on outcomes that came after the score. None: not enough is known to say.

    ``coverage`` is the share of judged examples that had been served a score. ``ratio`` is the sum of scores over the sum of outcomes.
    ``entropy`` is the log loss over that of always saying the base rate: below 1 is better than knowing nothing. ``figures`` holds what
    only this kind of model has, by name.
    """

    model: str
    kind: str
    state: Literal["ready", "not ready"]
    why: str = ""
    version: int = 0
    at_ms: int = 0
    published_ms: int | None = None
    learned: int = 0
    judged: int = 0
    positives: int = 0
    base_rate: float | None = None
    log_loss: float | None = None
    entropy: float | None = None
    auc: float | None = None
    ratio: float | None = None
    coverage: float | None = None
    deciles: tuple[Decile, ...] = ()
    roster: tuple[Contender, ...] = ()
    figures: dict[str, float] = {}


class Student(Protocol):
    """One model that learns. The learner hands it only examples of its own model and, if it wants them, profiles.

    A class of students also has ``restore(spec, features, dumped)``, the inverse of ``dump``: what is restored learns on as if it had never
    been put down.
    """

    spec: ModelSpec

    def take(self, example: Example) -> list[Said]:
        """Learn or judge one example, which is not touched. Its numbers are finite and as many as there are features."""
        ...

    def at_mark(self, at_ms: int) -> list[Said]:
        """A full minute of log time is over and complete. Only here may anything be published."""
        ...

    def dump(self) -> dict[str, Any]:
        """Everything it knows, as JSON can hold it; every float finite."""
        ...

    def card(self) -> Card:
        """How good it is by now."""
        ...
