"""Definitions that somebody publishes from the page: put over what was published last, proposed to the shards, given up again."""

from __future__ import annotations

from typing import NamedTuple

from streamer.deployment import publishing
from streamer.errors import SettingsError
from streamer.flow.catalog import Plans
from streamer.sender.template_check import faults_of
from streamer.server.errors import AnswerError
from streamer.settings import Settings
from streamer.worker.status.publication_status import PublicationStatus, newest_content, read_status

from .template_shelf import TemplateShelf
from .trial_run import Checked, Remark, check


class Draft(NamedTuple):
    """A text put over ``version`` of the definitions (0: over nothing)."""

    version: int
    checked: Checked


class DraftPublisher:
    """What is published through the page, by the same code as ``streamer segments publish``, ``status`` and ``cancel``."""

    def __init__(self, settings: Settings, plans: Plans, templates: TemplateShelf) -> None:
        self._settings = settings
        self._plans = plans
        self._templates = templates

    async def draft(self, text: str) -> Draft:
        """Read a text over what was published last. AnswerError where Kafka does not answer."""
        try:
            version, base = await newest_content(self._settings)
        except SettingsError as error:
            raise AnswerError("kafka_away", str(error)) from None
        checked = await check(text, base)
        definitions, templates = checked.definitions, await self._templates.templates()
        if definitions is None or templates is None:
            return Draft(version, checked)
        faults = [Remark(0, f"the message {one.message.name!r} {one.text}", one.hint, True) for one in faults_of(definitions, templates)]
        return Draft(version, Checked(None, faults) if faults else checked)

    async def publish(self, draft: Draft, version: int) -> publishing.Proposal:
        """Propose a draft that was looked at over ``version``. SettingsError where it is not published, with the reason."""
        definitions = draft.checked.definitions
        assert definitions is not None, "nothing is wrong with it"
        return await publishing.at_once(
            self._settings, lambda client, store: publishing.propose(self._settings, client, store, definitions, over=version)
        )

    async def cancel(self) -> publishing.Proposal:
        """Give up what not every shard obeys yet. SettingsError where there is nothing to give up."""
        return await publishing.at_once(self._settings, lambda client, store: publishing.cancel(self._settings, client, store))

    async def status(self) -> PublicationStatus:
        """How far it is. AnswerError where Kafka does not answer."""
        try:
            return await read_status(self._settings, self._plans)
        except SettingsError as error:
            raise AnswerError("kafka_away", str(error)) from None


__all__ = ["Draft", "DraftPublisher"]
