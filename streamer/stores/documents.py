"""Names under which documents are kept, and the pseudo shard of the learner: what lies in a store is listed here and nowhere else.

=====================  ==============================  ==============================================================
name                   kept with                       content
=====================  ==============================  ==============================================================
definitions:DIGEST     each shard that is under them   definitions, which the shard's states cannot be read without
scorer:MODEL           each shard that scores by it    the scorer in force of a model
controls               each shard                      where the records of its log lie that concern all customers
model:MODEL:vVERSION   no shard                        a published scorer, for the shards to come to and to go back to
note:SHARD             no shard                        what the owner of a shard says about it; decides nothing
=====================  ==============================  ==============================================================
"""

from __future__ import annotations

from typing import Final

# The learner's checkpoint is kept like that of a shard: fenced by an epoch, and with the position in its input inside it. So it needs no
# second protocol, only a number that no partition of the log has. It has no customers, no timers and no outbox.
LEARNER_SHARD: Final = -1


CONTROLS_DOCUMENT: Final = "controls"


def definitions_document(digest: str) -> str:
    """Name of the content of definitions."""
    return f"definitions:{digest}"


def scorer_document(model: str) -> str:
    """Name of the scorer of a model that is in force in a shard."""
    return f"scorer:{model}"


def published_scorer_document(model: str, version: int) -> str:
    """Name of one version of a model's scorer."""
    return f"model:{model}:v{version}"


def note_document(shard: int) -> str:
    """Name of the note that the owner of a shard leaves about it."""
    return f"note:{shard}"
