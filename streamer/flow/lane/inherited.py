"""What a lane has from the checkpoint of its shard, since the log does not tell it any more, or not alone."""

from __future__ import annotations

from typing import Final

import msgspec

from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.past_trusts import TrustFrom


class Inherited(msgspec.Struct, frozen=True):
    """``models_since`` says from which record on a model's name means the model that is asked; ``trusts`` which keys held where."""

    models_since: dict[str, int] = {}
    trusts: list[TrustFrom] = []


NOTHING: Final = Inherited()


def inherited_from(body: CheckpointBody) -> Inherited:
    """What a lane has from a shard whose checkpoint says this."""
    return Inherited(body.models_since, body.trusts)


__all__ = ["NOTHING", "Inherited", "inherited_from"]
