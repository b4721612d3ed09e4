"""What is allowed but suspicious in definitions."""

from __future__ import annotations

from dataclasses import dataclass

from .definitions import Definitions


@dataclass(frozen=True, slots=True)
class Finding:
    """One suspicion about one segment."""

    segment: str
    message: str
    file: str = ""
    line: int = 0


def lint(_definitions: Definitions) -> list[Finding]:
    """Segments that can never be entered, hold everybody, or can never be left."""
    return []
