"""Events for Hypothesis: right ones, and ones that are nearly right, as decoded JSON."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

KINDS = ["track", "identify", "page", "screen", "group", "alias"]

letters = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | letters
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(letters, inner, max_size=3), max_leaves=8)
objects = st.dictionaries(letters, values, max_size=4)
ids = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=20)
timestamps = (
    st.integers(0, 10**8 - 1)
    | st.integers(10**11, 253_402_300_799_999)
    | st.builds(
        "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}".format,
        st.integers(1970, 9999),
        st.integers(1, 12),
        st.integers(1, 31),
        st.sampled_from("Tt "),
        st.integers(0, 23),
        st.integers(0, 59),
        st.integers(0, 59),
        st.sampled_from(["", ".0", ".387", ".123456789"]),
        st.sampled_from(["Z", "z", "+01:00", "-0930", "+23:59"]),
    )
)

right: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS), "event": ids, "messageId": ids, "userId": ids, "timestamp": timestamps},
    optional={"anonymousId": ids, "properties": objects, "traits": objects, "context": objects},
)

odd_texts = st.sampled_from(
    ["", " ", "\n", "a\x00b", "c\x7f", "d\x85", "e\u2028", "\u00a0", "x" * 256, "x" * 257, "é" * 256, "Track", "track", "2026-02-23"]
)
odd_moments = st.sampled_from(
    [
        "2026-02-23T22:28:55",
        "2026-02-23T22:28Z",
        "2026-2-3T22:28:55Z",
        "2026-13-01T00:00:00Z",
        "2026-01-32T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2016-12-31T23:59:60Z",
        "2016-12-31T18:59:60.5-05:00",
        "2016-12-31T23:59:61Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01:60",
        "2026-01-01T00:00:00.Z",
        "2026-01-01_00:00:00Z",
        "1969-12-31T23:59:59Z",
        "02026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        " 2026-01-01T00:00:00Z",
        "٢٠٢٦-01-01T00:00:00Z",
    ]
)
odd_numbers = st.sampled_from(
    [0, -1, 1.0, 0.5, -0.0, 1e300, 253_402_300_799_999, 253_402_300_800_000, 253_402_300_799_999.0, 17, 10**8, 10**11, 1_772_359_200.5]
)
odd = odd_texts | odd_moments | odd_numbers | scalars | st.just([]) | objects | timestamps


@st.composite
def nearly_right(draw: st.DrawFn) -> dict[str, Any]:
    """A right event with up to three fields taken away or replaced by something odd."""
    event = dict(draw(right))
    fields = ["type", "event", "messageId", "userId", "anonymousId", "timestamp", "properties", "traits", "context", "foreign"]
    for field in draw(st.lists(st.sampled_from(fields), max_size=3)):
        if draw(st.booleans()):
            event.pop(field, None)
        else:
            event[field] = draw(odd)
    return event
