"""Positions and cursors come back from clients, whole or not: whatever comes is taken or refused, and is never an error of ours."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import MultiDict

from streamer.server.cursors import cursor_text
from streamer.server.errors import AnswerError
from streamer.server.member_answers import Cursor, read_cursor
from streamer.server.parameters import min_position_of
from streamer.server.stream_position import read_stream_position
from streamer.stores.buckets import BUCKETS

SHARDS = 3
PARTS = st.text(st.sampled_from("0123456789:.,- -_=é\x00"), max_size=60)
TEXTS = st.text(max_size=60) | PARTS


@given(TEXTS)
@example("0:1,1:1,2:" + "9" * 18)
@example("0:1,1:1,2:" + "9" * 19)
@example("0:1,1:1,2:1.1.1.1,3:1")
@example("٠:1,1:1,2:1")
def test_an_id_of_a_stream_is_read_back_as_it_was_or_refused(text: str) -> None:
    """Digits of other scripts are digits for Python, and would come back as another text."""
    with suppress(AnswerError):
        found = read_stream_position(text, SHARDS)
        assert len(found.shards) == SHARDS
        assert read_stream_position(found.text(), SHARDS).shards == found.shards


@given(TEXTS)
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    """Whatever a cursor leads to is within the store."""
    with suppress(AnswerError):
        found = read_cursor(text, 1, "buyer", SHARDS)
        assert (found.generation, found.segment) == (1, "buyer")
        assert 0 <= found.shard < SHARDS
        assert 0 <= found.bucket < BUCKETS


@given(st.builds(Cursor, st.integers(-1, 2**63), st.text(max_size=9), st.integers(-9, 9), st.integers(-9, 99), st.text(max_size=300)))
def test_a_cursor_that_was_put_together_by_hand_leads_nowhere_else(cursor: Cursor) -> None:
    """It is no secret how one is made."""
    with suppress(AnswerError):
        assert read_cursor(cursor_text(cursor), 1, "buyer", SHARDS) == cursor
        assert 0 <= cursor.shard < SHARDS
        assert 0 <= cursor.bucket < BUCKETS


@pytest.mark.parametrize("text", ["1:1\n", "1:-1", "1:1:1", "१:1", "1:" + "9" * 19, "1: 1", ""])
def test_a_position_that_is_none_is_refused(text: str) -> None:
    """Only digits as they stand in ASCII, and no more of them than an offset has."""
    with pytest.raises(AnswerError) as caught:
        min_position_of(MultiDict({"min_position": text}), 1)
    assert caught.value.body.path == "query.min_position"
