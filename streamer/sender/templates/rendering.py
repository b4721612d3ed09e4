"""From a decision to what a person reads. A function of the decision, the templates and the keys of links, so a preview equals the mail."""

from __future__ import annotations

import re
from typing import Final

from liquid.exceptions import LiquidError, UndefinedError

from streamer.message_links import LinkKeys, LinkOf, Purpose
from streamer.sender.content import MessageContent
from streamer.sender.decision import SendDecision

from .filters import HOSTS, LANGUAGE, SIGN, ZONE
from .folder import Compiled, TemplateError, Templates, place_of
from .locales import direction_of

SUBJECT_CHARS_MAX: Final = 500
_BLANKS: Final = re.compile(r"[ \t]{2,}")
_WORD: Final = re.compile(r"\w+")
_BREAKS: Final = re.compile(r"[\r\n\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]")


def render(decision: SendDecision, templates: Templates, links: LinkKeys) -> MessageContent:
    """The message in the reader's language. TemplateError with the place where a template fails; it quotes no fact."""
    data = decision.data
    written = templates.find(data.template or data.message, data.language or "")
    direction = direction_of(written.language)

    def click_url(target: str) -> str:
        return links.url(link_of(decision, "click", target))

    given: dict[str, object] = {
        **data.facts,  # the names below are ours, whatever a fact is called
        "customer": decision.customer,
        "message": data.message,
        "variant": data.variant or "",
        "direction": direction,
        "unsubscribe_url": unsubscribe_url(decision, links),
        LANGUAGE: written.language,
        ZONE: data.zone or "",
        SIGN: click_url if links.can_sign else None,
        HOSTS: templates.hosts,
    }
    text = _render(written.text, given)
    if not text.strip():
        raise TemplateError(f"{written.text.template.name}: came out empty")
    html = "" if written.html is None else _render(written.html, given)
    return MessageContent(_subject(written.subject, given), text, html, written.language, direction)


def link_of(decision: SendDecision, purpose: Purpose, target: str = "") -> LinkOf:
    """What a link in the message of a decision says."""
    data = decision.data
    return LinkOf(purpose, decision.customer, data.message, data.key, data.channel, data.topic or "", data.variant or "", target)


def unsubscribe_url(decision: SendDecision, links: LinkKeys) -> str:
    """Where the reader takes back the consent to the message's topic; empty where links are not signed here."""
    return links.url(link_of(decision, "unsubscribe")) if links.can_sign else ""


def open_url(decision: SendDecision, links: LinkKeys) -> str:
    """Where the picture is by which an opening is counted; empty where links are not signed here."""
    return links.url(link_of(decision, "open")) if links.can_sign else ""


def report_token(decision: SendDecision, links: LinkKeys) -> str:
    """What says in a header of a mail whose it is; empty where links are not signed here."""
    return links.token(link_of(decision, "report")) if links.can_sign else ""


def _subject(part: Compiled, given: dict[str, object]) -> str:
    """One line: line breaks at the ends are the file's, one inside would begin another header."""
    found = _render(part, given).strip("\r\n\t ")
    if _BREAKS.search(found):
        raise TemplateError(f"{part.template.name}: a line break or control character in the subject")
    if not found or len(found) > SUBJECT_CHARS_MAX:
        raise TemplateError(f"{part.template.name}: expected 1 to {SUBJECT_CHARS_MAX} characters, found {len(found)}")
    return _BLANKS.sub(" ", found)


def _render(part: Compiled, given: dict[str, object]) -> str:
    try:
        return part.template.render(given)
    except LiquidError as error:
        error.template_name = error.template_name or part.template.name
        raise TemplateError(f"{place_of(error)}{_without_values(error)}") from None
    except (
        ValueError,
        TypeError,
        ArithmeticError,
        RecursionError,
        MemoryError,  # of one huge text or range, which no limit counts before it is made
        LookupError,
    ) as error:  # a filter of the library's that met what it cannot do
        raise TemplateError(f"{part.template.name}: {type(error).__name__} in a filter") from None


def _without_values(error: LiquidError) -> str:
    """What the library says, unless it may quote a fact: of a name that is looked up by a fact, and of a list's items, it does."""
    text = str(error.message)
    source = "" if error.token is None else error.token.source
    by_fact = isinstance(error, UndefinedError) and not all(word in source for word in _WORD.findall(text.removesuffix(" is undefined")))
    quotes = by_fact or text.startswith("can't read property")
    return type(error).__name__ if quotes or len(text) > 200 else text


__all__ = ["link_of", "open_url", "render", "report_token", "unsubscribe_url"]
