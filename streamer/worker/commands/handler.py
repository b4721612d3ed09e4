"""What becomes of a record in the topic of commands: judged, begun, done and answered, by whichever worker has the topic.

A worker may die at any moment, and the record then comes to another: what has an answer is not done again, what was begun is finished, and
what three workers began and none finished is given up. Nothing that lies in the topic ends a worker or stops the commands behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import time
from typing import Final

import structlog
from aiokafka.errors import KafkaError
from structlog.typing import FilteringBoundLogger

from streamer.commands import BEGINS_MAX, Answer, AnswerLog, Command, Outcome, check_command, decode_command
from streamer.errors import CommitUnknownError, HaltError, RefusedError, StoreUnavailableError, StreamerError, place_of
from streamer.settings import Settings
from streamer.transports.kafka.commands_topic import AnswersTopic
from streamer.transports.kafka.definitions_topic import DefinitionsTopic
from streamer.transports.this_worker import this_worker
from streamer.values import time_text
from streamer.wire import Headers
from streamer.worker.status.alerts import Alerts

from .actions import Report, Tools, perform

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.commands")

AGAIN_SECONDS: Final = 1.0  # Kafka or the store are away: they are asked again
AWAY_SECONDS: Final = 60.0  # so long an expired command that was begun is tried again before it has failed
ANSWER_SECONDS: Final = 10.0  # for the answer of a command at which our own code failed
NOT_BEGUN: Final = "no worker began in time, nothing was done"

_WORTH_ANOTHER_TRY: Final = (KafkaError, TimeoutError, OSError, StoreUnavailableError, CommitUnknownError)

Perform = Callable[[Command], Awaitable[Report]]


class CommandHandler:
    """Does commands one after the other. ``perform`` does one; ``clock`` gives UTC seconds."""

    def __init__(
        self,
        settings: Settings,
        definitions: DefinitionsTopic,
        answers: AnswersTopic,
        alerts: Alerts,
        perform: Perform,
        *,
        clock: Callable[[], float] = time,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._settings = settings
        self._definitions = definitions
        self._answers = answers
        self._alerts = alerts
        self._perform = perform
        self._clock = clock
        self._again_seconds = again_seconds

    async def handle(self, raw: bytes, headers: Headers) -> None:
        """Do what a record asks for, and answer. Returns when there is nothing left to do about it; never raises."""
        try:
            command = decode_command(raw)
        except RefusedError as error:
            self._alerts.say("bad_command", f"a record in the topic of commands is no command: {error}")
            return
        one = _OneCommand(command, raw, headers)
        while True:
            try:
                await self._try(one)
                return
            except _WORTH_ANOTHER_TRY as error:
                log.warning("command waits", action="command", command=command.id, why=type(error).__name__)
                await asyncio.sleep(self._again_seconds)
            except Exception as error:  # a fault of ours; its text may quote a customer's data
                await self._failed(command, error)
                return

    async def _try(self, one: _OneCommand) -> None:
        command, known = one.command, await self._answers.refresh()
        if known.final(command.id) is not None or not await self._may_go_on(one, known):
            return
        if not one.is_begun:
            await self._answer(command, "begun", "a worker does it")
            one.is_begun, one.give_up_at = True, max(command.expires_ms / 1_000, self._clock() + AWAY_SECONDS)
            if not known.begun(command.id) and self._is_expired(command):  # it took so long to say so
                await self._answer(command, "expired", NOT_BEGUN)
                return
        await self._answer(command, *await self._done(one))

    async def _done(self, one: _OneCommand) -> tuple[Outcome, str, list[str]]:
        """Do it; what became of it. Raises what is worth another try."""
        try:
            report = await self._perform(one.command)
        except _WORTH_ANOTHER_TRY as error:
            if self._clock() < one.give_up_at:
                raise
            return "failed", f"{type(error).__name__} all the time; try again", []
        except StreamerError as error:
            return "refused", str(error), []
        return "done", report.text, report.notes

    async def _may_go_on(self, one: _OneCommand, known: AnswerLog) -> bool:
        """Whether the command is to be done; answers it where it is not."""
        command, begun = one.command, known.begun(one.command.id)
        if one.is_begun:
            return True
        if begun >= BEGINS_MAX:
            self._alerts.say("command_failed", f"{begun} workers began the command {command.id} and none finished it")
            await self._answer(command, "failed", f"{begun} workers began it and none finished it; look at their logs")
            return False
        if not begun and self._is_expired(command):
            await self._answer(command, "expired", NOT_BEGUN)
            return False
        try:
            check_command((await self._definitions.refresh()).trust, self._settings.keyring, one.headers, one.raw)
        except (RefusedError, HaltError) as error:
            why = error.detail if isinstance(error, RefusedError) else str(error)
            self._alerts.say("bad_command", f"a command was refused: {why}")
            await self._answer(command, "refused", why)
            return False
        return True

    def _is_expired(self, command: Command) -> bool:
        return self._clock() * 1_000 >= command.expires_ms

    async def _failed(self, command: Command, error: Exception) -> None:
        text = f"unexpected {type(error).__name__}, a fault of streamer itself: report it"
        log.error("command failed", action="command", command=command.id, error=type(error).__name__, place=place_of(error))
        self._alerts.say("command_failed", f"a command failed: {text}")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._answer(command, "failed", text)
        except (KafkaError, TimeoutError, OSError) as gone:
            log.warning("command not answered", action="command", command=command.id, why=type(gone).__name__)

    async def _answer(self, command: Command, outcome: Outcome, text: str, notes: list[str] | None = None) -> None:
        action = type(command.do).__name__.lower()
        log.info("command", action="command", command=command.id, what=action, outcome=outcome, who=command.who, text=text)
        at = time_text(int(self._clock() * 1_000))
        await self._answers.give(Answer(command.id, outcome, text, this_worker(), at, notes or []))


class _OneCommand:
    """A command in hand, over all tries."""

    def __init__(self, command: Command, raw: bytes, headers: Headers) -> None:
        self.command = command
        self.raw = raw
        self.headers = headers
        self.is_begun = False  # by this worker
        self.give_up_at = 0.0


def command_handler(tools: Tools, definitions: DefinitionsTopic, alerts: Alerts) -> CommandHandler:
    """A handler that does commands with the worker's own store and producer."""
    answers = AnswersTopic(tools.settings, tools.producer)
    return CommandHandler(tools.settings, definitions, answers, alerts, lambda command: perform(tools, command))


__all__ = ["CommandHandler", "command_handler"]
