"""A page as Segment's SDKs describe one: address, title, where the visitor came from, and the parts of the address that rules ask for."""

from __future__ import annotations

from urllib.parse import urlsplit

from streamer.events.adapters.fields import without_empty


def page_of(url: object, title: object, referrer: object) -> dict[str, object]:
    """``url``, ``title``, ``referrer``, ``path`` and ``search``, as far as they are there.

    >>> page_of("https://shop.example.org/p/1?x=1", "Shoe", None)
    {'url': 'https://shop.example.org/p/1?x=1', 'title': 'Shoe', 'path': '/p/1', 'search': '?x=1'}
    """
    path, search = _parts(url) if isinstance(url, str) else ("", "")
    return without_empty({"url": url, "title": title, "referrer": referrer, "path": path, "search": search})


def _parts(url: str) -> tuple[str, str]:
    try:
        found = urlsplit(url)
    except ValueError:  # an address in brackets that is none
        return "", ""
    return found.path, f"?{found.query}" if found.query else ""
