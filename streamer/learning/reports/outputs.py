"""What the learner says, and all that it says: a new scorer, that none serves any more, or that something changed."""

from __future__ import annotations

import msgspec

from streamer.learning.reports.model_card import Card


class ModelPublished(msgspec.Struct, frozen=True):
    """Version ``version`` of a model is fit to serve. Versions of a model rise. ``scorer`` is what ``decode_scorer`` reads."""

    model: str
    version: int
    scorer: bytes
    card: Card


class ModelWithdrawn(msgspec.Struct, frozen=True):
    """A model that served up to ``version`` can no longer be vouched for: until it publishes again it has nothing to say."""

    model: str
    version: int
    at_ms: int
    why: str


class Alert(msgspec.Struct, frozen=True):
    """Something that a person should know. ``subject`` is a model or a segment; ``before`` and ``after`` the figure that moved.

    ``kind`` is one word for machines (``drift``, ``refused``, ``promoted``, ``surge`` …), ``text`` a sentence for people.
    """

    kind: str
    subject: str
    at_ms: int
    before: float
    after: float
    text: str


LearnerOutput = ModelPublished | ModelWithdrawn | Alert
