"""Ready definitions, one file a family: what shops ask for. They load as they are, or are a start for a shop's own."""

from __future__ import annotations

from pathlib import Path


def library_path() -> Path:
    """The folder of the definitions."""
    return Path(__file__).parent
