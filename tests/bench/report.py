"""What was measured, for people and for machines."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("faust-streaming", "aiokafka", "redis", "hiredis", "msgspec", "cramjam", "orjson")


@dataclass(slots=True)
class Report:
    """Figures by part. Each is printed when it is there, so that a run that is broken off has said what it knew."""

    command: str
    figures: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    servers: dict[str, str] = field(default_factory=dict[str, str])

    def begin(self, part: str, what: str) -> None:
        """A heading."""
        self.figures.setdefault(part, {})
        print(f"\n{part}: {what}", flush=True)

    def add(self, part: str, name: str, value: float, unit: str, note: str = "") -> None:
        """One figure."""
        self.figures.setdefault(part, {})[name] = {"value": round(value, 4), "unit": unit}
        shown = f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
        print(f"  {name:<58} {shown:>12} {unit:<10} {note}".rstrip(), flush=True)

    def as_data(self) -> dict[str, Any]:
        """Everything, fit for JSON."""
        return {"command": self.command, "machine": machine(), "versions": versions(), "servers": self.servers, "figures": self.figures}

    def print_machine(self) -> None:
        """What it was measured on."""
        found = machine()
        print(f"{found['processor']}, {found['cores']} cores, {found['memory_gb']} GB, {found['system']}, Python {found['python']}")
        print(", ".join(f"{name} {number}" for name, number in versions().items()), flush=True)


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system, Python, and how busy it was with other things when asked."""
    model = next((line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory_kb = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gb": round(memory_kb / 1e6, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "load": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Of the packages that matter here."""
    return {name: version(name) for name in PACKAGES}


def percentile(ordered: list[float], share: float) -> float:
    """The value below which that share of an ascending list lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []
