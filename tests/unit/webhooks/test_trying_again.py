"""When an endpoint is tried again: the schedule, the circuit, and what an answer asks for."""

from __future__ import annotations

import pytest

from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from streamer.webhooks.circuit import DISABLE_MS, FAILURES_MAX, PROBE_FIRST_MS, PROBE_MAX_MS, Circuit
from streamer.webhooks.schedule import ATTEMPTS_MAX, retry_after_ms, wait_ms


def opened(now_ms: int) -> Circuit:
    circuit = Circuit()
    for _ in range(FAILURES_MAX):
        assert circuit.wait_ms(now_ms) == 0
        circuit.failed(now_ms, is_probe=circuit.begin())
    return circuit


def test_the_schedule_is_that_of_standard_webhooks_and_takes_three_days() -> None:
    """0 s, 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 hours; the tenth attempt is the last."""
    waits = [wait_ms(attempt, 0.0) for attempt in range(1, ATTEMPTS_MAX + 1)]
    assert waits[-1] is None
    assert sum(wait for wait in waits if wait is not None) == pytest.approx(75.6 * HOUR_MS, rel=0.01)
    assert 3 * DAY_MS < sum(wait for wait in waits if wait is not None) < 4 * DAY_MS


def test_jitter_only_makes_a_wait_longer() -> None:
    """A receiver that publishes the schedule may rely on it."""
    for attempt in range(1, ATTEMPTS_MAX):
        short, long = wait_ms(attempt, 0.0), wait_ms(attempt, 1.0)
        assert short is not None
        assert long is not None
        assert short < long <= 1.11 * short


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("3", 3_000),
        ("0", 0),
        ("86400", HOUR_MS),
        ("-1", None),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 30_000),
        ("Wed, 31 Dec 1969 00:00:00 GMT", 0),
    ],
)
def test_retry_after_is_obeyed_up_to_an_hour(said: str, expected: int | None) -> None:
    """Seconds or a date; what cannot be read says nothing."""
    assert retry_after_ms({"Retry-After": said}, 0) == expected


def test_ten_failures_in_a_row_open_the_circuit_and_one_success_closes_it() -> None:
    """An endpoint that is away gets one probe at a time, not everybody's retries."""
    circuit = opened(1_000)
    assert circuit.is_open
    assert circuit.wait_ms(1_000) == PROBE_FIRST_MS
    assert circuit.wait_ms(1_000 + PROBE_FIRST_MS) == 0
    assert circuit.begin()
    assert circuit.wait_ms(1_000 + PROBE_FIRST_MS) is None, "a second attempt beside the probe"
    circuit.succeeded()
    assert not circuit.is_open
    assert circuit.wait_ms(1_000 + PROBE_FIRST_MS) == 0
    assert circuit.failing_since_ms == 0


def test_failures_between_successes_open_nothing() -> None:
    """One customer whose change is refused is no reason to hold up all others."""
    circuit = Circuit()
    for now_ms in range(100 * FAILURES_MAX):
        circuit.failed(now_ms, is_probe=circuit.begin())
        if now_ms % (FAILURES_MAX - 1) == 0:
            circuit.succeeded()
        assert not circuit.is_open


def test_one_change_that_is_refused_again_and_again_opens_nothing() -> None:
    """Where little happens its retries would come in a row."""
    circuit = Circuit()
    for attempt in range(3 * FAILURES_MAX):
        circuit.failed(attempt, is_probe=circuit.begin(), is_first=attempt == 0)
    assert not circuit.is_open


def test_probes_come_less_and_less_often_up_to_ten_minutes() -> None:
    """30 s, 1 min, 2 min, …"""
    circuit, now_ms, waits = opened(0), 0, list[int]()
    for _ in range(7):
        wait = circuit.wait_ms(now_ms)
        assert wait is not None
        waits.append(wait)
        now_ms += wait
        circuit.failed(now_ms, is_probe=circuit.begin())
    assert waits[:3] == [30 * SECOND_MS, MINUTE_MS, 2 * MINUTE_MS]
    assert waits[-1] == PROBE_MAX_MS == 10 * MINUTE_MS


def test_a_probe_that_is_abandoned_makes_room_for_the_next() -> None:
    """Its shard went to another process in the middle: without this nobody would ever try again."""
    circuit = opened(0)
    is_probe = circuit.begin()
    circuit.abandoned(is_probe=is_probe)
    assert circuit.wait_ms(PROBE_FIRST_MS) == 0


def test_an_endpoint_that_says_later_is_left_alone_and_is_not_away() -> None:
    """429 with Retry-After holds all lanes, and is no failure of the circuit."""
    circuit = Circuit()
    for _ in range(2 * FAILURES_MAX):
        circuit.begin()
        circuit.hold(5_000)
    assert not circuit.is_open
    assert circuit.wait_ms(2_000) == 3_000
    assert circuit.failing_since_ms == 0


def test_five_days_of_failures_are_hopeless_whichever_process_saw_them_begin() -> None:
    """A restart or a hand-over must not begin the five days anew; a success does."""
    circuit = Circuit()
    circuit.remember(1_000)
    assert not circuit.is_hopeless(DISABLE_MS)
    assert circuit.is_hopeless(DISABLE_MS + 1_000)
    circuit.succeeded()
    circuit.remember(1_000)
    assert not circuit.is_hopeless(DISABLE_MS + 1_000)
