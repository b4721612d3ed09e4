"""*Templates*: in which languages each message is written, what is wrong with that, and what a customer would read now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import urlencode

from markupsafe import escape

from streamer.errors import SettingsError
from streamer.language.definitions import Definitions
from streamer.page.sources import PageSources
from streamer.page.view import PageView, SentForm, ViewDocument, ViewFacts, ViewOutcome, ViewQuestion
from streamer.printable import printable
from streamer.sender.channels import Outgoing
from streamer.sender.content import MessageContent
from streamer.sender.decision import SendDecision
from streamer.sender.preview import content_now, decision_of
from streamer.sender.template_check import faults_of
from streamer.sender.templates.folder import Templates
from streamer.server.errors import AnswerError
from streamer.wire import is_customer

SHOWN: Final = 200  # messages, and templates that are of none
TEXT_CHARS_MAX: Final = 20_000  # of a preview


class TemplateRow(NamedTuple):
    """The template of a message, or one that is of no message."""

    message: str
    template: str
    languages: list[str]
    faults: list[str]


class TemplatePreview(NamedTuple):
    """What a customer would read. ``lines`` are safe to show as they are; ``why_not`` says why there is nothing."""

    content: MessageContent | None = None
    lines: tuple[str, ...] = ()
    is_cut: bool = False
    why_not: str = ""


def view(sources: PageSources) -> PageView:
    """The list, and the preview."""
    return PageView("templates", "/templates", partial(_show, sources), is_in_menu=True, act=partial(_send, sources))


async def _show(sources: PageSources, asked: ViewQuestion) -> ViewFacts:
    return await _facts(sources, _wanted(asked.query))


def _wanted(texts: Mapping[str, str]) -> dict[str, str]:
    """Which message, with whose facts, in which language; empty where that was not said."""
    return {name: texts.get(name, "").strip() for name in ("message", "customer", "language")}


async def _send(sources: PageSources, sent: SentForm) -> ViewOutcome:
    """A message to an address that the operator has allowed, with the facts of the customer."""
    templates, wanted = await sources.templates.templates(), _wanted(sent.fields)
    if templates is None or not is_customer(wanted["customer"]):
        raise AnswerError("bad_request", "expected a customer, on a server with templates", "$.customer")
    try:
        decision, content = await _written(sources, templates, wanted)
        outgoing = Outgoing(decision, decision.data.address or "no address", content)
        said = await sources.test_sends.send(outgoing, sent.fields.get("to", ""))
    except SettingsError as error:
        return ViewOutcome(facts=await _facts(sources, wanted, str(error)), status=HTTPStatus.CONFLICT)
    return ViewOutcome(facts=await _facts(sources, wanted, said))


async def _facts(sources: PageSources, wanted: dict[str, str], said: str = "") -> ViewFacts:
    templates = await sources.templates.templates()
    plan = await sources.newest_plan(await sources.shards())
    rows = [] if templates is None else _rows(plan.definitions, templates)
    return {
        "rows": rows[:SHOWN],
        "all": len(rows),
        "has_folder": templates is not None,
        "messages": [one.name for one in plan.definitions.messages],
        "wanted": {name: printable(text) for name, text in wanted.items()},
        "said": said,
        "test_addresses": sources.test_sends.addresses,
        "html_address": f"/templates/html?{urlencode(wanted)}",
        "preview": None if templates is None or not wanted["customer"] else await _preview(sources, templates, wanted),
    }


def _rows(definitions: Definitions, templates: Templates) -> list[TemplateRow]:
    faults: dict[str, list[str]] = {}
    for fault in faults_of(definitions, templates):
        faults.setdefault(fault.message.name, []).append(f"{fault.text} ({fault.hint})" if fault.hint else fault.text)
    rows = [
        TemplateRow(one.name, one.template, templates.languages(one.template), faults.get(one.name, [])) for one in definitions.messages
    ]
    used = {one.template for one in definitions.messages}
    rest = sorted({*templates.names, *templates.problems} - used)
    return rows + [
        TemplateRow("", name, templates.languages(name), [templates.problems[name]] if name in templates.problems else []) for name in rest
    ]


def html_view(sources: PageSources) -> PageView:
    """The HTML part of a preview, for the frame in it."""
    return PageView("template_html", "/templates/html", partial(_html, sources))


async def _html(sources: PageSources, asked: ViewQuestion) -> ViewDocument:
    templates = await sources.templates.templates()
    wanted = _wanted(asked.query)
    if templates is None or not is_customer(wanted["customer"]):
        raise AnswerError("bad_request", "expected a customer, on a server with templates", "query.customer")
    try:
        content = await _content(sources, templates, wanted)
    except SettingsError as error:
        raise AnswerError("bad_request", str(error), "query") from None
    return ViewDocument(document_of(content))


def document_of(content: MessageContent) -> str:
    """The HTML part as a whole document: a mail reader gives what it lacks."""
    if "<html" in content.html.lower():
        return content.html
    head = f'<meta charset="utf-8"><title>{escape(content.subject)}</title>'
    begin = f'<!doctype html><html lang="{escape(content.language)}" dir="{content.direction}"><head>{head}</head>'
    return f"{begin}<body>{content.html}</body></html>"


async def _content(sources: PageSources, templates: Templates, wanted: dict[str, str]) -> MessageContent:
    return (await _written(sources, templates, wanted))[1]


async def _written(sources: PageSources, templates: Templates, wanted: dict[str, str]) -> tuple[SendDecision, MessageContent]:
    """By the same code as `streamer messages preview`; written beside the loop, as a template may take its time. Raises SettingsError."""
    decision = await decision_of(sources.answers.committed, wanted["message"], wanted["customer"], sources.settings.log_generation)
    return await asyncio.to_thread(content_now, decision, templates, wanted["language"] or None)


async def _preview(sources: PageSources, templates: Templates, wanted: dict[str, str]) -> TemplatePreview:
    if not is_customer(wanted["customer"]):
        return TemplatePreview(why_not="expected 1 to 256 characters, none a control character")
    try:
        content = await _content(sources, templates, wanted)
    except SettingsError as error:
        return TemplatePreview(why_not=str(error))
    lines = tuple(printable(line.rstrip("\r")) for line in content.text[:TEXT_CHARS_MAX].split("\n"))
    return TemplatePreview(content, lines, len(content.text) > TEXT_CHARS_MAX)
