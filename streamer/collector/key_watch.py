"""The file of keys, read at the start and again when it changes. One that cannot be used changes nothing, and is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.web.file_watch import FileWatch
from streamer.web.loopback import is_loopback
from streamer.web.secret_tables import secrets_text

from .keys import Keys, read_keys

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
    keys = read_keys(secrets_text(file, "STREAMER_COLLECT_KEYS"), f"STREAMER_COLLECT_KEYS: {file}")
    if keys.is_open:
        raise SettingsError(f"STREAMER_COLLECT_KEYS: {file} has no key; `streamer collect --new-key browser` makes one")
    return keys


class KeyWatch:
    """Reads the file again when it changes, see ``FileWatch``; keys that cannot be used change nothing."""

    def __init__(self, settings: Settings, use: Callable[[Keys], None], refused: Callable[[], None]) -> None:
        self._settings = settings
        self._use = use
        self._refused = refused
        self._watch = FileWatch(settings.collect_keys, self.read)
        self.look_now = self._watch.look_now
        self.run = self._watch.run

    def read(self) -> None:
        """Read the file, and use what it says if it can be used."""
        try:
            keys = load_keys(self._settings)
        except SettingsError as error:
            self._refused()
            log.error("keys not changed", action="keys", why=str(error))
        else:
            self._use(keys)
            log.info("keys read", action="keys", keys=[key.name for key in keys.all])
