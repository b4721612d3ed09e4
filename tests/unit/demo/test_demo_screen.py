"""What a person sees: fits into a small terminal, uses a large one, and says in words what no event caused."""

from __future__ import annotations

from io import StringIO

import pytest
from demo_changes import FACTS, OPENED_MS, change, mail, seen_after_twelve_seconds
from rich.console import Console

from streamer.demo import plain, words
from streamer.demo.screen import draw
from streamer.demo.seen import Seen, Shown

SIZES = [(80, 24), (120, 40), (200, 60)]


def _drawn(seen: Seen, width: int, height: int, *, color: bool = False) -> list[str]:
    console = Console(file=StringIO(), width=width, height=height, force_terminal=color, color_system="truecolor" if color else None)
    with console.capture() as caught:
        console.print(draw(seen, FACTS, width=width, height=height))
    return caught.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [*SIZES, *((80, height) for height in range(25, 36))])
def test_it_fits(width: int, height: int) -> None:
    """A line too many scrolls the title away; a line too long breaks the next."""
    lines = _drawn(seen_after_twelve_seconds(), width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_a_small_terminal_is_used_to_the_last_line() -> None:
    """80 x 24 is what most people open."""
    assert len(_drawn(seen_after_twelve_seconds(), 80, 24)) == 24


@pytest.mark.parametrize("height", [24, 40])
def test_it_is_as_high_when_nothing_was_seen_yet(height: int) -> None:
    """Parts that jump when the first change comes are not calm."""
    assert len(_drawn(Seen(OPENED_MS), 80, height)) == len(_drawn(seen_after_twelve_seconds(), 80, height))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_that_must_be_said_is_cut_off(width: int, height: int) -> None:
    """Simulated, in memory, in seconds, only time: whoever misses one of these is misled."""
    text = "\n".join(_drawn(seen_after_twelve_seconds(), width, height))
    for must in (
        "SIMULATED shop",
        "600 invented customers",
        words.IN_MEMORY,
        words.IN_SECONDS,
        "1 entered AND left demo_cart_left with no event",
        "mila-017 put something into the cart (Norrvik trail shoe) and went away.",
        "22:13:23.100  entered demo_cart_left  no event, only time passed",
        "22:13:28.100  left    demo_cart_left  no event, only time passed",
        "Open in a browser: http://127.0.0.1:14000/",
        "Ctrl-C",
    ):
        assert must in text


def test_the_figures_are_those_that_were_seen() -> None:
    """200 events a second for twelve seconds, and what the worker said."""
    text = "\n".join(_drawn(seen_after_twelve_seconds(), 80, 24))
    for must in ("2,601 sent", "lag 4", "3 changes: 1 by an event, 2 because only time passed", "open for 0:12", "change 20 ms"):
        assert must in text
    assert any(line.split()[:2] == ["demo_cart_left", "41"] and "active" in line and "1,204" in line for line in text.splitlines())


def test_a_change_says_its_cause_and_its_reason() -> None:
    """The newest first; the reason on a line of its own."""
    lines = _drawn(seen_after_twelve_seconds(), 80, 40)
    at = next(number for number, line in enumerate(lines) if "ada-001 entered" in line)
    assert "22:13:32.000  ada-001 entered demo_just_looking  event Product Viewed" in lines[at]
    assert lines[at + 1].startswith('     because count("Product Viewed", within="12s") >= 5')
    assert "mila-017 left demo_cart_left  no event, only time passed" in lines[at + 2]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_messages_are_shown_with_their_reasons_the_newest_first(width: int, height: int) -> None:
    """A mail in the mailbox, and why two others did not leave."""
    lines = _drawn(seen_after_twelve_seconds(), width, height)
    at = next(number for number, line in enumerate(lines) if line.startswith("Messages"))
    assert lines[at + 1].startswith(" 1 to send, 1 arrived, 1 held, 1 skipped: no_consent 1")
    assert lines[at + 2].startswith(" 22:13:26.000 held demo_cart_reminder to hugo-003: quiet hours (21:00-06:00)")
    assert lines[at + 3].startswith(" 22:13:25.000 skipped demo_cart_reminder to ada-001: no consent (reminders)")
    assert lines[at + 4].startswith(" 22:13:24.400 mail (de) to mila-017@mail.example: Noch in deinem Korb: 1")


def test_a_wide_terminal_says_what_a_segment_is_for() -> None:
    """There is room for it, and it saves a look into the file."""
    assert "What demo_cart_left is for" in "\n".join(_drawn(seen_after_twelve_seconds(), 120, 40))


def test_colors_are_only_an_addition() -> None:
    """With NO_COLOR the words must say it all; with color the words stay the same."""
    coloured = _drawn(seen_after_twelve_seconds(), 80, 24, color=True)
    assert any("\x1b[33m" in line and "only time passed" in line for line in coloured)


def test_what_a_subject_brings_along_reaches_no_terminal() -> None:
    """Customers write their names themselves, and names stand in subjects."""
    seen = Seen(OPENED_MS)
    seen.messages.note_mail(mail("mila-017", "Hello \x1b[2J"), OPENED_MS + 100)
    shown = seen.messages.pick(OPENED_MS + 1_000)
    assert shown is not None
    assert "\x1b" not in plain.message_line(shown)
    assert "Hello" in plain.message_line(shown)


def test_lines_without_a_terminal_say_the_same() -> None:
    """A log of a build has no screen."""
    seen = seen_after_twelve_seconds()
    lines = plain.PlainLines(seen)
    shown = Shown(change("mila-017", at=3_100), None)
    said = list(lines.new(shown, None, OPENED_MS + 12_100))
    assert said[0] == '22:13:23.100 mila-017 entered demo_cart_left: no event, only time passed, because idle("*") >= "3s" (is 3s)'
    assert "Entered AND left without one event of theirs" in said[4]
    assert said[5].startswith("-- 12 s: 200 events/s, 2,601 sent, lag 4, 3 changes (1 by an event, 2 because only time passed)")
    assert list(lines.new(None, None, OPENED_MS + 12_200)) == []
