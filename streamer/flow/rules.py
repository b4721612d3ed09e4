"""What of the settings has a part in what a log says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamer.events.placeholders import PLACEHOLDER_IDS
from streamer.units import DAY_MS

# The version of the step's meaning, in the manifest of each log. Until 1.0 another one means to tell the story anew under another prefix:
# no old meanings are kept in the code. From then on a change of meaning stands behind its number.
STORY: Final = 9


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the settings is part of the story: two runs agree only if these do.

    ``log_generation`` counts how often the log was sharded anew; it stands in every position, and has nothing to do with the generation of
    a state. ``placeholder_ids`` name nobody, in the normal form of ``events.placeholders``. ``trust_producer_time``: a record's time counts
    also where it is its producer's.
    """

    shards: int = 12
    lateness_ms: int = DAY_MS
    skew_ms: int = 300_000
    source: str = "/streamer"
    log_generation: int = 1
    placeholder_ids: tuple[str, ...] = PLACEHOLDER_IDS
    trust_producer_time: bool = False
