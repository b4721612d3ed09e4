"""The templates that lie in the folder of this server, and what is wrong with them: read again once they are some seconds old."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final

from streamer.sender.templates.folder import Templates
from streamer.settings import Settings

KEPT_SECONDS: Final = 10.0


class TemplateShelf:
    """Reads the folder of the settings, one visitor's question at a time, beside the loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()
        self._found: Templates | None = None
        self._read_s = 0.0

    async def templates(self) -> Templates | None:
        """What is in the folder, at most ``KEPT_SECONDS`` old; None where this server has no folder of templates."""
        async with self._lock:
            if self._found is None or monotonic() - self._read_s > KEPT_SECONDS:
                self._found = await asyncio.to_thread(self._read)
                self._read_s = monotonic()
            return self._found

    def _read(self) -> Templates | None:
        settings = self._settings
        if settings.templates is None or not settings.templates.is_dir():
            return None
        return Templates(settings.templates, settings.sender_language, settings.linked_hosts)
