"""Exim, the mail server that Debian installs by default, with a configuration and mailboxes of a test's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from time import monotonic, sleep
from typing import Final, TypeVar

from streamer.local.children import LOOPBACK, free_port
from tests.lacking import missing

START_SECONDS: Final = 20.0
FOUND_SECONDS: Final = 20.0
AS_ROOT: Final = () if os.geteuid() == 0 else ("sudo", "-n")  # it changes to a user of its own, which nobody else can
LIFE_SECONDS: Final = 110  # then it ends, whoever started it: with the user that it changes to, the kernel forgets its parent
FOLDERS: Final = ("spool", "mails")
CONFIGURATION: Final = """
primary_hostname = mail.test
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%s.log
pid_file_path = {folder}/spool/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
host_lookup =
keep_environment =
tls_advertise_hosts =
deliver_drop_privilege = true
acl_smtp_rcpt = rcpt
acl_smtp_data = data
begin acl
rcpt:
  deny local_parts = nobody
    message = 550 5.1.1 no such mailbox
  deny local_parts = blocked
    message = 550 5.7.1 policy
  defer local_parts = greylist
    message = 451 4.7.1 later
  accept
data:
  deny condition = ${{if match{{$recipients}}{{spam@}}}}
    message = 554 5.7.1 looks like spam
  defer condition = ${{if match{{$recipients}}{{full@}}}}
    message = 452 4.2.2 mailbox full
  accept
begin routers
gone:
  driver = redirect
  local_parts = gone
  allow_fail
  data = :fail: moved away
all:
  driver = accept
  transport = mails
begin transports
mails:
  driver = appendfile
  directory = {folder}/mails
  maildir_format
  create_directory
  directory_mode = 0755
  mode = 0644
"""


Found = TypeVar("Found")


class Exim:
    """A server on a port of its own. A mail to ``gone@`` it takes, and then sends back. ``nobody@`` and ``blocked@`` it refuses for ever,
    ``greylist@`` for now; and so, once it has the whole mail, ``spam@`` and ``full@``."""

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self._folder = folder
        self._process = process

    def mail(self, key: str) -> EmailMessage:
        """The one mail that was delivered with ``key`` in its Message-ID, once it is there."""

        def of_key(raw: bytes) -> EmailMessage | None:
            mail = message_from_bytes(raw, policy=policy.default)
            return mail if key in mail["Message-ID"] else None

        return self.first(of_key)

    def first(self, find: Callable[[bytes], Found | None]) -> Found:
        """What ``find`` finds in one of the mails as they lie in the mailbox, once it does. Whose mails are there already is of no account:
        the server is that of several tests."""
        place, found = self._folder / "mails" / "new", list[Found]()

        def has_come() -> bool:
            files = sorted(place.iterdir()) if place.is_dir() else []
            found[:] = [one for file in files if (one := find(file.read_bytes())) is not None]
            return bool(found)

        self._wait(has_come, FOUND_SECONDS)
        assert len(found) == 1, f"{len(found)} mails"
        return found[0]

    def wait_until_ready(self) -> None:
        """Return when it takes connections."""
        self._wait(self._answers, START_SECONDS)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection((LOOPBACK, self.port), timeout=1):
            return True
        return False

    def _wait(self, is_so: Callable[[], bool], seconds: float) -> None:
        deadline = monotonic() + seconds
        while not is_so():
            output = (self._folder / "output").read_text(errors="replace")
            assert self._process.poll() is None, output
            assert monotonic() < deadline, output
            sleep(0.05)


@contextmanager
def exim() -> Generator[Exim]:
    """A server until the end of the block."""
    program = shutil.which("exim4", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        missing("no Exim here (Debian: apt-get install exim4-daemon-light; it takes the place of another mail server)")
    if subprocess.run([*AS_ROOT, "true"], capture_output=True, timeout=10, check=False).returncode != 0:
        missing("Exim is started by root, or with a sudo that asks nothing")
    folder, port = Path(tempfile.mkdtemp(prefix="streamer-exim-")), free_port()
    try:
        _lay_out(folder, port)
        with (folder / "output").open("wb") as output:
            command = [*AS_ROOT, "timeout", str(LIFE_SECONDS), program, "-C", str(folder / "exim.conf"), "-bdf"]
            process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            found = Exim(folder, port, process)
            found.wait_until_ready()
            yield found
        finally:
            _as_root("kill", str(process.pid))
            process.wait(10)
    finally:
        _as_root("rm", "-rf", str(folder))


def _lay_out(folder: Path, port: int) -> None:
    """Folders into which Exim's user may write, and a configuration that is root's, or it is not believed."""
    folder.chmod(0o755)
    for name in FOLDERS:
        (folder / name).mkdir()
        (folder / name).chmod(0o777)
    (folder / "exim.conf").write_text(CONFIGURATION.format(folder=folder, port=port))
    _as_root("chown", "root:root", str(folder / "exim.conf"))


def _as_root(*command: str) -> None:
    subprocess.run([*AS_ROOT, *command], check=False, timeout=10, capture_output=True)
