"""What the server knows of the page for people: it answers the paths that are not of the API, and is made of what the API is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from aiohttp import web

from streamer.settings import Settings
from streamer.stores.base import Store

from .customer_answers import LogEndsSeen
from .feed import Feed
from .tokens import Tokens

if TYPE_CHECKING:
    from .server import Answers


class PageDoor(Protocol):
    """The page. ``run`` is its work in the background, until cancelled; ``close`` has those who look end."""

    async def handle(self, request: web.BaseRequest, tokens: Callable[[], Tokens]) -> web.StreamResponse:
        """The answer to a request; ``tokens`` are those of the moment."""
        ...

    async def run(self) -> None:
        """Follow what is shown."""
        ...

    def close(self) -> None:
        """Nothing more is shown."""
        ...


class PageParts(NamedTuple):
    """What a page is made of."""

    settings: Settings
    store: Store
    answers: Answers
    ends: LogEndsSeen
    feed: Feed
    now_ms: Callable[[], int]


MakePage = Callable[[PageParts], PageDoor]
