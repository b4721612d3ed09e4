"""Start a server as a child that cannot outlive us, and end it by its process id.

Used by the local Redis and Kafka servers. Nothing here knows what the child serves.

Three things go wrong with the obvious ``Popen``, and are dealt with here:

* A parent that is killed leaves its servers running. On Linux the child asks the kernel to be killed with its parent
  (``PR_SET_PDEATHSIG``). The kernel means the *thread* that forked, so every child is forked by one thread that lasts as long as
  the process: a server started from a pool's thread does not die when that thread is retired.
* Ctrl-C reaches the whole foreground process group, and the servers would go down before the worker has made its last commit.
  A child gets a process group of its own.
* A port from the kernel's ephemeral range may be taken, while a server is down between two starts, by any outgoing connection:
  even by the client that keeps trying to reach it, which then talks to itself. ``free_port`` stays out of that range.
* A parent that is killed also leaves its temporary directories. Each is locked by its owner, and the kernel lets the lock go with
  the process, so the next one to make a directory can tell which are abandoned, and removes those.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import queue
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LOOPBACK = "127.0.0.1"
POLL_S = 0.02
PAUSE_S = 2.0  # on a busy machine a signal takes its time
FIRST_PORT, LAST_PORT = 15_000, 32_000  # above the well-known ports, below Linux's usual ephemeral range
EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
FOLDER_PREFIX = "streamer-local-"
LOCK = "owner.lock"
YOUNG_S = 60

# The command is started by a tiny Python that makes the request to the kernel and then becomes the command (same process id).
# A `preexec_fn` would run Python between fork and exec of a process with threads, which may deadlock.
LAUNCHER = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent ended before its child began")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class TemporaryFolder:
    """A temporary directory for one server, removed by ``remove()``; else, after we were killed, by the next to make one.

    The directory may be emptied meanwhile: the lock lies beside it.
    """

    def __init__(self, purpose: str) -> None:
        _remove_abandoned()
        self._outer = Path(tempfile.gettempdir()) / f"{FOLDER_PREFIX}{secrets.token_hex(4)}"
        # Before it is made: a signal may end us between any two lines, and whoever asked for the folder has not got it yet.
        weakref.finalize(self, shutil.rmtree, self._outer, ignore_errors=True)
        self._outer.mkdir(mode=0o700)
        self._lock = (self._outer / LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.path = self._outer / purpose
        self.path.mkdir()

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self._outer, ignore_errors=True)
        self._lock.close()


def _remove_abandoned() -> None:
    """Remove the directories of processes that were killed. A young one may be about to be locked, so it is left alone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        with suppress(OSError), (folder / LOCK).open("r+") as lock:
            if time.time() - folder.stat().st_mtime > YOUNG_S:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its owner lives
                shutil.rmtree(folder, ignore_errors=True)


class Child:
    """One running child process; ended with us, whether we end in order or by ``kill -9``.

    Its output goes to ``log``. ``keep_stdin`` leaves a pipe to its standard input open and gives us its standard output,
    for children that talk.
    """

    def __init__(
        self, argv: Sequence[str], *, log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, keep_stdin: bool = False
    ) -> None:
        self.log = log
        self._owner = os.getpid()
        command = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(self._owner), *argv]

        def start() -> subprocess.Popen[str]:
            with log.open("ab") as sink:
                return subprocess.Popen(  # noqa: S603 - the command is ours
                    command,
                    stdin=subprocess.PIPE if keep_stdin else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if keep_stdin else sink,
                    stderr=sink,
                    cwd=cwd,
                    env=None if env is None else dict(env),
                    process_group=0,
                    text=True,
                )

        self.process = _in_the_lasting_thread(start)
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """The process id of the server itself."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended; a paused child is alive."""
        return self.process.poll() is None

    def stop(self, *, grace_s: float = 15.0) -> None:
        """Ask it to end (SIGTERM), and kill it when it has not after ``grace_s`` seconds. No effect on one that has ended."""
        if os.getpid() != self._owner:
            return  # a fork of ours is ending: the server is not its own
        if self.alive:
            self.process.terminate()
            self._signal(signal.SIGCONT)  # a paused process would not see the request
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        """End it with SIGKILL and wait until it is gone: it writes nothing more."""
        if self.alive:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        atexit.unregister(self.stop)

    def pause(self) -> None:
        """Freeze it (SIGSTOP) and wait until it stands still: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + PAUSE_S
        while self.alive and _state(self.pid) not in {"T", ""} and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def resume(self) -> None:
        """Let a paused child go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.alive:
            self.process.send_signal(number)

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of what it wrote, for an error message."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def wait_until(self, ready: Callable[[], bool], *, name: str, deadline_s: float) -> None:
        """Wait for ``ready()``; a child that ends first, or is not ready in time, is killed and its last words are the error."""
        deadline = time.monotonic() + deadline_s
        while not ready():
            if self.alive and time.monotonic() < deadline:
                time.sleep(POLL_S)
                continue
            what = f"was not ready after {deadline_s:g} s" if self.alive else f"ended with status {self.process.returncode}"
            self.kill()
            raise SettingsError(f"{name} {what}; its last words:\n{self.log_tail()}")


def process_exists(pid: int) -> bool:
    """Whether a process with this id is there; one that ended and was not yet reaped is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _state(pid) not in {"Z", "X"}


def _state(pid: int) -> str:
    """The letter that Linux has for what a process does (``T``: it is stopped); empty where there is no telling."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def free_port() -> int:
    """A loopback port that nobody listens on, outside the range that the kernel gives to outgoing connections."""
    first, last = ephemeral_range()
    candidates = [port for port in range(FIRST_PORT, LAST_PORT) if not first <= port <= last]
    for port in random.sample(candidates, k=min(len(candidates), 200)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def ephemeral_range() -> tuple[int, int]:
    """The first and last port that the kernel gives to outgoing connections."""
    with suppress(OSError, ValueError):
        first, last = EPHEMERAL_RANGE.read_text().split()
        return int(first), int(last)
    return 32_768, 65_535


_lasting_thread: tuple[int, queue.SimpleQueue[Callable[[], None]]] | None = None
_lasting_thread_lock = threading.Lock()


def _in_the_lasting_thread(start: Callable[[], subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """Call ``start`` in the thread that lasts as long as the process; its error is ours."""
    answers: queue.SimpleQueue[subprocess.Popen[str] | BaseException] = queue.SimpleQueue()

    def job() -> None:
        try:
            answers.put(start())
        except BaseException as error:
            answers.put(error)

    _jobs().put(job)
    answer = answers.get()
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _jobs() -> queue.SimpleQueue[Callable[[], None]]:
    global _lasting_thread
    with _lasting_thread_lock:
        if _lasting_thread is None or _lasting_thread[0] != os.getpid():  # a fork has no threads but the one that forked
            jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
            threading.Thread(target=_work, args=(jobs,), name="streamer-children", daemon=True).start()
            _lasting_thread = (os.getpid(), jobs)
        return _lasting_thread[1]


def _work(jobs: queue.SimpleQueue[Callable[[], None]]) -> None:
    while True:
        jobs.get()()
