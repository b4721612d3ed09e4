"""More predicates over one memory than an integer of MessagePack has bits."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.customers.state import State, decode_state, encode_state
from streamer.customers.truth_words import in_words, of_words
from streamer.language.definitions import parse_definitions
from streamer.segments.change import decode_change
from tests.unit.messages.desk import event, outputs, traits

SOME: Final = st.integers(0, 1 << 300) | st.sampled_from([0, 1, (1 << 64) - 1, 1 << 64, 1 << 128])


@settings(max_examples=200, derandomize=True)
@given(st.dictionaries(st.integers(0, 70_000), SOME))
def test_truths_in_words_are_the_same_truths(truth_bits: dict[int, int]) -> None:
    """Whatever holds, and in a state's own bytes too."""
    words = in_words(truth_bits)
    assert of_words(words) == truth_bits
    assert all(0 <= word < 1 << 64 for word in words.values())
    assert decode_state(encode_state(State(1, truth_bits=dict(truth_bits)))).truth_bits == truth_bits


@pytest.mark.parametrize("number", [64, 65, 129, 400])
def test_so_many_segments_may_ask_about_the_same_thing(number: int) -> None:
    """65 segments over one trait, or over windows of one event, made a dead letter of every event that fed it: the state had no bytes."""
    windows = [f"""  w{at:03d}: {{for: x, when: 'count("A", within="{at + 1}h") >= 1'}}""" for at in range(number)]
    countries = [f"""  c{at:03d}: {{for: x, when: 'trait("country") == "{at}"'}}""" for at in range(number)]
    rules = parse_definitions("\n".join(["segments:", *windows, *countries, '  other: {for: x, when: \'trait("country") != "1"\'}']))
    log = [event("01T10:00", "A"), traits("01T11:30", country=str(number - 1)), traits("01T11:40", country="1")]
    changes = [decode_change(one.output.value) for one in outputs(rules, log, "30T10:00")]
    assert Counter((one.data.segment[0], one.type) for one in changes) == {
        ("w", "segment.entered"): number,
        ("w", "segment.exited"): number,
        ("c", "segment.entered"): 2,
        ("c", "segment.exited"): 1,
        ("o", "segment.entered"): 1,
        ("o", "segment.exited"): 1,
    }
    left = [(one.data.segment, one.time[8:19]) for one in changes if one.type == "segment.exited" and one.data.segment.startswith("w")]
    assert left[0] == ("w000", "01T11:00:00")
    assert [name for name, _ in left] == [f"w{at:03d}" for at in range(number)], "each at its own hour"
