"""*Try a segment*: write a definition, read what is wrong with it as you write, and whom it would catch before it is published."""

from __future__ import annotations

from functools import partial
from typing import Final

from streamer.page.sources import PageSources
from streamer.page.trial_run import Remark, Tried, check_alone_or_over
from streamer.page.view import PageView, SentForm, ViewFacts, ViewOutcome, ViewQuestion

EXAMPLE: Final = """segments:
  cart_left:
    for: Left a cart half an hour ago and has not bought; send one reminder.
    when: idle("*") >= "30m" and last("Product Added") > last("Order Completed")
"""


def view(sources: PageSources) -> PageView:
    """The text, what is said of it, and the preview."""
    return PageView("try", "/try", _show, is_in_menu=True, act=partial(_act, sources), act_role="read")


async def _show(_asked: ViewQuestion) -> ViewFacts:
    return _facts(EXAMPLE, [])


async def _act(sources: PageSources, sent: SentForm) -> ViewOutcome:
    text = sent.fields.get("text", "").replace("\r\n", "\n")
    checked, tried = await check_alone_or_over(text, await _in_force(sources)), Tried()
    if checked.definitions is not None and sent.fields.get("what") == "preview":
        tried = await sources.trials.run(checked)
    return ViewOutcome(facts=_facts(text, checked.remarks, tried, is_checked=True))


async def _in_force(sources: PageSources) -> bytes:
    """What holds now, to which a text may refer; empty where nothing does."""
    views = await sources.shards()
    if not any(view.body is not None and view.body.digest for view in views):
        return b""
    return (await sources.newest_plan(views)).definitions.content()


def _facts(text: str, remarks: list[Remark], tried: Tried = Tried(), *, is_checked: bool = False) -> ViewFacts:  # noqa: B008 - it is never changed
    return {"written": text, "remarks": remarks, "is_checked": is_checked, "preview": tried.preview, "why_not": tried.why_not}
