"""Starting and ending child processes, without any server."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from streamer.errors import SettingsError
from streamer.local import children
from streamer.local.children import LOOPBACK, Child, TemporaryFolder, free_port, process_exists

if TYPE_CHECKING:
    from collections.abc import Iterator

SLEEPER = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(60)"]
DEAF = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print('awake', flush=True); time.sleep(60)"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def sleeper(log: Path) -> Iterator[Child]:
    child = _awake(Child(SLEEPER, log=log))
    yield child
    child.kill()


def test_its_process_id_is_the_command_s_own(sleeper: Child) -> None:
    """Faults are made by process id: one of a wrapper would kill the wrong process."""
    command = Path(f"/proc/{sleeper.pid}/cmdline").read_bytes().split(b"\0")
    assert command[1:3] == [b"-c", SLEEPER[2].encode()]


def test_it_runs_in_a_process_group_of_its_own(sleeper: Child) -> None:
    """Ctrl-C must not end the store before the worker's last commit."""
    assert os.getpgid(sleeper.pid) == sleeper.pid != os.getpgrp()


def test_stopping_twice_is_as_good_as_once(sleeper: Child) -> None:
    """Whoever cleans up does not ask who did before."""
    sleeper.stop()
    sleeper.stop()
    assert not process_exists(sleeper.pid)


def test_a_child_that_does_not_listen_is_killed(log: Path) -> None:
    """Nothing may be left running, also what refuses to end."""
    child = _awake(Child(DEAF, log=log))
    began = time.monotonic()
    child.stop(grace_s=0.2)
    assert 0.2 <= time.monotonic() - began < 5
    assert not process_exists(child.pid)


def test_a_paused_child_can_be_stopped(sleeper: Child) -> None:
    """A frozen process does not see the request to end; it has to be woken for it."""
    sleeper.pause()
    began = time.monotonic()
    sleeper.stop(grace_s=10)
    assert time.monotonic() - began < 5


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of any fork beside threads
def test_a_fork_does_not_end_its_parent_s_children(sleeper: Child) -> None:
    """A fork inherits our exit handlers with everything else."""
    if not (fork := os.fork()):
        sleeper.stop()
        os._exit(0)
    os.waitpid(fork, 0)
    assert sleeper.alive


def test_a_child_that_ends_before_it_is_ready_leaves_its_last_words(log: Path) -> None:
    """A port that is taken or a wrong option is said by the server, in its log, which is about to be deleted."""
    child = Child([sys.executable, "-c", "import sys; sys.exit('no such option')"], log=log)
    with pytest.raises(SettingsError, match=r"thing ended with status 1; its last words:\nno such option"):
        child.wait_until(lambda: False, name="thing", deadline_s=10)


def test_a_child_that_is_never_ready_is_ended(log: Path) -> None:
    """A wait without a bound holds up everybody."""
    child = Child(SLEEPER, log=log)
    with pytest.raises(SettingsError, match=r"was not ready after 0\.2 s"):
        child.wait_until(lambda: False, name="thing", deadline_s=0.2)
    assert not process_exists(child.pid)


def test_a_command_that_does_not_exist_is_an_error_too(log: Path) -> None:
    """The launcher starts in any case, so the error comes from it."""
    child = Child(["no-such-command"], log=log)
    with pytest.raises(SettingsError, match="FileNotFoundError"):
        child.wait_until(lambda: False, name="thing", deadline_s=10)


def test_a_free_port_is_not_one_that_the_kernel_gives_away() -> None:
    """Between two starts of a server an outgoing connection could take its port, even one that tries to reach it."""
    first, last = children.ephemeral_range()
    ports = {free_port() for _ in range(50)}
    assert not any(first <= port <= last for port in ports)
    assert len(ports) > 25


def test_a_port_with_a_listener_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers must not be sent to one port."""
    with socket.socket() as taken:
        port = free_port()
        taken.bind((LOOPBACK, port))
        taken.listen()
        monkeypatch.setattr(children, "FIRST_PORT", port)
        monkeypatch.setattr(children, "LAST_PORT", port + 1)
        assert free_port() != port


def test_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker's data may be large, and a demo is killed more often than it is ended."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = f"""
import os, tempfile
from streamer.local.children import TemporaryFolder
tempfile.tempdir = {str(tmp_path)!r}
folder = TemporaryFolder("x")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False, timeout=30)
    mine = TemporaryFolder("y")
    (mine.path / "data").touch()
    young = TemporaryFolder("z")
    young.remove()
    assert len(list(tmp_path.iterdir())) == 2  # too young to tell
    for folder in tmp_path.iterdir():
        os.utime(folder, (0, 0))
    TemporaryFolder("z").remove()
    assert [mine.path.parent] == list(tmp_path.iterdir())
    assert (mine.path / "data").exists()
    mine.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of any fork beside threads
def test_a_process_that_ended_is_not_there_even_if_nobody_reaped_it() -> None:
    """A zombie still has its number."""
    if not (fork := os.fork()):
        os._exit(0)
    deadline = time.monotonic() + 5
    while process_exists(fork):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.waitpid(fork, 0)
    assert not process_exists(fork)


def _awake(child: Child) -> Child:
    child.wait_until(lambda: "awake" in child.log_tail(), name="sleeper", deadline_s=10)
    return child


def test_a_signal_while_a_folder_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked for it has not got it yet, so nobody else can remove it."""

    def interrupted(lock: IO[str], _operation: int) -> None:
        lock.close()
        assert [folder.name.startswith(children.FOLDER_PREFIX) for folder in tmp_path.iterdir()] == [True], "it was there"
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(children.fcntl, "flock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        children.TemporaryFolder("redis")
    gc.collect()
    assert list(tmp_path.iterdir()) == []
