"""Which records of models count in a preview: what publishing would make of a segment that asks them."""

from __future__ import annotations

import pytest

from streamer.examples import ModelSpec
from streamer.flow.replay import Arrival
from streamer.language.definitions import parse_definitions
from streamer.previews.telling import AskedModel, means_something, models_that_go_on
from streamer.wire import Control, encode_control, model_control, withdraw_control

FORMER = ModelSpec("odd", "unusual")
TEXT = """
models:
  odd: {{kind: unusual, edition: {edition}}}
segments:
  strange: {{for: a test, when: 'score("odd") > 0.5'}}
"""


def counts(record: bytes, offset: int, edition: int) -> bool:
    """Whether a record at an offset counts where the first edition holds since the offset 10, and this one is previewed."""
    since = models_that_go_on([AskedModel(FORMER, 10)], parse_definitions(TEXT.format(edition=edition)))
    return means_something(Arrival(offset, 0, record, "0", control=True), since)


@pytest.mark.parametrize("record", [model_control("odd", b"{}", "aa", 1), withdraw_control("odd", 1)], ids=["model", "withdraw"])
def test_what_a_model_said_counts_from_where_it_came_and_for_that_model_alone(record: bytes) -> None:
    """Of another edition nobody was scored yet, and what bore the name before was another model."""
    assert counts(record, 11, edition=1)
    assert not counts(record, 9, edition=1)
    assert not counts(record, 11, edition=2)


def test_other_records_mean_the_same_under_all_definitions() -> None:
    """Who is erased is erased."""
    assert counts(encode_control(Control("erase", customer="ada")), 1, edition=2)
