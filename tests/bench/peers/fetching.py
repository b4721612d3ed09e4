"""What rivals need that this project does not: fetched once, by the ordinary clients, and kept beside the code."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from streamer.errors import SettingsError

ROOT: Final = Path(__file__).parents[3]
CACHE: Final = ROOT / ".cache" / "peers"
TAIL_LINES: Final = 12


def call(command: Sequence[str], timeout_s: float, what: str) -> None:
    """Run a program to its end. SettingsError with its last words where it fails or takes too long."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise SettingsError(f"{what} did not answer within {timeout_s:g} s") from error
    if done.returncode:
        raise SettingsError(f"{what} failed:\n" + "\n".join((done.stdout + done.stderr).splitlines()[-TAIL_LINES:]))
