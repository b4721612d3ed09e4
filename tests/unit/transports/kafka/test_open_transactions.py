"""An open transaction is named once it holds the log longer than transactions last."""

from __future__ import annotations

from streamer.transports.kafka.open_transactions import HELD_SECONDS, Held


def test_a_transaction_that_holds_the_log_too_long_is_named() -> None:
    """Nothing behind it is read, and without a word it looks as if nothing happened."""
    held = Held()
    held.see(20, 7, now=100.0)
    assert held.problem(100.0 + HELD_SECONDS) == ""
    held.see(40, 7, now=100.0 + HELD_SECONDS)
    assert "an open transaction holds the log at offset 7 for 11 s" in held.problem(101.0 + HELD_SECONDS)
    held.see(41, 41, now=102.0 + HELD_SECONDS)
    assert held.problem(200.0) == ""


def test_many_short_transactions_hold_nothing() -> None:
    """A busy sink has one open at every moment, each further on than the last."""
    held = Held()
    for second in range(60):
        held.see(100 + 10 * second, 95 + 10 * second, now=float(second))
        assert held.problem(float(second)) == ""


def test_a_broker_that_does_not_say_what_is_decided_holds_nothing() -> None:
    """Before the first fetch, and with brokers that know no transactions."""
    held = Held()
    for stable in (None, -1):
        held.see(20, stable, now=0.0)
        assert held.problem(1_000.0) == ""
