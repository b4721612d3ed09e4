"""What the local servers share: a context manager, and a server in a child process with its directory, its ports, and ways to fail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from streamer.errors import SettingsError
from streamer.local.children import Child, TemporaryFolder, free_port

if TYPE_CHECKING:
    from typing import Self

PORT_TRIES = 3
T = TypeVar("T")


class LocalServer(ABC):
    """A server on this machine; use it as a context manager."""

    @abstractmethod
    def start(self) -> Self:
        """Start it and wait until it answers; a second call on a running server does nothing."""

    @abstractmethod
    def stop(self) -> None:
        """Shut it down in order; a second call does nothing."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class ServerProcess(LocalServer):
    """A server in a child process that ends with us, on ports of loopback that stay its own over restarts.

    The data lies in a temporary directory that ``stop()`` removes, unless the caller names a ``directory``. A subclass starts the child in
    ``_run``, on ``_ports``, and waits there until it answers.
    """

    name: ClassVar[str]  # for messages: "the broker"
    folder: ClassVar[str]  # of its temporary directory
    port_count: ClassVar[int] = 1
    port_taken: ClassVar[str] = "address already in use"  # what stands in its last words when somebody else has its port

    def __init__(self, directory: Path | None = None) -> None:
        self._given_directory = directory
        self._directory: Path | None = None
        self._temporary: TemporaryFolder | None = None
        self._ports: tuple[int, ...] = ()
        self._child: Child | None = None

    @abstractmethod
    def _run(self) -> None:
        """Start the child, as ``_child``, and wait until it answers; SettingsError with its last words where it does not."""

    def start(self) -> Self:
        """Start it and wait until it answers; a second call on a running server does nothing."""
        if self.running:
            return self
        if self._directory is None:
            self._directory = self._make_directory()
        if self._ports:
            self._run()
        else:
            self._run_on_free_ports()
        return self

    def stop(self) -> None:
        """Shut it down in order and remove its temporary directory; a second call does nothing."""
        if self._child is not None:
            self._child.stop()
        self._child, self._ports = None, ()
        if self._temporary is not None:
            self._temporary.remove()
        self._directory = self._temporary = None

    def kill(self) -> None:
        """SIGKILL by process id; the data directory and the ports are kept for ``restart()``."""
        if self._child is not None:
            self._child.kill()

    def restart(self) -> None:
        """Start it again (after ``kill()``, or stopping it first) on the same ports and data."""
        self._started(self._child).stop()
        self.start()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nobody answers."""
        if self._child is not None:
            self._child.pause()

    def resume(self) -> None:
        """Let a paused server go on."""
        if self._child is not None:
            self._child.resume()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._started(self._child).pid

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._child is not None and self._child.alive

    def last_words(self) -> str:
        """The end of what it wrote, for an error message; empty before its start."""
        return self._child.log_tail() if self._child is not None else ""

    @property
    def directory(self) -> Path:
        """Where its data lies."""
        return self._started(self._directory)

    def _started(self, part: T | None) -> T:
        """A part that only a server has which was started; SettingsError before that."""
        if not part:
            raise SettingsError(f"{self.name} was not started")
        return part

    def _make_directory(self) -> Path:
        if self._given_directory is not None:
            self._given_directory.mkdir(parents=True, exist_ok=True)
            return self._given_directory
        self._temporary = TemporaryFolder(self.folder)
        return self._temporary.path

    def _run_on_free_ports(self) -> None:
        """A port may be taken between the look and the start, so look again; any other fault is the same on each try."""
        for tries_left in reversed(range(PORT_TRIES)):
            self._ports = tuple(free_port() for _ in range(self.port_count))
            try:
                self._run()
            except SettingsError as error:
                self._ports = ()
                if not tries_left or self.port_taken not in str(error).lower():
                    self.stop()
                    raise
            else:
                return
