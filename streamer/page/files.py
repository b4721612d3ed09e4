"""Files that are sent as they are: the stylesheet and the scripts. They lie in the package, and are read once."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

STATIC: Final = Path(__file__).with_name("static")
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class StaticFile(NamedTuple):
    """A file, its type, and what differs when it does."""

    body: bytes
    type: str
    version: str


@cache
def static_files() -> dict[str, StaticFile]:
    """All of them by name."""
    found: dict[str, StaticFile] = {}
    for path in sorted(STATIC.iterdir()):
        if path.suffix in TYPES:
            body = path.read_bytes()
            found[path.name] = StaticFile(body, TYPES[path.suffix], sha256(body).hexdigest()[:12])
    return found


def address_of(name: str) -> str:
    """Where a page gets a file from: another address for another version, so browsers may keep it."""
    return f"/static/{name}?v={static_files()[name].version}"
