"""Names of events and traits that definitions ask for and the events at hand do not have, though they have nearly the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from typing import Final

from streamer.language import tree
from streamer.language.definitions import Definitions
from streamer.language.lint.event_names import KNOWN_EVENTS, one_letter_apart
from streamer.language.lint.message_rules import listened_names
from streamer.language.references import nodes
from streamer.suggest import nearest

CLOSE: Final = 0.88  # of difflib's ratio: "Product Aded" is "Product Added" (0.96); "Product List Viewed" is not "Product Viewed" (0.85)
SHORT_CHARS: Final = 4  # shorter names of traits are one letter from many others


def suggest_event_names(definitions: Definitions, there: set[str]) -> Iterator[str]:
    """A sentence for each listened name that is not among the names ``there`` and was probably meant to be one of them."""
    by_plain = {_plain(name): name for name in sorted(there, reverse=True)}
    for name, segment in _listened(definitions).items():
        close = None if name in there or name.endswith("*") else nearest(_plain(name), by_plain, likeness=CLOSE)
        if close is not None and not (name in KNOWN_EVENTS and by_plain[close] in KNOWN_EVENTS):  # both are names of their own
            yield f'{segment} listens to "{name}", which no event here is called; is "{by_plain[close]}" meant?'


def suggest_trait_names(definitions: Definitions, there: set[str]) -> Iterator[str]:
    """The same of traits. A trait that nobody has is missing for everybody: an address, say."""
    by_plain = {_plain(name): name for name in sorted(there, reverse=True)}
    for name, about in _read(definitions).items():
        close = None if name in there else _nearest_trait(_plain(name), by_plain)
        if close is not None:
            yield f'{about} reads the trait "{name}", which no event here has; is "{by_plain[close]}" meant?'


def _nearest_trait(name: str, there: Collection[str]) -> str | None:
    """Also one letter away: names of traits are short."""
    close = nearest(name, there, likeness=CLOSE)
    if close is None and len(name) >= SHORT_CHARS:
        return next((known for known in sorted(there) if one_letter_apart(name, known)), None)
    return close


def _read(definitions: Definitions) -> dict[str, str]:
    """The first name of each trait's path, and the first segment or message that reads it."""
    segments = ((segment.name, segment.conditions) for segment in definitions.segments)
    messages = ((f"message {message.name}", message.expressions) for message in definitions.messages)
    found: dict[str, str] = {}
    for about, expressions in chain[tuple[str, Iterator[tree.Expression]]](segments, messages):
        for root in expressions:
            for node in nodes(root):
                if isinstance(node, tree.Trait):
                    found.setdefault(node.path[0], about)
    return found


def _listened(definitions: Definitions) -> dict[str, str]:
    """Each name, and the first segment or message that listens to it."""
    found: dict[str, str] = {}
    for segment in definitions.segments:
        for condition in segment.conditions:
            for node in nodes(condition):
                if isinstance(node, tree.Events):
                    found |= {name: segment.name for name in node.names if name not in found}
    for message in definitions.messages:
        found |= {name: f"message {message.name}" for name in listened_names(message) if name not in found}
    return found


def _plain(name: str) -> str:
    """Without what differs between ways of writing: ``product_added`` is ``Product Added``, ``firstName`` nearly ``first_name``."""
    return name.lower().replace("_", " ").replace("-", " ")
