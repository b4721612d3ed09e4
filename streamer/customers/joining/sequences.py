"""What the order of events decides, of two names: since when a value is the same, and sequences of steps.

Both let go of what nothing late can touch any more. A past that is joined can, so here it is found out whether anything that was let go
could make the answer another one; then the data say up to when an answer may be off.
"""

from __future__ import annotations

from itertools import chain

from streamer.customers.memories import MIN_TIME, RUNS_HEAD, STEPS_HEAD, Data, Runs, Steps, newer, settle_runs
from streamer.values import same

from .clocks import JoinClocks
from .series import entries_of, join_entries, merged


def join_runs(spec: Runs, ours: Data, theirs: Data, at: JoinClocks) -> Data:
    """The newest value of both names and since when it has been the same.

    Both values and the newest assertion of another one are known, so what may be off is only which assertion of the value came first
    after that: it may have been forgotten inside a run of theirs or ours.
    """
    ours = [None, None] if ours is None else ours
    own, past = (list(entries_of(side[RUNS_HEAD:], 2)) for side in (ours, theirs))
    both = merged(own, past)
    start = len(both) - 1
    while start > 0 and same(both[start - 1][1], both[-1][1]):
        start -= 1
    data: list[Data] = [newer(ours[0], theirs[0]), newer(ours[1], theirs[1]), *chain.from_iterable(both)]
    known = sum(any(entry is mine for mine in own) for entry in both[:start])  # how many of ours lie before the run
    if _has_forgotten(own, known, ours[0]) or _has_forgotten(past, start - known, theirs[0]):
        data[1] = newer(data[1], both[start][0])
    settle_runs(data, at.now - spec.lateness_ms)
    return data


def _has_forgotten(entries: list[list[Data]], at: int, lost_ms: int | None) -> bool:
    """Whether between the assertions before and at ``at`` some of the same value were forgotten."""
    if lost_ms is None or not 0 < at < len(entries):
        return False
    before, after = entries[at - 1 : at + 1]
    return before[0] < lost_ms and same(before[1], after[1])


def join_steps(spec: Steps, ours: Data, theirs: Data, at: JoinClocks) -> Data:
    """Which sequences the events of both names complete.

    While all events of both are held they are one history. Of what was let go only the newest completion is known: what it could have
    combined with under the other name is not.
    """
    ours = [None, None, MIN_TIME, []] if ours is None else ours
    unsure_ms = newer(newer(ours[0], theirs[0]), newer(_unknown_until(spec, ours, theirs), _unknown_until(spec, theirs, ours)))
    if theirs[1] is not None:  # a late event of the survivor's may still come where none of theirs could any more
        unsure_ms = newer(unsure_ms, at.let_go_ms(spec.lateness_ms))
    final = MIN_TIME
    for one, other in ((ours, theirs), (theirs, ours)):
        if one[1] is None or one[2] == MIN_TIME:
            continue  # whatever it has completed is found among the held events
        if _is_forbidden(spec, one[2], other):
            unsure_ms = newer(unsure_ms, one[2])  # the one before it is not known
        else:
            final = max(final, one[2])
    events = join_entries(ours[STEPS_HEAD:], theirs[STEPS_HEAD:], 2)
    data: list[Data] = [unsure_ms, newer(ours[1], theirs[1]), final, [], *events]
    spec.join(data, at.now)
    return data


def _unknown_until(spec: Steps, one: Data, other: Data) -> int | None:
    """Up to when the events that ``one`` has let go could complete something with those of ``other``, or forbid it; None: they cannot."""
    gone_ms = one[1]
    if gone_ms is None or (spec.steps == 1 and not spec.wait_ms):
        return None
    reach_ms = gone_ms + (spec.within_ms if spec.steps > 1 else 0)
    is_near = other[1] is not None or (len(other) > STEPS_HEAD and other[STEPS_HEAD] <= reach_ms)
    return reach_ms if is_near else None


def _is_forbidden(spec: Steps, completion: int, other: Data) -> bool:
    """Whether an event that ``other`` holds forbids a completion."""
    if not spec.wait_ms:
        return False
    events = zip(other[STEPS_HEAD::2], other[STEPS_HEAD + 1 :: 2], strict=True)
    return any(bits >> spec.steps and completion < t <= completion + spec.wait_ms for t, bits in events)
