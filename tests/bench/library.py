"""The twenty segments of the library that are measured: the kinds that a shop has, one or two of each."""

from __future__ import annotations

import difflib

from streamer.errors import SettingsError
from streamer.language.definitions import Definitions, load_definitions
from streamer.segments.library import library_path

NAMES = (
    *("cart_left", "checkout_left", "looks_and_leaves", "compares"),  # what happens now
    *("new", "active", "repeat", "at_risk", "lapsed", "won_back"),  # the journey
    *("first_order", "recent_buyer", "loyal", "frequent_buyer", "big_spender", "high_basket"),  # recency, frequency, money
    *("interest_fashion", "mostly_shoes"),  # interests
    *("on_mobile", "speaks_german"),  # device and language
)


def twenty() -> Definitions:
    """Those, as the library has them today. SettingsError names one that it no longer has."""
    library = load_definitions(library_path())
    known = {segment.name for segment in library.segments}
    for name in NAMES:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise SettingsError(
                f"the library has no segment {name!r} any more{f' (did you mean {close[0]!r}?)' if close else ''}: mend NAMES"
            )
    return Definitions(tuple(segment for segment in library.segments if segment.name in NAMES), library.zone)
