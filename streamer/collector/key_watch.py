"""The file of keys, read at the start and again when it changes. One that cannot be used changes nothing, and is said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from streamer.errors import SettingsError
from streamer.settings import Settings

from .keys import Keys, read_keys

LOOK_SECONDS: Final = 2.0
log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.collector")


def load_keys(settings: Settings) -> Keys:
    """The keys of the file in the settings; SettingsError where they cannot be used, or where none is needed by anybody in the network."""
    file = settings.collect_keys
    if file is None:
        if not is_loopback(settings.collect_host):
            raise SettingsError(
                f"STREAMER_COLLECT_KEYS: without write keys the collector listens on this machine alone, not on {settings.collect_host}: "
                "anybody could write events; `streamer collect --new-key browser` makes a key"
            )
        return Keys()
    keys = read_keys(_text(file), f"STREAMER_COLLECT_KEYS: {file}")
    if keys.is_open:
        raise SettingsError(f"STREAMER_COLLECT_KEYS: {file} has no key; `streamer collect --new-key browser` makes one")
    return keys


def is_loopback(host: str) -> bool:
    """Whether nobody outside this machine reaches an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"STREAMER_COLLECT_KEYS: cannot read {file} ({type(error).__name__})") from None


class KeyWatch:
    """Looks at the file every ``LOOK_SECONDS``, and at once when ``look_now`` is called."""

    def __init__(self, settings: Settings, use: Callable[[Keys], None], refused: Callable[[], None]) -> None:
        self._settings = settings
        self._use = use
        self._refused = refused
        self._seen = self._mark()
        self._asked = asyncio.Event()

    def look_now(self) -> None:
        """Read the file again, changed or not."""
        self._asked.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._asked.wait()
            except TimeoutError:
                if self._mark() == self._seen:
                    continue
            self._asked.clear()
            self.read()

    def read(self) -> None:
        """Read the file, and use what it says if it can be used."""
        self._seen = self._mark()
        try:
            keys = load_keys(self._settings)
        except SettingsError as error:
            self._refused()
            log.error("keys not changed", action="keys", why=str(error))
        else:
            self._use(keys)
            log.info("keys read", action="keys", keys=[key.name for key in keys.all])

    def _mark(self) -> tuple[int, int, int] | None:
        """What differs when the file does."""
        try:
            found = self._settings.collect_keys.stat() if self._settings.collect_keys is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_size, found.st_ino)
