"""A shop that sells coffee: segments, messages over them, and their templates in English, Arabic, Persian and Ukrainian.

It runs as it is, and is a start for a shop's own.
"""

from __future__ import annotations

from pathlib import Path


def coffee_shop_path() -> Path:
    """The definitions."""
    return Path(__file__).parent / "coffee_shop.yaml"


def coffee_shop_templates() -> Path:
    """The folder of the templates of its messages, as ``streamer send`` takes it."""
    return Path(__file__).parent / "templates"
