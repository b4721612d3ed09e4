"""What a view is: a path, a template of the same name, and the facts that the template shows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from streamer.server.tokens import Role

from .visitors import PageVisitor
from .wording import Wording

ViewFacts = Mapping[str, object]


class ViewQuestion(NamedTuple):
    """What a visitor asks of a view. ``variable`` is the part of the path that differs, ``query`` the first text of each name."""

    variable: str
    query: Mapping[str, str]
    words: Wording


class SentForm(NamedTuple):
    """A form that was sent to a view, already known to be the visitor's own."""

    asked: ViewQuestion
    fields: Mapping[str, str]
    visitor: PageVisitor


class ViewOutcome(NamedTuple):
    """What came of it: where to go on, or the facts to show where it could not be done (with ``status``)."""

    to: str = ""
    facts: ViewFacts | None = None
    status: int = 200


class ViewFile(NamedTuple):
    """A file to keep, made while it is sent. ``name`` is plain ASCII; the bytes are JSON."""

    name: str
    pieces: AsyncGenerator[bytes]


class ViewDocument(NamedTuple):
    """HTML that somebody else wrote, to be looked at in a frame in which nothing of it runs and nothing is fetched."""

    html: str


@dataclass(frozen=True, slots=True)
class PageView:
    """A view. ``path`` is as ``/segments/{segment}``.

    ``show`` gives the facts for ``templates/NAME.html``, a file, a document, or says where to go on; AnswerError and errors of the store
    become pages of their own. ``live_seconds``: how often those who look see the block ``live`` of the template anew; 0: never. What is in
    that block is the same for all visitors of a language, so it has no form. ``act`` takes what a form sends, from whoever has the role
    ``act_role``.
    ``is_in_menu``: the text ``NAME.title`` leads here from every page.
    """

    name: str
    path: str
    show: Callable[[ViewQuestion], Awaitable[ViewFacts | ViewOutcome | ViewFile | ViewDocument]]
    role: Role = "read"
    live_seconds: float = 0.0
    is_in_menu: bool = False
    act: Callable[[SentForm], Awaitable[ViewOutcome]] | None = None
    act_role: Role = "write"


class FoundView(NamedTuple):
    """A view and what stands in the variable part of the path, percent-encoded as it came."""

    view: PageView
    variable: str


class Views:
    """All views, found by their paths."""

    def __init__(self, views: Sequence[PageView]) -> None:
        self.all: Final = tuple(views)
        self._by_length: dict[int, list[tuple[Sequence[str | None], PageView]]] = {}
        for view in views:
            parts = [None if part.startswith("{") else part for part in _parts(view.path)]
            self._by_length.setdefault(len(parts), []).append((parts, view))

    def find(self, raw_path: str) -> FoundView | None:
        """The view of a path without its query; None where there is none. What is written out goes before what is variable."""
        parts, best = _parts(raw_path), None
        for wanted, view in self._by_length.get(len(parts), ()):
            pairs = list(zip(wanted, parts, strict=True))
            if all(part if one is None else one == part for one, part in pairs):
                variable = next((part for one, part in pairs if one is None), "")
                if best is None or not variable:
                    best = FoundView(view, variable)
        return best


def _parts(path: str) -> list[str]:
    return path.removeprefix("/").split("/")


__all__ = ["FoundView", "PageView", "SentForm", "ViewDocument", "ViewFacts", "ViewFile", "ViewOutcome", "ViewQuestion", "Views"]
