"""The oracle's shards alone, without the product: what they send on is carried from log to log, as late as a test likes."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.oracle.persons import Message, PersonStory, Post
from tests.oracle.story import Change, Forward, Record

SHARDS = 3


def home(customer: str) -> int:
    """Some shard for each customer."""
    return sum(map(ord, customer)) % SHARDS


class Parcel(NamedTuple):
    """A message on its way: with its place, when its event first arrived, and what the record holds."""

    message: Message
    forward: Forward
    body: dict[str, Any]


class Courier:
    """Shards, and what is on its way between any two of them."""

    tells: type[PersonStory] = PersonStory

    def __init__(self, definitions: dict[str, Any], home: Callable[[str], int] = home, *, shards: int = SHARDS, **options: Any) -> None:
        self.post, self.home = Post(), home
        self.stories = [self.tells(number, home, self.post, definitions, **options) for number in range(shards)]
        self.logs: dict[int, list[Record]] = {number: [] for number in range(shards)}
        self.ways: defaultdict[tuple[int, int], deque[Parcel]] = defaultdict(deque)

    def write(self, at_ms: int, body: dict[str, Any], shard: int | None = None, *, may_link: bool = True) -> None:
        """A producer writes a record, into the shard of its customer unless another is named."""
        customer = body.get("customer") or body.get("userId") or body.get("anonymousId") or ""
        self._tell(self.home(customer) if shard is None else shard, at_ms, body, None, may_link=may_link)

    def tick(self, at_ms: int) -> None:
        """Time passes in every shard."""
        for shard in self.logs:
            self.write(at_ms, {"control": "tick"}, shard)

    def deliver(self, at_ms: int, way: int = 0) -> bool:
        """The oldest message of one way between two shards arrives; False when nothing is on its way."""
        full = sorted(route for route, parcels in self.ways.items() if parcels)
        if not full:
            return False
        source, target = full[way % len(full)]
        parcel = self.ways[source, target].popleft()
        self._tell(target, at_ms, parcel.body, parcel.forward, may_link=True)
        return True

    def settle(self, at_ms: int) -> None:
        """All that is on its way arrives."""
        for _ in range(10_000):
            if not self.deliver(at_ms):
                return
        raise AssertionError("messages go round for ever")

    def memberships(self) -> dict[str, list[str]]:
        """Of all shards."""
        return {customer: names for story in self.stories for customer, names in story.memberships().items()}

    def changes(self) -> list[Change]:
        """Of all shards, by shard."""
        return [change for story in self.stories for change in story.changes]

    def counted(self, what: str) -> int:
        """In all shards."""
        return sum(story.counts[what] for story in self.stories)

    def _tell(self, shard: int, at_ms: int, body: dict[str, Any], forward: Forward | None, *, may_link: bool) -> None:
        story, log = self.stories[shard], self.logs[shard]
        record = Record(len(log) + 1, at_ms, body, forward, may_link)
        log.append(record)
        story.tell(record)
        arrived = forward.arrival_ms if forward is not None else story.now
        for ordinal, message in enumerate(self.post.sent[shard, record.offset]):
            place = Forward(shard, (1, record.offset, ordinal), arrived, message.about)
            inside = body if message.kind == "event" else {"control": message.kind, "from": message.old, "to": message.into}
            self.ways[shard, self.home(message.about)].append(Parcel(message, place, inside))
