"""Whereto signed links may lead. A link of ours says that the shop stands behind it, and an address in an event is anybody's: whoever has a
browser key can put one into a basket. So a link leads to hosts that the operator wrote down, and to no other."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

ADDRESS: Final = re.compile(r"https?://([\w.-]{1,253})(?::[0-9]{1,5})?(?:[/?#][^\s\x00-\x1f\x7f-\x9f\\]*)?", re.IGNORECASE)
"""Without a name or password before the host, and without ``\\``: on what these mean programs and browsers differ."""

LITERAL: Final = re.compile(r"https?://([\w.-]{1,253})(?![\w.@{-])", re.IGNORECASE)
ANY_BELOW: Final = "*."


class LinkHosts:
    """Hosts by name, ``*.shop.example`` for all below one. They are compared as they are written, but for the case: nothing is translated
    that a browser might translate otherwise."""

    def __init__(self, names: Collection[str]) -> None:
        lower = [name.lower() for name in names]
        self._exact = frozenset(name for name in lower if not name.startswith(ANY_BELOW))
        self._below = tuple(name.removeprefix("*") for name in lower if name.startswith(ANY_BELOW))

    def allow(self, url: str) -> bool:
        """Whether a link may lead to this address, which ``ADDRESS`` matches."""
        found = ADDRESS.fullmatch(url)
        host = "" if found is None else found[1].lower()
        return host in self._exact or (bool(host) and host.endswith(self._below))


def literal_hosts(source: str) -> Iterator[str]:
    """The hosts of addresses that stand in a template as they are.

    >>> [*literal_hosts('{{ "https://shop.example/a" | link }} http://{{ host }}/ https://x.{{ host }} https://me@evil.example')]
    ['shop.example']
    """
    yield from (found[1] for found in LITERAL.finditer(source))


__all__ = ["ADDRESS", "LinkHosts", "literal_hosts"]
