"""Quix Streams, as PyPI has it, in an environment of its own."""

from __future__ import annotations

import shutil
import sys
from typing import Final

from streamer.errors import SettingsError

from .engines import HERE, Engine
from .fetching import CACHE, ROOT, call

VERSION: Final = "3.28.1"
PYTHON: Final = CACHE / f"quix-{VERSION}" / "bin" / "python"
INSTALL_S: Final = 300.0


class Quix(Engine):
    """Quix Streams with exactly-once and its own RocksDB."""

    name = "quix"
    guarantee = "exactly once"
    flushes_when_it_ends = True
    sources = (HERE / "rules.py", HERE / "quix_job.py")

    @classmethod
    def prepare(cls) -> None:
        """Make the environment where it is missing."""
        if PYTHON.exists():
            return
        folder = PYTHON.parents[1]
        try:
            call([sys.executable, "-m", "venv", str(folder)], INSTALL_S, "venv")
            call([str(PYTHON), "-m", "pip", "install", "--quiet", f"quixstreams=={VERSION}", "msgspec"], INSTALL_S, "pip")
        except SettingsError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def command(self) -> list[str]:
        return [str(PYTHON), "-m", "tests.bench.peers.quix_job"]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PYTHONPATH": str(ROOT)}
