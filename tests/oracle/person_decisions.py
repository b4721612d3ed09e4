"""Messages to one person under several ids: what waits ends with the old id, what was sent goes along (LANGUAGE.md, section 7)."""

from __future__ import annotations

from dataclasses import replace

from tests.oracle.decisions import Book, Draft, MessageStory
from tests.oracle.persons import Message, PersonStory
from tests.oracle.story import FOREVER_AGO, Customer


class PersonMessageStory(PersonStory, MessageStory):
    """The story of one shard, with messages and with people who go by several ids."""

    def _drain(self, link: Message) -> list[Draft]:
        """What waits ends behind the exits, without a test."""
        old = link.old
        zone = self.zone(old) if old in self.customers else self.definitions.zone
        drafts = super()._drain(link)
        book = self.books.pop(old, Book())
        return drafts + [self._ended(old, intent, "merged", self.now, zone) for intent in sorted(book.intents, key=self._order)]

    def _kept(self, old: str) -> object:
        return self._book(old)

    def _highest(self, old: str, one: Customer) -> int:
        """Turns of conditions have numbers too, and one that is true counts as left."""
        turns = (standing.sequence + standing.sequence % 2 for standing in self._book(old).turns.values())
        return max(super()._highest(old, one), *turns, 0)

    def _take(self, adopt: Message) -> list[Draft]:
        """What was sent under the old id counts for the person, up to now."""
        book, past = self._book(adopt.about), adopt.kept
        assert isinstance(past, Book), adopt
        self.met["places joined"] += bool(past.places)
        book.places += [replace(place, at_ms=min(place.at_ms, self.now)) for place in past.places]
        for name, sent_ms in past.sent_ms.items():
            book.sent_ms[name] = max(book.sent_ms.get(name, FOREVER_AGO), min(sent_ms, self.now))
        return super()._take(adopt)
