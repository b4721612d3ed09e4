"""Ids are joined over two shards while models serve: scores, and who is in what asks them, are those of one person all the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.property.born_old_town import always, is_switch, played, switched_histories
from tests.property.effort import effort
from tests.property.persons import Act, History
from tests.property.scored import ASKING, MODELS, asked, scrambled, with_asking
from tests.property.test_born_old_persons import QuietTown, everybody, merges


@pytest.fixture(autouse=True)
def models() -> Iterator[None]:
    with scrambled():
        yield


@st.composite
def scored_histories(draw: st.DrawFn) -> History:
    """A history whose definitions change, with the same models under all of them, and scorers anywhere."""
    history, acts, served = draw(switched_histories()), list[Act](), dict.fromkeys(MODELS, 0)
    for act in history.acts:
        for model in draw(st.lists(st.sampled_from(sorted(MODELS)), max_size=1)):
            served[model] += 1
            serves = {"control": "model", "model": model, "kind": MODELS[model]["kind"], "version": served[model]}
            acts.append(Act(act.at_ms, serves, draw(st.integers(0, 7))))
        body: dict[str, Any] = act.body or {}
        if is_switch(act):
            body = {**body, "definitions": with_asking(body["definitions"], draw(asked), MODELS)}
        acts.append(replace(act, body=body) if is_switch(act) else act)
    return replace(history, definitions=with_asking(history.definitions, draw(asked), MODELS), acts=tuple(acts))


def test_who_was_joined_before_the_definitions_has_the_scores_of_one_person() -> None:
    """By the profile of all their ids, drained and adopted long ago in other shards."""
    met: Counter[str] = Counter()

    @given(history=scored_histories())
    @effort(0.15)
    def holds(history: History) -> None:
        (town, lanes), (other, _) = played(history, QuietTown), played(always(history), QuietTown)
        assert everybody(town) == everybody(other)
        met["folds"] += lanes.folds
        met["merges"] += merges(town) * bool(lanes.folds)
        met["asked"] += sum(name in ASKING for one in everybody(town).values() for name in one.inside) * bool(lanes.folds)

    holds()
    assert {"folds", "merges", "asked"} == set(+met), met
