# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A log from memory, in one call: for tests of one's own definitions, notebooks and backtests. No server, no file, no clock.

``replay`` says each change, ``preview`` how many customers there would be where, and some of them with their reasons.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec

from .errors import RefusedError
from .events.arrival import arrival_ms
from .flow.replay import Arrival, Replay
from .flow.rules import Rules
from .language.definitions import Definitions
from .previews.bounds import Bounds
from .previews.conclusion import Wishes
from .previews.events import preview_events
from .previews.result import Preview
from .segments.change import Change
from .segments.merge import decode_change_or_merge
from .stores.memory import MemoryStore
from .wire import CHANGES, DEAD_LETTERS, DeadLetter, Output

Result = TypeVar("Result")
GivenEvent = bytes | str | Mapping[str, Any]

BATCH: Final = 1_000  # events a commit; changes no answer
_decode_letter = msgspec.json.Decoder(DeadLetter).decode


def raise_refused(letter: DeadLetter) -> None:
    """Raise RefusedError for a refused event: what ``replay`` does unless it is told otherwise."""
    raise RefusedError(letter.reason, path=letter.path, detail=letter.detail)


def replay(
    events: Iterable[GivenEvent],
    definitions: Definitions,
    *,
    until_ms: int | None = None,
    rules: Rules | None = None,
    on_refused: Callable[[DeadLetter], None] = raise_refused,
) -> Iterator[Change]:
    """The segment changes that events bring about, in order; the same that a deployment would say of them.

    ``events`` are objects of ``schemas/event.v1.json``, as JSON or as mappings, in the order in which they arrived. An event arrives at its
    ``receivedAt``, else at its ``timestamp``; time never goes back. After the last one time passes up to ``until_ms`` (UTC
    milliseconds), so that windows end; left out, it stands still. ``rules`` has the lateness and skew that are allowed (default: a day
    and five minutes). What is refused goes to ``on_refused`` as the dead letter that a worker would write; left out, it raises
    RefusedError.

    >>> from streamer import parse_definitions, replay
    >>> buyer = {"for": "Bought lately.", "when": 'did("Order Completed", within="1h")'}
    >>> segments = parse_definitions({"segments": {"buyer": buyer}})
    >>> order = {"event": "Order Completed", "messageId": "1", "userId": "ada", "timestamp": "2026-03-01T10:00:00Z"}
    >>> [(change.type, change.time) for change in replay([order], segments, until_ms=1772409600000)]
    [('segment.entered', '2026-03-01T10:00:00.000Z'), ('segment.exited', '2026-03-01T11:00:00.000Z')]
    """
    run = _finish(Replay.begin(definitions, MemoryStore(), rules or Rules(shards=1), batch=BATCH))
    yield from _changes(run.feed(_arrivals(events), batch=BATCH), on_refused)
    if until_ms is not None:
        yield from _changes(run.until(until_ms), on_refused)


def preview(
    events: Iterable[GivenEvent],
    definitions: Definitions,
    *,
    against: Definitions | None = None,
    share: float = 1.0,
    until_ms: int | None = None,
    days: int = 14,
    samples: int = 3,
    rules: Rules | None = None,
    seconds_max: float | None = None,
) -> Preview:
    """What definitions would do with customers who are there already: sizes, who entered and left on each of the last ``days`` days,
    who will if no event arrives, members with their reasons, and who is in two segments.

    ``events``, ``until_ms`` and ``rules`` are those of ``replay``; what is no event is counted. ``against`` are definitions in force, of
    which the difference is told. ``share``, above 0 up to 1, is the part of the customers that is looked at: everything is exact on it, and
    what it says of all has an interval of 95 %. Raises TooMuchError when it is not done after ``seconds_max``.

    >>> from streamer import parse_definitions, preview
    >>> buyer = {"for": "Bought lately.", "when": 'did("Order Completed", within="1d")'}
    >>> segments = parse_definitions({"segments": {"buyer": buyer}})
    >>> order = {"event": "Order Completed", "messageId": "1", "userId": "ada", "timestamp": "2026-03-01T10:00:00Z"}
    >>> [found] = preview([order], segments).segments
    >>> found.members.count, [(horizon.hours, horizon.leave.count) for horizon in found.ahead], found.samples[0].customer
    (1, [(1, 0), (24, 1), (168, 1)], 'ada')
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: expected a number above 0 and not above 1, found {share}")
    arrivals = list(_arrivals(events))
    wishes, bounds = Wishes(share, days, samples, replaces=against is not None), Bounds(seconds_max=seconds_max)
    ends_at: Callable[[int], int] = int if until_ms is None else lambda _: until_ms
    work = preview_events(lambda: arrivals, definitions, rules or Rules(shards=1), wishes, bounds, against=against, until_ms=ends_at)
    return _finish(work)


def _arrivals(events: Iterable[GivenEvent]) -> Iterator[Arrival]:
    """Each event at its time; one whose time cannot be read arrives with the one before it, and is refused there."""
    last_ms = 0
    for number, event in enumerate(events, 1):
        raw = _bytes_of(event)
        last_ms = max(last_ms, arrival_ms(raw) or 0)
        yield Arrival(number, last_ms, raw)


def _bytes_of(event: GivenEvent) -> bytes:
    """The event as it would lie in the log. Halves of surrogate pairs go along: what becomes of them is for whoever decodes it to say."""
    if isinstance(event, bytes):
        return event
    if isinstance(event, str):
        return event.encode("utf-8", "surrogatepass")
    try:
        return msgspec.json.encode(event)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(event)).encode()


def _changes(said: AsyncIterator[Any], on_refused: Callable[[DeadLetter], None]) -> Iterator[Change]:
    while True:
        try:
            output: Output = _finish(anext(said)).output  # pyright: ignore[reportArgumentType] - of an async generator it is a coroutine
        except StopAsyncIteration:
            return
        if output.topic == CHANGES:
            change = decode_change_or_merge(output.value)
            if isinstance(change, Change):
                yield change
        elif output.topic == DEAD_LETTERS:
            on_refused(_decode_letter(output.value))


def _finish(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that never waits, without an event loop: so it may be called from inside one."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a replay in memory has nothing to wait for")


__all__ = ["preview", "raise_refused", "replay"]
