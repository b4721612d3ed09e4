"""The demo's bookkeeping: who moved while nothing happened, how late changes are, which of them are shown."""

from __future__ import annotations

from demo_changes import OPENED_MS, change, event

from streamer.demo.seen import FOLLOW_MS, PICK_MS, RATE_MS, Numbers, Seen


def test_who_enters_and_leaves_by_timers_with_no_event_in_between_is_the_proof() -> None:
    """This is what the demo is there to show, and its exit code stands for it."""
    seen = Seen(OPENED_MS)
    seen.note_sent([event("mila", "Product Added", at=100, product="kettle")], OPENED_MS + 100)
    seen.note_change(change("mila", at=3_100), OPENED_MS + 3_120)
    assert seen.first_silence is None
    seen.note_change(change("mila", at=8_100, entered=False), OPENED_MS + 8_120)
    assert seen.silences == 1
    assert seen.first_silence is not None
    assert (seen.first_silence.customer, seen.first_silence.product) == ("mila", "kettle")


def test_an_event_in_between_spoils_the_proof() -> None:
    """They left by a timer, but were not silent: somebody might say that the event did it."""
    seen = Seen(OPENED_MS)
    seen.note_change(change("mila", at=3_100), OPENED_MS + 3_120)
    seen.note_sent([event("mila", "Product Viewed", at=5_000)], OPENED_MS + 5_000)
    seen.note_change(change("mila", at=8_100, entered=False), OPENED_MS + 8_120)
    assert seen.first_silence is None
    assert seen.followed is not None
    assert seen.followed.broken


def test_leaving_or_entering_by_an_event_is_no_proof() -> None:
    """Both must be the clock's work."""
    seen = Seen(OPENED_MS)
    seen.note_change(change("mila", at=3_100), OPENED_MS + 3_120)
    seen.note_change(change("mila", at=8_100, entered=False, event="m"), OPENED_MS + 8_120)
    seen.note_change(change("ada", at=3_100, event="m"), OPENED_MS + 3_120)
    seen.note_change(change("ada", at=8_100, entered=False), OPENED_MS + 8_120)
    assert (seen.silences, seen.first_silence) == (0, None)


def test_a_story_stays_on_the_screen_until_it_was_read() -> None:
    """Carts are left many times a second; a line that changes as often is noise."""
    seen = Seen(OPENED_MS)
    seen.note_change(change("mila", at=3_100), OPENED_MS + 3_120)
    seen.note_change(change("ada", at=3_200), OPENED_MS + 3_220)
    seen.note_change(change("mila", at=8_100, entered=False), OPENED_MS + 8_120)
    seen.note_change(change("rosa", at=9_000), OPENED_MS + 9_020)
    assert seen.followed is not None
    assert seen.followed.customer == "mila"
    seen.note_change(change("zoe", at=16_000), OPENED_MS + 8_120 + FOLLOW_MS)
    assert seen.followed.customer == "zoe"


def test_latency_is_from_the_moment_of_the_change_until_it_was_read() -> None:
    """Events and timers apart: a timer waits for the next record of its shard."""
    seen = Seen(OPENED_MS)
    seen.note_change(change("mila", at=1_000, event="m"), OPENED_MS + 1_015)
    seen.note_change(change("mila", at=3_000), OPENED_MS + 3_200)
    assert (list(seen.event_latencies_ms), list(seen.timer_delays_ms)) == ([15], [200])


def test_a_change_by_an_event_names_the_event() -> None:
    """An id says nothing to whoever looks at the screen."""
    seen = Seen(OPENED_MS)
    seen.note_sent([event("mila", "Cart Viewed", at=0, message_id="m1")], OPENED_MS)
    assert seen.event_name(change("mila", at=1, event="m1")) == "Cart Viewed"
    assert seen.event_name(change("mila", at=1, event="m2")) == "m2"
    assert seen.event_name(change("mila", at=1)) is None


def test_one_change_at_a_time_is_shown_and_not_always_of_the_same_segment() -> None:
    """A hundred changes a second cannot be read, and one segment changes more than all others."""
    seen = Seen(OPENED_MS)
    found: list[str] = []
    for turn in range(1, 7):
        at = turn * PICK_MS
        for number in range(20):
            seen.note_change(change(f"c-{number}", at=at, segment="demo_new"), OPENED_MS + at)
        seen.note_change(change("mila", at=at, segment="demo_lapsed"), OPENED_MS + at)
        seen.note_change(change("mila", at=at, segment="active"), OPENED_MS + at)
        shown = seen.pick(OPENED_MS + at)
        assert shown is not None
        found.append(shown.change.data.segment)
        assert seen.pick(OPENED_MS + at + 1) is None
    assert {"demo_new", "demo_lapsed", "active"} == set(found)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """A shop that has just slowed down must not look busy for minutes."""
    seen = Seen(OPENED_MS)
    for second in range(10):
        seen.note_sent([event("mila", "Product Viewed", at=second)] * 100, OPENED_MS + 1_000 * second)
    assert seen.rate == 100
    seen.note_sent([], OPENED_MS + 9_000 + RATE_MS + 1)
    seen.note_sent([], OPENED_MS + 9_000 + RATE_MS + 2)
    assert seen.rate == 0


def test_an_event_counts_as_read_whatever_became_of_it() -> None:
    """Nothing disappears: accepted, repeated and refused make up what was sent."""
    assert Numbers(accepted=5, duplicates=2, refused=1).read == 8
