"""What a form has the workers do, and what they say to it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, NamedTuple

from streamer.commands import Action
from streamer.deployment.asking import ask
from streamer.errors import SettingsError, UnansweredError
from streamer.settings import Settings

WAIT_SECONDS: Final = 10.0  # for a worker to begin


class WorkersWord(NamedTuple):
    """What came of it in words, and the status of the page that says so."""

    text: str
    status: int


async def told(settings: Settings, action: Action) -> WorkersWord:
    """Have a worker do something. What goes wrong is said, not raised."""
    try:
        answer = await ask(settings, action, wait_seconds=WAIT_SECONDS)
    except UnansweredError as error:
        return WorkersWord(str(error), HTTPStatus.SERVICE_UNAVAILABLE)
    except SettingsError as error:
        return WorkersWord(str(error), HTTPStatus.BAD_GATEWAY)
    return WorkersWord(answer.text, HTTPStatus.OK if answer.outcome == "done" else HTTPStatus.CONFLICT)
