"""The clients that shops already have, as their makers ship them: what each believes delivered is in the log, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest

from streamer.settings import Settings
from tests.clients.outcomes import CLIENTS, PROGRAMS, Client, Outcome
from tests.clients.way import RETRY_AFTER_S, SLOW_S, TIMES, Fault, Passed

TWO_ROUNDS = 6
EARLY_S = 0.1  # a timer may be a little early, and a wait counts from when the answer came


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def runs(request: pytest.FixtureRequest, shop_log: Settings) -> dict[Fault, Outcome]:
    """The runs of a client, by what went wrong; it did go wrong in each. ``shop_log`` keeps them all in one process."""
    client: Client = request.param
    found: Sequence[Outcome] | BaseException = request.getfixturevalue("of_programs" if client in PROGRAMS else "of_pages")[client]
    if isinstance(found, BaseException):
        raise found
    for outcome in found:
        assert len(outcome.met) == TIMES.get(outcome.fault, 1), f"{outcome.fault} came {len(outcome.met)} times: {outcome.passed}"
        assert len(outcome.told.delivered | outcome.told.failed) >= TWO_ROUNDS, outcome
    return {outcome.fault: outcome for outcome in found}


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_the_log_holds_what_the_client_believes_delivered(runs: dict[Fault, Outcome], fault: Fault) -> None:
    """The one promise of the collector, seen by those to whom it is made. Besides, the log may hold only what lost its answer."""
    outcome = runs[fault]
    believed, logged = outcome.told.delivered, outcome.logged.keys()
    lost_its_answer = ids(request for request in outcome.met if request.arrived and not request.status)
    assert logged - believed <= lost_its_answer
    if outcome.client.sees_answers:
        assert believed <= logged
    else:  # nobody can tell a beacon what became of it; nothing else may get lost
        assert believed - logged == ids(request for request in outcome.met if not request.arrived)


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.SLOW], ids=lambda fault: fault.name.lower())
def test_without_a_fault_or_only_slowly_everything_comes_once(runs: dict[Fault, Outcome], fault: Fault) -> None:
    """An answer that the client did not recognise as a success would make it send again, and the log would grow for nothing."""
    outcome = runs[fault]
    assert outcome.told.failed == frozenset()
    assert set(outcome.logged.values()) == {1}
    assert all(request.status == 200 for request in outcome.passed)


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.RESET], ids=lambda fault: fault.name.lower())
def test_what_could_not_be_taken_now_comes_again(runs: dict[Fault, Outcome], fault: Fault) -> None:
    """429 and a broken connection lose nothing with clients that repeat; one that does not says what it lost."""
    outcome = runs[fault]
    if outcome.client.repeats:
        assert outcome.told.failed == frozenset()
    elif outcome.client.sees_answers:
        assert outcome.told.failed == ids(outcome.met)


@pytest.mark.parametrize("runs", [client for client in CLIENTS if client.waits], indirect=True, ids=lambda client: client.name)
def test_a_client_that_is_told_when_to_come_again_waits(runs: dict[Fault, Outcome]) -> None:
    """In a browser this needs a header that allows it to read the other one; without it the client comes back at once, again and again."""
    outcome = runs[Fault.BUSY]
    (turned_away,) = outcome.met
    again = next(request for request in outcome.passed if request.ids & turned_away.ids and not request.wrong)
    assert again.at_s - turned_away.at_s >= RETRY_AFTER_S - EARLY_S


@pytest.mark.parametrize("fault", [Fault.TOO_LARGE, Fault.BROKEN_GZIP], ids=lambda fault: fault.name.lower())
def test_what_is_refused_for_good_is_not_sent_again(runs: dict[Fault, Outcome], fault: Fault) -> None:
    """A client that took it for a passing trouble would send the same body for ever, and all behind it would wait."""
    outcome = runs[fault]
    (refused,) = outcome.met
    assert refused.status == (outcome.client.too_large if fault is Fault.TOO_LARGE else 400)
    again = [request for request in outcome.passed if request.ids & refused.ids and not request.wrong]
    assert again == []
    if outcome.client.sees_answers:
        assert outcome.told.failed == refused.ids


def test_a_slow_way_was_slow(runs: dict[Fault, Outcome]) -> None:
    """Otherwise the others prove nothing of it."""
    (slow,) = runs[Fault.SLOW].met
    assert slow.took_s >= SLOW_S - EARLY_S


def ids(requests: Iterable[Passed]) -> frozenset[str]:
    """The ids in some requests."""
    return frozenset(name for request in requests for name in request.ids)
