"""*Publication*: what definitions would change before they are published, how far the shards are with what was, and giving it up."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Final

from streamer.errors import SettingsError
from streamer.page.publishing import Draft
from streamer.page.sources import PageSources
from streamer.page.trial_run import Tried
from streamer.page.view import PageView, SentForm, ViewFacts, ViewOutcome, ViewQuestion
from streamer.previews.result import Difference
from streamer.server.errors import AnswerError

PATH: Final = "/publication"


def view(sources: PageSources) -> PageView:
    """How far it is, for everybody; the rest for whoever may write."""
    return PageView("publication", PATH, partial(_show, sources), live_seconds=2.0, act=partial(_act, sources))


async def _show(sources: PageSources, _asked: ViewQuestion) -> ViewFacts:
    return await _facts(sources)


async def _facts(sources: PageSources, *, said: str = "", text: str = "", draft: Draft | None = None, tried: Tried = Tried()) -> ViewFacts:  # noqa: B008 - it is never changed
    status = await sources.publishing.status()
    return {
        "status": status,
        "can_cancel": status.shadow is not None or not status.is_obeyed,
        "said": said,
        "written": text,
        "draft": draft,
        "remarks": [] if draft is None else draft.checked.remarks,
        "why_not": tried.why_not,
        "preview": tried.preview,
        "moves": [] if tried.preview is None else [one for one in tried.preview.segments if _moves(one.difference)],
    }


async def _act(sources: PageSources, sent: SentForm) -> ViewOutcome:
    match sent.fields.get("what"):
        case "look":
            return await _look(sources, _text(sent))
        case "publish":
            return await _publish(sources, _text(sent), sent.fields.get("version", ""))
        case "cancel":
            return await _cancel(sources)
        case _:
            raise AnswerError("bad_request", "expected look, publish or cancel", "$.what")


def _text(sent: SentForm) -> str:
    return sent.fields.get("text", "").replace("\r\n", "\n")


async def _look(sources: PageSources, text: str) -> ViewOutcome:
    draft, tried = await sources.publishing.draft(text), Tried()
    if draft.checked.definitions is not None:
        tried = await sources.trials.run(draft.checked, replaces=True)
    return ViewOutcome(facts=await _facts(sources, text=text, draft=draft, tried=tried))


async def _publish(sources: PageSources, text: str, version: str) -> ViewOutcome:
    draft = await sources.publishing.draft(text)
    if not (version.isascii() and version.isdigit()):
        raise AnswerError("bad_request", "expected the version over which it was looked at", "$.version")
    if draft.checked.definitions is None:
        return ViewOutcome(facts=await _facts(sources, text=text, draft=draft), status=HTTPStatus.CONFLICT)
    try:
        await sources.publishing.publish(draft, int(version))
    except SettingsError as error:
        return ViewOutcome(facts=await _facts(sources, said=str(error), text=text, draft=draft), status=HTTPStatus.CONFLICT)
    return ViewOutcome(PATH)


async def _cancel(sources: PageSources) -> ViewOutcome:
    try:
        await sources.publishing.cancel()
    except SettingsError as error:
        return ViewOutcome(facts=await _facts(sources, said=str(error)), status=HTTPStatus.CONFLICT)
    return ViewOutcome(PATH)


def _moves(difference: Difference | None) -> bool:
    return difference is not None and (difference.enter.count > 0 or difference.leave.count > 0)
