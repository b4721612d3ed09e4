"""What stands between a customer and a message, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from streamer.messages.explain import ExplainedCheck, MessageExplanation, NextDecision
from streamer.values import time_text

from .explanation_text import clause_line

_INDENT: Final = " " * 4
_TESTS: Final = {  # what is asked, so that yes means that it may be sent
    "paused": "is not paused",
    "expired": "is in time, until",
    "stay": "nothing has changed since",
    "require": "what it requires holds",
    "again": "may come again",
    "no_address": "has an address",
    "suppressed": "the address may be used",
    "no_consent": "the customer agrees",
    "cap": "no cap is full",
    "quiet": "it is no quiet hour",
    "holdout": "the customer is not held out",
}


def message_lines(customer: str, found: MessageExplanation, now: int) -> Iterator[str]:
    """The tests in their order, and what comes of them."""
    yield f"{customer} at {time_text(now)}"
    yield ""
    yield f"{found.message} on {found.channel}: {found.purpose}"
    if found.begun_at is None:
        yield f"begins with: {found.on}; nothing waits. If it were decided now:"
    else:
        yield f"begun at {found.begun_at} by {found.on}, decided at {found.due}. If it were decided now:"
    for check in found.checks:
        yield _INDENT + _line(check)
        yield from (f"{_INDENT}{_INDENT}{clause_line(clause)}" for clause in check.clauses)
    yield ""
    if not found.ahead:
        yield "if nothing happens nothing is decided"
    for step in found.ahead:
        yield f"if nothing happens: {step.at} {_outcome(step)}"


def _line(check: ExplainedCheck) -> str:
    shown = ", ".join(check.value) if isinstance(check.value, list) else check.value
    return f"{'yes' if check.holds else 'no ':<3} {_TESTS.get(check.reason, check.reason)}{f': {shown}' if shown else ''}"


def _outcome(step: NextDecision) -> str:
    if step.reason is None:
        return step.outcome
    return f"{step.outcome}, {step.reason}{f': {step.detail}' if step.detail else ''}"
