"""What a person will read: the outcome of rendering, fit for any channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["ltr", "rtl"]


@dataclass(frozen=True, slots=True)
class MessageContent:
    """A message in one language. ``html`` is empty where there is only text, which is always there. ``language`` is a tag as in HTML's
    ``lang``."""

    subject: str
    text: str
    html: str
    language: str
    direction: Direction
