"""The least that answers exactly: one small structure for each question a rule can ask about the past.

A memory is a kind (a spec here), and per customer a bit of plain data (None: nothing yet) that the state carries. ``update`` takes the old
data and one more event and returns the new data; it may change the old in place. Times are milliseconds by the customer's own clock
(``State.origin_ms``, which ``update`` gets too, is its begin), event times never after ``now``, and events may come in any order within
the allowed lateness: each structure ends the same whatever the order was. ``customers.rebase`` knows which numbers of each are times.

Exact means: answers equal those over all events ever accepted. Where that would need unbounded memory there is a cap with a name; what a
cap costs is marked in the data and reported with every answer that it touches.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass
from heapq import nsmallest
from itertools import islice
from typing import Any, Final

from streamer.values import Json, same

Data = Any  # what a state carries for one memory
Update = Callable[[Data, Json, int, int, int], Data]  # (old data, value of the event, event time, now, origin in UTC) -> new data

PAIRS_MAX: Final = 1_024  # times with values in a window: 8 KiB; a shopper has tens
BUCKETS: Final = 256  # a full window is folded into so many stretches: the error is below half a percent of the window
VALUES_MAX: Final = 1_024  # different values counted for ever
VALUES_SHOWN: Final = 256  # different values in a window, where their number is shown: more are that many
STEPS_MAX: Final = 256  # events held for a sequence until nothing late can touch them
RUNS_MAX: Final = 64  # assertions of one trait held until nothing late can come between them
SUM_MAX: Final = 1 << 62  # ten-thousandths: 461 trillion of any currency; a state holds integers of 64 bits
MIN_TIME: Final = -(1 << 52)  # before every moment
RUNS_HEAD: Final = 2  # parts of the data of ``Runs`` before its assertions
STEPS_HEAD: Final = 4  # parts of the data of ``Steps`` before its events


@dataclass(frozen=True, slots=True)
class Newest:
    """The ``keep`` newest times: did, never, last, idle, and counts in a window compared with ``keep`` at most.

    Data: the time itself when ``keep`` is 1, else times ascending.
    """

    keep: int

    def update(self) -> Update:
        """How an event changes the data."""
        return _newest if self.keep == 1 else _newest_of(self.keep)


def _newest(old: Data, _value: Json, t: int, _now: int, _origin_ms: int) -> Data:
    return t if old is None or t > old else old


def _newest_of(keep: int) -> Update:
    def update(old: Data, _value: Json, t: int, _now: int, _origin_ms: int) -> Data:
        if old is None:
            return [t]
        if t >= old[-1]:
            old.append(t)
        else:
            insort(old, t)
        if len(old) > keep:
            del old[0]
        return old

    return update


@dataclass(frozen=True, slots=True)
class Oldest:
    """The oldest time. Data: the time."""

    def update(self) -> Update:
        """How an event changes the data."""
        return lambda old, _value, t, _now, _origin_ms: t if old is None or t < old else old


@dataclass(frozen=True, slots=True)
class EventCount:
    """How many, ever. Data: the number."""

    def update(self) -> Update:
        """How an event changes the data."""
        return lambda old, _value, _t, _now, _origin_ms: 1 if old is None else old + 1


@dataclass(frozen=True, slots=True)
class Totals:
    """Sum and number of values, ever. The value is an integer. Data: ``[sum, number]``. A sum that reached ``SUM_MAX`` stays there."""

    def update(self) -> Update:
        """How an event changes the data."""

        def update(old: Data, value: Json, _t: int, _now: int, _origin_ms: int) -> Data:
            if old is None:
                return [value, 1]
            total = old[0] if abs(old[0]) == SUM_MAX else bounded(old[0] + value)
            return [total, old[1] + 1]

        return update


def bounded(total: int) -> int:
    """A sum that a state can hold."""
    return max(-SUM_MAX, min(SUM_MAX, total))


@dataclass(frozen=True, slots=True)
class Bests:
    """The largest (``sign`` 1) or smallest (-1) value, ever. Data: the value."""

    sign: int

    def update(self) -> Update:
        """How an event changes the data."""
        choose = max if self.sign > 0 else min
        return lambda old, value, _t, _now, _origin_ms: value if old is None else choose(old, value)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Every (time, integer) of the last ``span_ms``: sums, averages, counts between two ages, activity in periods.

    Data: ``[lost_ms, t, total, number, t, total, number, …]`` ascending in t. A triple stands for one event until there are more than
    ``PAIRS_MAX``; then triples of one stretch of ``span_ms / BUCKETS`` become one at their newest time. ``lost_ms``: up to when some may
    be missing of a past that was joined.
    """

    span_ms: int

    @property
    def stretch_ms(self) -> int:
        """How long a stretch is whose entries are folded into one."""
        return max(1, self.span_ms // BUCKETS)

    def update(self) -> Update:
        """How an event changes the data."""
        span_ms, stretch_ms = self.span_ms, self.stretch_ms

        def update(old: Data, value: Json, t: int, now: int, origin_ms: int) -> Data:
            if t <= now - span_ms:
                return old
            data: list[Any] = [None] if old is None else old
            expire(data, now - span_ms, width=3)
            at = len(data)
            while at > 1 and data[at - 3] > t:
                at -= 3
            data[at:at] = (t, value, 1)
            if len(data) > 1 + 3 * PAIRS_MAX:
                fold_numbers(data, stretch_ms, origin_ms)
            return data

        return update


def expire(data: list[Any], horizon_ms: int, *, width: int) -> None:
    """Drop the entries at or before ``horizon_ms`` from the front (behind the head)."""
    end = 1
    while end < len(data) and data[end] <= horizon_ms:
        end += width
    if end > 1:
        del data[1:end]


def fold_numbers(data: list[Any], stretch_ms: int, origin_ms: int) -> None:
    """Stretches are of UTC, so that what is folded does not depend on where the customer's clock begins."""
    folded: list[Any] = [data[0]]
    for at in range(1, len(data), 3):
        t, total, number = data[at : at + 3]
        if len(folded) > 1 and (folded[-3] + origin_ms) // stretch_ms == (t + origin_ms) // stretch_ms:
            folded[-3:] = (t, bounded(folded[-2] + total), folded[-1] + number)
        else:
            folded += (t, total, number)
    data[:] = folded


@dataclass(frozen=True, slots=True)
class Ladder:
    """The (time, value) pairs of the last ``span_ms`` that are or can become the largest (``sign`` 1) or smallest (-1).

    A pair is dropped once a pair at least as new is at least as extreme: it can never be the answer again. Data as ``[lost_ms, t, value,
    …]``, ascending in t, each value less extreme than the one before. Over the cap the oldest step is merged into the next, which keeps its
    value a while too long:
    ``lost_ms`` is until when.
    """

    span_ms: int
    sign: int

    def update(self) -> Update:
        """How an event changes the data."""
        span_ms, sign = self.span_ms, self.sign

        def update(old: Data, value: Json, t: int, now: int, _origin_ms: int) -> Data:
            if t <= now - span_ms:
                return old
            data: list[Any] = [None] if old is None else old
            expire(data, now - span_ms, width=2)
            at = len(data)
            while at > 1 and data[at - 2] > t:
                at -= 2
            if at < len(data) and sign * data[at + 1] >= sign * value:
                return data
            start = at
            while start > 1 and sign * data[start - 1] <= sign * value:
                start -= 2
            data[start:at] = (t, value)
            if len(data) > 1 + 2 * PAIRS_MAX:
                self.merge_oldest(data)
            return data

        return update

    @staticmethod
    def merge_oldest(data: list[Any]) -> None:
        """Make one step of the two oldest."""
        data[0] = newer(data[0], data[3])
        data[1:5] = (data[3], data[2])


@dataclass(frozen=True, slots=True)
class Distinct:
    """The ``keep`` newest different values with their newest times. The value is a list of JSON texts. Data: ``{text: t}`` ascending in
    t."""

    keep: int

    def update(self) -> Update:
        """How an event changes the data."""
        keep = self.keep

        def update(old: Data, value: Json, t: int, _now: int, _origin_ms: int) -> Data:
            data: dict[str, int] = {} if old is None else old
            newest = next(reversed(data.values()), MIN_TIME)
            for text in value:
                if t > data.get(text, MIN_TIME):
                    data.pop(text, None)
                    data[text] = t
            if t < newest:
                ordered = sorted(data.items(), key=lambda item: (item[1], item[0]))
                data.clear()
                data.update(ordered)
            for text in list(islice(data, max(0, len(data) - keep))):
                del data[text]
            return data

        return update


@dataclass(frozen=True, slots=True)
class Labels:
    """Every (time, JSON text) of the last ``span_ms``: the top value, distinct values between two ages. The value is a list of JSON texts.

    Data: ``[lost_ms, {text: [t, number, t, number, …]}]``, texts ascending, each with its times ascending: so a text is kept once, and how
    often it came is the sum of a slice. Folded like ``Pairs``, by text; should there be more than ``PAIRS_MAX`` still, the oldest are
    dropped, and ``lost_ms`` is the newest of those.
    """

    span_ms: int

    @property
    def stretch_ms(self) -> int:
        """How long a stretch is whose entries are folded into one."""
        return max(1, self.span_ms // BUCKETS)

    def update(self) -> Update:
        """How an event changes the data."""
        span_ms, stretch_ms = self.span_ms, self.stretch_ms

        def update(old: Data, value: Json, t: int, now: int, origin_ms: int) -> Data:
            if t <= now - span_ms:
                return old
            data: list[Any] = [None, {}] if old is None else old
            expire_labels(data, now - span_ms)
            _add_labels(data, value, t)
            if sum(map(len, data[1].values())) > 2 * PAIRS_MAX:
                fold_labels(data, stretch_ms, origin_ms)
            return data

        return update


def _add_labels(data: list[Any], texts: list[str], t: int) -> None:
    by_text: dict[str, list[int]] = data[1]
    known = len(by_text)
    for text in texts:
        entries = by_text.setdefault(text, [])
        at = len(entries)
        while at > 0 and entries[at - 2] > t:
            at -= 2
        entries[at:at] = (t, 1)
    if len(by_text) > known:
        data[1] = dict(sorted(by_text.items()))


def expire_labels(data: list[Any], horizon_ms: int) -> None:
    """Drop the entries at or before ``horizon_ms``."""
    gone: list[str] = []
    for text, entries in data[1].items():
        if entries[0] <= horizon_ms:
            end = 2 * bisect_right(entries[::2], horizon_ms)
            if end == len(entries):
                gone.append(text)
            else:
                del entries[:end]
    for text in gone:
        del data[1][text]


def fold_labels(data: list[Any], stretch_ms: int, origin_ms: int) -> None:
    """Stretches as for numbers, of each text its own; beyond ``PAIRS_MAX`` the oldest are dropped."""
    by_stretch: dict[tuple[int, str], tuple[int, int]] = {}
    for text, entries in data[1].items():
        for t, number in zip(entries[::2], entries[1::2], strict=True):
            key = ((t + origin_ms) // stretch_ms, text)
            by_stretch[key] = (t, by_stretch.get(key, (0, 0))[1] + number)
    folded = sorted((t, text, number) for (_, text), (t, number) in by_stretch.items())
    dropped = len(folded) - PAIRS_MAX
    if dropped > 0:
        data[0] = folded[dropped - 1][0] if data[0] is None else max(data[0], folded[dropped - 1][0])
        folded = folded[dropped:]
    by_text: dict[str, list[int]] = {text: [] for text in sorted({text for _, text, _ in folded})}
    for t, text, number in folded:
        by_text[text] += (t, number)
    data[1] = by_text


@dataclass(frozen=True, slots=True)
class Frequencies:
    """How often each value came, ever. The value is a list of JSON texts. Data: ``[lost, {text: [number, newest t]}]``.

    Over the cap the rarest (then oldest) value is dropped and ``lost`` is the largest number so dropped: an answer is exact while it is
    larger.
    """

    def update(self) -> Update:
        """How an event changes the data."""

        def update(old: Data, value: Json, t: int, _now: int, _origin_ms: int) -> Data:
            data: Data = [0, {}] if old is None else old
            counts: dict[str, list[int]] = data[1]
            for text in value:
                entry = counts.get(text)
                counts[text] = [1, t] if entry is None else [entry[0] + 1, max(entry[1], t)]
            surplus = len(counts) - VALUES_MAX
            if surplus > 0:
                for rarest in nsmallest(surplus, counts, key=lambda text: (*counts[text], text)):
                    data[0] = max(data[0], counts.pop(rarest)[0])
            return data

        return update


@dataclass(frozen=True, slots=True)
class KnownValue:
    """The newest value (``newest``), or the oldest, with its time. Data: ``[t, value]``."""

    newest: bool = True

    def update(self) -> Update:
        """How an event changes the data."""
        if self.newest:
            return lambda old, value, t, _now, _origin_ms: [t, value] if old is None or t >= old[0] else old
        return lambda old, value, t, _now, _origin_ms: [t, value] if old is None or t < old[0] else old


@dataclass(frozen=True, slots=True)
class Runs:
    """The newest value and since when it has been the same.

    Data: ``[lost_ms, unsure_ms, t, value, t, value, …]``, assertions ascending in t.
    ``lateness_ms``: how late an event may come. Of what nothing late can break any more three assertions are kept: the beginning and the
    newest of the run that it ends in, and the one before that run. Over the cap assertions inside a run are forgotten first.
    ``lost_ms`` is the newest moment of one that was forgotten inside a run. A run that is broken there, by somebody's past that is joined
    or by a late event, may have begun again before the next assertion that is kept: beginnings up to ``unsure_ms`` may be too late.
    """

    lateness_ms: int

    def update(self) -> Update:
        """How an event changes the data."""
        lateness_ms = self.lateness_ms

        def update(old: Data, value: Json, t: int, now: int, _origin_ms: int) -> Data:
            data: list[Any] = [None, None] if old is None else old
            at = len(data)
            while at > RUNS_HEAD and data[at - 2] > t:
                at -= 2
            if at < len(data) and is_in_gap(data, at, value):
                data[1] = newer(data[1], data[at])
            data[at:at] = (t, value)
            settle_runs(data, now - lateness_ms)
            return data

        return update


def is_in_gap(data: list[Any], at: int, value: Json) -> bool:
    """Whether another value before the assertion at ``at`` breaks a run of which some assertions were forgotten there."""
    if at == RUNS_HEAD or data[0] is None or data[at - 2] >= data[0]:
        return False
    return same(data[at - 1], data[at + 1]) and not same(value, data[at + 1])


def settle_runs(data: list[Any], horizon_ms: int) -> None:
    """Keep three assertions of everything at or before ``horizon_ms``, and no more than ``RUNS_MAX`` of all."""
    settled = RUNS_HEAD
    while settled + 2 < len(data) and data[settled + 2] <= horizon_ms:
        settled += 2
    start = settled
    while start > RUNS_HEAD and same(data[start - 1], data[settled + 1]):
        start -= 2
    if settled - start > 2:
        data[0] = newer(data[0], data[settled - 2])
        del data[start + 2 : settled]
    del data[RUNS_HEAD : max(RUNS_HEAD, start - 2)]
    while len(data) > RUNS_HEAD + 2 * RUNS_MAX:
        surplus = _least_missed(data)
        if surplus > RUNS_HEAD:
            data[0] = newer(data[0], data[surplus])
        del data[surplus : surplus + 2]


def _least_missed(data: list[Any]) -> int:
    """The first assertion inside a run, not at its end; else the oldest of all."""
    for at in range(RUNS_HEAD + 2, len(data) - 2, 2):
        if same(data[at - 1], data[at + 1]):
            return at
    return RUNS_HEAD


def run_start(data: Data) -> int:
    """When the current value's unbroken run began."""
    at, value = len(data) - 2, data[-1]
    while at > RUNS_HEAD and same(data[at - 1], value):
        at -= 2
    return data[at]


@dataclass(frozen=True, slots=True)
class Zone:
    """The newest known time zone over traits and context. The value is ``[rank, name]`` (rank 1: trait). Data: ``[t, rank, name]``."""

    def update(self) -> Update:
        """How an event changes the data."""

        def update(old: Data, value: Json, t: int, _now: int, _origin_ms: int) -> Data:
            return [t, *value] if old is None or t >= old[0] else old

        return update


@dataclass(frozen=True, slots=True)
class Steps:
    """Events that can still be part of a sequence, and what they amount to. The value is a bit set: bit i for step i, bit ``steps`` for
    what must not follow.

    Data: ``[unsure_ms, gone_ms, final, [completions], t, bits, t, bits, …]``, by time, of equal times in the order of the log.
    ``completions`` are the times, ascending, of last steps of matches that nothing forbids as far as is known; ``final`` the newest of
    those that no late event can forbid any more (``MIN_TIME``: none). Events are held until nothing late can combine with them:
    ``lateness_ms + within_ms + wait_ms``. ``gone_ms`` is the newest moment of one that is held no longer. Completions up to ``unsure_ms``
    may be missing, or forbidden by what is not known: events were dropped over the cap, or a past was joined that they could combine with.
    """

    steps: int
    within_ms: int
    wait_ms: int
    lateness_ms: int

    def update(self) -> Update:
        """How an event changes the data."""
        settle_ms = self.lateness_ms + self.wait_ms

        def update(old: Data, value: Json, t: int, now: int, _origin_ms: int) -> Data:
            data: list[Any] = [None, None, MIN_TIME, []] if old is None else old
            _settle_steps(data, now - settle_ms)  # before this event came, so it cannot change them
            _insert_step(data, t, value)
            self.hold(data, now)
            return data

        return update

    def hold(self, data: list[Any], now: int) -> None:
        """Let go of events that nothing can combine with any more, and find the completions among the others."""
        end = STEPS_HEAD
        while end < len(data) and data[end] <= now - self.lateness_ms - self.wait_ms - self.within_ms:
            end += 2
        surplus = (len(data) - end) // 2 - STEPS_MAX
        if surplus > 0:
            end += 2 * surplus
            data[0] = newer(data[0], data[end - 2] + self.within_ms)
        if end > STEPS_HEAD:
            data[1] = newer(data[1], data[end - 2])
            del data[STEPS_HEAD:end]
        data[3] = self._completions(data)
        if not self.wait_ms and data[3]:
            data[2], data[3] = max(data[2], data[3][-1]), []

    def join(self, data: list[Any], now: int) -> None:
        """The same where events may stand that were not held before: what they complete is found before any of them is let go."""
        data[3] = self._completions(data)
        _settle_steps(data, now - self.lateness_ms - self.wait_ms)
        self.hold(data, now)

    def _completions(self, data: list[Any]) -> list[int]:
        """Times of the last steps of all matches among the held events that no held event forbids.

        ``best[i]`` is the latest beginning among chains of the first i + 1 steps: for a limit on the whole length the latest is as good as
        any.
        """
        best, found, last = [MIN_TIME] * self.steps, list[int](), self.steps - 1
        for t, bits in zip(data[STEPS_HEAD::2], data[STEPS_HEAD + 1 :: 2], strict=True):
            if self.wait_ms and bits >> self.steps:
                found = [completion for completion in found if t > completion + self.wait_ms]
            reached = best[:]
            for step in range(self.steps):
                if bits >> step & 1:
                    reached[step] = max(reached[step], best[step - 1] if step else t)
            start = best[last - 1] if last else t
            if bits >> last & 1 and t - start <= self.within_ms:
                found.append(t)
            best = reached
        return found


def _settle_steps(data: list[Any], horizon_ms: int) -> None:
    for completion in data[3]:  # ascending
        if completion <= horizon_ms:
            data[2] = max(data[2], completion)


def _insert_step(data: list[Any], t: int, bits: int) -> None:
    """Behind those of the same time: they came before it in the log."""
    at = len(data)
    while at > STEPS_HEAD and data[at - 2] > t:
        at -= 2
    data[at:at] = (t, bits)


def newer(left: int | None, right: int | None) -> int | None:
    """The later of two moments that may be missing."""
    if left is None or right is None:
        return right if left is None else left
    return max(left, right)


RuleSpec = (
    Newest | Oldest | EventCount | Totals | Bests | Pairs | Ladder | Distinct | Labels | Frequencies | KnownValue | Runs | Zone | Steps
)
