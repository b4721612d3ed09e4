"""What was refused lately: the newest dead letters, without the records themselves, which hold customers' data."""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

import msgspec

from streamer.errors import RefusedError
from streamer.events.dead_letter import read_dead_letter
from streamer.settings import Settings
from streamer.transports.kafka.dead_letters_topic import FoundLetter
from streamer.transports.kafka.topic_tail import TailRecord, TopicTail
from streamer.wire import DEAD_LETTERS

from .reading import ReadingState, reading_of

KEPT: Final = 5_000


class LetterHistory:
    """The newest letters of all shards."""

    def __init__(self, settings: Settings) -> None:
        self._tail = TopicTail(settings, {DEAD_LETTERS: settings.shards}, KEPT)
        self._letters = deque[FoundLetter](maxlen=KEPT)

    @property
    def reading(self) -> ReadingState:
        """Whether it was read."""
        return reading_of(is_ready=self._tail.is_ready, is_failing=self._tail.is_failing)

    async def run(self) -> None:
        """Until cancelled."""
        await self._tail.run(self.take)

    def take(self, record: TailRecord) -> None:
        """One record of the topic; what is no letter is passed over."""
        try:
            letter = read_dead_letter(record.value)
        except RefusedError:
            return
        key = record.key.decode(errors="replace")
        self._letters.append(FoundLetter(record.partition, key, msgspec.structs.replace(letter, raw=""), record.offset))

    def newest(self, reason: str = "") -> list[FoundLetter]:
        """Those with a reason, or all, the newest first."""
        found = [one for one in self._letters if reason in ("", one.letter.reason)]
        return sorted(found, key=lambda one: one.letter.at, reverse=True)

    def producers(self) -> list[tuple[tuple[str, str], int]]:
        """How many there are of each producer and reason, the most first; a producer that does not name itself is empty."""
        return Counter((one.letter.producer, one.letter.reason) for one in self._letters).most_common()

    def reasons(self) -> list[tuple[str, int]]:
        """How many there are of each reason, the most first."""
        return Counter(one.letter.reason for one in self._letters).most_common()
