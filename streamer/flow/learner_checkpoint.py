"""What a learner commits, and what others read of it."""

from __future__ import annotations

from typing import Final

import msgspec

from streamer.errors import SettingsError
from streamer.learning.reports.model_card import Card
from streamer.signing import Trust
from streamer.stores.base import Store
from streamer.stores.documents import LEARNER_SHARD

from .past_examples import PastBody


class LearnerCheckpoint(msgspec.Struct, array_like=True):
    """The body of the learner's checkpoint.

    ``offsets``: the next example to read, by partition. ``current``: what serves, by model, as version and digest; without a digest that
    version was withdrawn and none serves. ``cards``: for whoever asks how good the models are, without a learner. ``places``: by partition
    the highest place whose example was taken; what is not above it is said again, by a relay that crashed or a former owner. ``target``:
    by partition the end of the examples when everything was begun anew, until that is reached; then empty. ``trust``: which keys hold for
    what people say to the learner. ``pasts``: what models that came with other definitions are to learn of the time before, as far as not
    every shard has come there. ``under``: by shard the version of the definitions that it is under. ``born``: by model the version with
    which it came, as long as not every shard is under that.
    """

    version: int = 0
    offsets: list[int] = []
    learner: bytes = b""
    current: dict[str, tuple[int, str]] = {}
    cards: dict[str, Card] = {}
    learned: int = 0
    places: list[tuple[int, int, int]] = []
    target: list[int] = []
    trust: Trust = msgspec.field(default_factory=Trust)
    pasts: list[PastBody] = []
    under: list[int] = []
    born: dict[str, int] = {}


encode_learner: Final = msgspec.msgpack.Encoder().encode
decode_learner: Final = msgspec.msgpack.Decoder(LearnerCheckpoint).decode


async def read_learner(store: Store) -> LearnerCheckpoint:
    """What the learner has committed last. SettingsError where nothing was learned yet."""
    checkpoint = await store.checkpoint(LEARNER_SHARD)
    if not checkpoint.body:
        raise SettingsError("nothing was learned yet: no definitions with models were published, or no worker has run since")
    return decode_learner(checkpoint.body)


def card_of(learner: LearnerCheckpoint, model: str) -> Card:
    """The card of a model. SettingsError where there is no such model."""
    card = learner.cards.get(model)
    if card is None:
        raise SettingsError(f"there is no model {model!r}; there are {', '.join(sorted(learner.cards)) or 'none'}")
    return card
