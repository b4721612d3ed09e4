"""What an event costs here and in a checkout of an earlier commit: the core part of each, in alternating pairs of processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from streamer.errors import SettingsError

from .report import Report

PAIRS: Final = 8
TIMEOUT_S: Final = 300
HERE: Final = Path(__file__).parents[2]


def measure(report: Report, base: Path, *, quick: bool) -> None:
    """Microseconds of processor time an event, of events that name one id; the median of the pairs says by how much they differ."""
    part = "against"
    report.begin(part, f"the core part here and in {base}, {PAIRS} alternating pairs")
    pairs = [(_core(base, quick=quick), _core(HERE, quick=quick)) for _ in range(PAIRS)]
    shares = sorted((here / there - 1) * 100 for there, here in pairs)
    report.add(part, "there", min(there for there, _ in pairs), "µs/event", "the least")
    report.add(part, "here", min(here for _, here in pairs), "µs/event", "the least")
    report.add(part, "here costs more by", median(shares), "%", f"median; pairs differ by {shares[0]:.1f} to {shares[-1]:.1f} %")


def _core(checkout: Path, *, quick: bool) -> float:
    with tempfile.TemporaryDirectory(prefix="streamer-bench-") as folder:
        file = Path(folder, "figures.json")
        command = [sys.executable, "-m", "tests.bench", "--part", "core", "--json", str(file), *(["--quick"] if quick else [])]
        environment = {**os.environ, "PYTHONPATH": str(checkout)}
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode:
            raise SettingsError(f"the benchmark in {checkout} failed:\n{done.stderr[-2_000:]}")
        figure: float = json.loads(file.read_text())["figures"]["core"]["all"]["value"]
    return figure
