"""Prometheus' own checker, which knows its language and evaluates rules over series that a test writes down."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import yaml

from tests.lacking import missing

if TYPE_CHECKING:
    from pathlib import Path


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Prometheus' own checker."""
    program = shutil.which("promtool")
    if program is None:
        missing("no promtool here (Debian: apt-get install prometheus)")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


def expect(file: Path, tests: list[dict[str, object]], *rule_files: Path) -> None:
    """Write promtool's test file and run it; AssertionError with its words where something else comes out."""
    rules = [str(rules) for rules in rule_files]
    file.write_text(yaml.safe_dump({"rule_files": rules, "evaluation_interval": "1m", "tests": tests}))
    done = promtool("test", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout + done.stderr
