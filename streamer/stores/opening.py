"""From an address to a store: the scheme of the address names the code that opens it.

A store of another package registers its scheme in that package's ``pyproject.toml``, and nothing here changes::

    [project.entry-points."streamer.stores"]
    sqlite = "sqlite_store:open_sqlite"
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Protocol

from streamer.errors import SettingsError

from .base import Store

GROUP: Final = "streamer.stores"
OURS: Final = {  # loaded when they are asked for: who replays a file needs no client of a server
    "redis": "streamer.stores.redis:connect",
    "rediss": "streamer.stores.redis:connect",
    "unix": "streamer.stores.redis:connect",
    "redis+sentinel": "streamer.stores.redis:connect",
    "rediss+sentinel": "streamer.stores.redis:connect",
    "memory": "streamer.stores.memory:open_memory",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who connects, and the files of TLS, as far as the address does not say it. What the address says comes first."""

    username: str | None = None
    password: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


NOBODY: Final = Access()


class Opener(Protocol):
    """Code that opens the stores of a scheme."""

    def __call__(self, url: str, *, namespace: str, access: Access) -> Store:
        """The store at ``url``, which connects on first use; ``namespace`` keeps the states of several logs apart in it.

        SettingsError, without a part of ``url`` in it, when that is no address of such a store: it may hold a password.
        """
        ...


def schemes() -> list[str]:
    """Schemes that can be opened: ours in the order of the documentation, then those of other packages."""
    return [*OURS, *sorted(found.name for found in entry_points(group=GROUP) if found.name not in OURS)]


def open(url: str, *, namespace: str = "streamer", access: Access = NOBODY) -> Store:  # noqa: A001 - see __init__
    """Store at an address such as ``redis://localhost:6379/0``. SettingsError when no store has its scheme, or it is no such address."""
    check_scheme(url)
    opener: Opener = _registered(url.partition("://")[0]).load()
    return opener(url, namespace=namespace, access=access)


def is_shared(url: str) -> bool:
    """Whether other processes that open the same address have the same store."""
    return url.partition("://")[0] != "memory"


def check_scheme(url: str) -> None:
    """SettingsError unless a store is registered for the scheme of an address and something follows it."""
    scheme, separator, _ = url.partition("://")
    if not separator or (scheme not in OURS and scheme not in schemes()):
        raise SettingsError(f"STREAMER_STORE: expected an address that begins with {', '.join(f'{name}://' for name in schemes())}")


def _registered(scheme: str) -> EntryPoint:
    if scheme in OURS:
        return EntryPoint(scheme, OURS[scheme], GROUP)
    [found, *_] = entry_points(group=GROUP, name=scheme)
    return found
