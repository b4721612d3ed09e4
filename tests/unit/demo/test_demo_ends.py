"""The edges of the demo: its definitions, the worker's surroundings, the last words."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from demo_changes import FACTS, OPENED_MS, change, event, seen_after_twelve_seconds

from streamer.demo import traffic
from streamer.demo.seen import CART_LEFT, PREFIX, Numbers, Seen
from streamer.demo.servers import TEMPLATES, parse_numbers, sender_environment, worker_environment
from streamer.demo.summary import problems, summary, wrapped
from streamer.language.definitions import load_definitions
from streamer.language.lint.linter import lint
from streamer.language.message_specs import Quiet
from streamer.messages.quiet_hours import quiet_until
from streamer.segments.library import library_path
from streamer.sender.template_check import template_faults
from streamer.settings import Settings
from streamer.telemetry.metrics import Metrics


def test_the_rules_in_seconds_stand_beside_the_library() -> None:
    """A name that both use would keep the demo from starting."""
    both = load_definitions(library_path(), traffic.SEGMENTS)
    ours = [name for name, _ in traffic.our_segments()]
    assert len(both.segments) == len(ours) + len(traffic.library_segments())
    assert all(name.startswith(PREFIX) for name in ours)
    assert ours[0] == CART_LEFT  # the most interesting one stands first on the screen
    assert lint(load_definitions(traffic.SEGMENTS)) == []


def test_the_messages_fit_their_segments_and_templates(tmp_path: Path) -> None:
    """A template that needs a fact that no message has would fail at each mail, and a rule that never holds shows nothing."""
    written = tmp_path / "messages.yaml"
    written.write_text(traffic.messages_now(OPENED_MS))
    found = load_definitions(traffic.SEGMENTS, written)
    assert lint(found) == []
    assert list(template_faults(found, TEMPLATES)) == []
    assert all(one.name.startswith(PREFIX) for one in found.messages)
    assert {one.kind for one in found.messages} == {"marketing", "transactional"}
    load_definitions(library_path(), traffic.SEGMENTS, written)  # no name is there twice


@pytest.mark.parametrize(("at", "hours"), [(OPENED_MS, "22:43-07:43"), (OPENED_MS + 3_600_000 * 8, "06:43-15:43")])
def test_quiet_hours_hold_in_berlin_whenever_it_runs_and_not_in_london(at: int, hours: str) -> None:
    """Most are held, some are not, and the screen says where."""
    assert traffic.QUIET_WRITTEN in traffic.MESSAGES.read_text()
    assert f'quiet: "{hours}"' in traffic.messages_now(at)
    quiet = Quiet(*(60 * int(part[:2]) + int(part[3:]) for part in hours.split("-")))
    assert quiet_until(quiet, at, ZoneInfo("Europe/Berlin")) is not None
    assert quiet_until(quiet, at, ZoneInfo("Europe/London")) is None


def test_the_sender_is_given_a_mailbox_and_none_of_our_settings() -> None:
    """A shell that knows a real mail server must not make the demo write to people."""
    settings = Settings.model_construct(kafka="127.0.0.1:1", shards=6, sender_web_port=8)
    ours = {"STREAMER_SMTP_HOST": "mail.shop", "STREAMER_SMTP_USERNAME": "shop", "STREAMER_SENDER_WEBHOOK": "https://provider.example"}
    found = sender_environment(settings, ours, Path("/tmp/demo"), 25_025)  # noqa: S108 - it is not opened
    assert (found["STREAMER_SMTP_HOST"], found["STREAMER_SMTP_PORT"]) == ("127.0.0.1", "25025")
    assert {"STREAMER_SMTP_USERNAME", "STREAMER_SENDER_WEBHOOK"}.isdisjoint(found)
    assert found["STREAMER_TRANSACTIONS"] == "false"


def test_the_worker_gets_the_demos_settings_and_nobody_elses() -> None:
    """A shell that points to the real Kafka of a shop must not make the demo write there."""
    settings = Settings.model_construct(kafka="127.0.0.1:1", shards=6, web_port=7)
    ours = {"PATH": "/bin", "STREAMER_KAFKA": "kafka.shop:9092", "STREAMER_CONFIG": "/etc/shop.toml", "STREAMER_KAFKA_USERNAME": "shop"}
    found = worker_environment(settings, ours, Path("/tmp/demo"))  # noqa: S108 - it is not opened
    assert found["PATH"] == "/bin"
    assert found["STREAMER_KAFKA"] == "127.0.0.1:1"
    assert {"STREAMER_CONFIG", "STREAMER_KAFKA_USERNAME"}.isdisjoint(found)
    assert found["TMPDIR"] == "/tmp/demo"  # noqa: S108


def test_the_figures_are_read_from_the_metrics_as_the_worker_writes_them() -> None:
    """A metric that is renamed would show as nothing, for ever."""
    metrics = Metrics()
    metrics.count({"accepted": 5, "duplicate": 2, "late": 1})
    metrics.show_state(0, "owned")
    metrics.show_state(1, "waiting")
    metrics.lag.labels(0).set(3)
    metrics.lag.labels(1).set(4)
    metrics.show_members({"demo_new": 9})
    assert parse_numbers(metrics.text().decode()) == Numbers(5, 2, 1, lag=7, owned=1, members={"demo_new": 9})


def _seen(seconds: float, numbers: Numbers) -> Seen:
    seen = Seen(OPENED_MS)
    seen.note_sent([event("mila", "Product Added", at=100)], OPENED_MS + round(1_000 * seconds))
    seen.note_numbers(numbers)
    return seen


def test_a_run_that_showed_it_all_has_no_problems() -> None:
    """Exit code 0."""
    seen = seen_after_twelve_seconds()
    assert problems(seen) == []
    seen.note_sent([], OPENED_MS + 60_000)
    assert problems(seen) == []


@pytest.mark.parametrize(
    ("seconds", "numbers", "why"),
    [
        (16, Numbers(accepted=1), "nobody was seen entering and leaving"),
        (16, Numbers(accepted=1), "no mail arrived"),
        (3, Numbers(accepted=1), "not one segment change came back"),
        (3, Numbers(refused=1), "1 of the simulated events were refused"),
        (3, Numbers(), "1 events were sent, the worker counts 0 accepted"),
    ],
)
def test_a_run_that_did_not_show_it_says_what_was_missing(seconds: float, numbers: Numbers, why: str) -> None:
    """Exit code 1 without a reason would be a riddle."""
    assert any(why in problem for problem in problems(_seen(seconds, numbers)))


def test_a_short_run_need_not_have_shown_it() -> None:
    """Nobody can leave a cart for eight seconds in three."""
    seen = _seen(3, Numbers(accepted=1))
    seen.note_change(change("mila", at=200), OPENED_MS + 210)
    assert problems(seen) == []


def test_the_summary_names_who_moved_while_nothing_happened() -> None:
    """The one line to remember."""
    text = "\n".join(summary(seen_after_twelve_seconds(), FACTS))
    assert "mila-017 entered demo_cart_left at 22:13:23.100 and left it at 22:13:28.100: no event, only time passed" in text
    assert "2,601 sent: 2,590 accepted, 11 repeated, 0 refused" in text
    assert "demo_cart_left 41" in text
    assert "active 1,204" in text


def test_the_summary_fits_into_a_terminal() -> None:
    """Words broken in the middle are hard to read."""
    lines = wrapped(summary(seen_after_twelve_seconds(), FACTS), 80)
    assert max(map(len, lines)) <= 80
    assert " ".join(line.strip() for line in lines).split() == " ".join(summary(seen_after_twelve_seconds(), FACTS)).split()
