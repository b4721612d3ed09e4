"""Messages to people who go by several ids: the step says exactly what the oracle says, wherever links and pasts are on their way."""

from __future__ import annotations

from collections import Counter

from hypothesis import given

from streamer.messages.decision import REASONS
from tests.property.effort import WANTED, effort
from tests.property.judged import DifferenceError, judged
from tests.property.message_persons import busy_history, message_histories
from tests.property.persons import History


@given(history=message_histories())
@effort(0.5)
def test_what_is_decided_of_persons_is_what_the_oracle_says(history: History) -> None:
    """Under any definitions."""
    judged(history)


def test_what_waits_ends_with_an_old_id_and_what_was_sent_goes_along() -> None:
    """Of people who are written to often: each way in which a decision can end comes up, and little is in doubt."""
    met: Counter[str] = Counter()
    for seed in range(WANTED):
        try:
            met += judged(busy_history(seed))
        except DifferenceError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    missing = {*REASONS, "send", "lifted", "adopted across a switch", "places joined"} - met.keys()
    assert not missing, met
    assert met["in doubt"] < met["compared"] / 20, met
