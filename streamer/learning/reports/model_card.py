"""The card by which a model is judged."""

from __future__ import annotations

from typing import Literal

import msgspec


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
    only this kind of model has, by name. ``from_ms`` is when the first customer was measured from whom it learned; what lies before
    ``joined_ms`` it learned afterwards, from the log, when its definition came (0: nothing).
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
    from_ms: int | None = None
    joined_ms: int = 0
