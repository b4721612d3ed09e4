"""The demo as somebody runs it who has just installed the package: it shows what it promises, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamer.local.children import process_exists

if TYPE_CHECKING:
    from collections.abc import Generator

STREAMER = [sys.executable, "-m", "streamer"]
ROOT = Path(__file__).parents[2]
END_S = 15  # of a worker that promises ten


@contextmanager
def demo_of(temporary: Path, *options: str, **more: str) -> Generator[subprocess.Popen[str]]:
    """The demo, without a terminal, with temporary files of its own and none of our settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    environment |= {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1", **more}
    command = [*STREAMER, "demo", *options]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        try:
            yield demo
        finally:
            demo.kill()


def _children(pid: int) -> list[int]:
    """The processes that a process has started and that are there."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid:
            found.append(int(folder.name))
    return found


def read_until(demo: subprocess.Popen[str], what: str) -> str:
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if what in line:
            return said
    pytest.fail(f"the demo ended before it said {what!r}:\n{said}")


def _left_behind(temporary: Path, pids: list[int]) -> tuple[list[int], list[str]]:
    return [pid for pid in pids if process_exists(pid)], sorted(path.name for path in temporary.iterdir())


def test_it_shows_a_customer_entering_and_leaving_while_nothing_happens(tmp_path: Path) -> None:
    """The whole path, from the shop over the log, the worker and Redis to a reader, in a quarter of a minute."""
    with demo_of(tmp_path, "--seconds", "15") as demo:
        said = read_until(demo, "-- ")
        pids = _children(demo.pid)
        assert len(pids) == 5
        said += demo.communicate()[0]
    assert demo.returncode == 0, said
    entered = re.search(r">> (\S+)  entered demo_cart_left  no event, only time passed", said)
    left = re.search(r">> (\S+)  left    demo_cart_left  no event, only time passed", said)
    assert entered is not None, said
    assert left is not None, said
    assert entered[1] < left[1]
    (sent, accepted, repeated, refused) = _numbers(r"([\d,]+) sent: ([\d,]+) accepted, ([\d,]+) repeated, ([\d,]+) refused", said)
    assert (sent, refused) == (accepted + repeated, 0)
    assert sent > 100, "a slow machine sends less, and something"
    (changes, by_event, by_time) = _numbers(r"changes +([\d,]+): ([\d,]+) by an event, ([\d,]+) because only time passed", said)
    assert changes == by_event + by_time
    assert min(by_event, by_time) > 0
    assert re.search(r"mail \((de|en|fr)\) to \S+@mail\.example: \S", said), said
    (decided, to_send, held, skipped) = _numbers(r"messages +([\d,]+) decisions: ([\d,]+) to send, ([\d,]+) held, ([\d,]+) skipped", said)
    assert decided == to_send + held + skipped
    (left, arrived) = (*_numbers(r"sender +([\d,]+) sent", said), *_numbers(r"mails +([\d,]+) arrived", said))
    assert 0 < left == arrived
    for must in (
        "has no transactions, so the sender works without",
        "SIMULATED",
        "Embedded Kafka, in memory",
        "in seconds instead of minutes",
        "/metrics",
        "because ",
    ):
        assert must in said
    assert "\x1b" not in said
    assert _left_behind(tmp_path, pids) == ([], [])


def test_a_machine_that_is_slow_for_a_while_is_no_failure(tmp_path: Path) -> None:
    """The worker is held until the demo says that it is behind; then it catches up, and all that was sent is read."""
    with demo_of(tmp_path, "--seconds", "12") as demo:
        said = read_until(demo, "-- ")
        (worker,) = [pid for pid in _children(demo.pid) if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
        os.kill(worker, signal.SIGSTOP)
        try:
            said += read_until(demo, "slow machine: ")
        finally:
            os.kill(worker, signal.SIGCONT)
        said += demo.communicate()[0]
    assert demo.returncode == 0, said
    assert "this machine did not keep up with 200 events/s" in said
    (sent, accepted, repeated, refused) = _numbers(r"([\d,]+) sent: ([\d,]+) accepted, ([\d,]+) repeated, ([\d,]+) refused", said)
    assert (sent, refused) == (accepted + repeated, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_all(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C is how most people end it; it is what they asked for, so it is no failure."""
    with demo_of(tmp_path) as demo:
        said = read_until(demo, "-- ")
        pids = _children(demo.pid)
        assert len(pids) == 5
        began = time.monotonic()
        demo.send_signal(number)
        said += demo.communicate(timeout=3 * END_S)[0]
    assert demo.returncode == 0, said
    assert "The simulated shop was open for" in said
    assert "Traceback" not in said
    assert time.monotonic() - began < 3 * END_S
    assert _left_behind(tmp_path, pids) == ([], [])


def test_a_signal_while_it_starts_ends_it_too(tmp_path: Path) -> None:
    """Whoever changes their mind does so early."""
    with demo_of(tmp_path) as demo:
        said = read_until(demo, "Starting")
        demo.send_signal(signal.SIGINT)
        said += demo.communicate(timeout=3 * END_S)[0]
    assert demo.returncode == 0, said
    assert "Stopped before the shop was open" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_dies_is_a_failure_with_its_last_words(tmp_path: Path) -> None:
    """A demo that went on without its worker would show a quiet shop."""
    with demo_of(tmp_path) as demo:
        said = read_until(demo, "-- ")
        pids = _children(demo.pid)
        (worker,) = [pid for pid in pids if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
        os.kill(worker, signal.SIGKILL)
        said += demo.communicate(timeout=3 * END_S)[0]
    assert demo.returncode == 1, said
    assert "The demo failed: the worker ended by itself with status -9." in said
    assert "shard acquired" in said
    assert _left_behind(tmp_path, pids) == ([], [])


def test_a_sender_that_dies_is_a_failure_with_its_last_words(tmp_path: Path) -> None:
    """A demo that went on without its sender would show decisions and no mails."""
    with demo_of(tmp_path) as demo:
        said = read_until(demo, "-- ")
        pids = _children(demo.pid)
        (sender,) = [pid for pid in pids if b"send" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
        os.kill(sender, signal.SIGKILL)
        said += demo.communicate(timeout=3 * END_S)[0]
    assert demo.returncode == 1, said
    assert "The demo failed: the sender ended by itself with status -9." in said
    assert "this broker has no transactions" in said
    assert _left_behind(tmp_path, pids) == ([], [])


def test_it_says_what_to_type_where_a_server_is_missing(tmp_path: Path) -> None:
    """The first thing that can go wrong on a new machine."""
    with demo_of(tmp_path, STREAMER_REDIS_SERVER="no-such-server") as demo:
        said = demo.communicate(timeout=3 * END_S)[0]
    assert demo.returncode == 3, said
    assert "apt-get install" in said
    assert list(tmp_path.iterdir()) == []


def _numbers(pattern: str, text: str) -> tuple[int, ...]:
    found = re.search(pattern, text)
    assert found is not None, text
    return tuple(int(group.replace(",", "")) for group in found.groups())
