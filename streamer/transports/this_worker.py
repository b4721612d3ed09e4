"""The name of this process, as a person finds it in notes, locks and amendments."""

from __future__ import annotations

import os
import socket


def this_worker() -> str:
    """Host and process id of this process, for example ``shop-1:4711``: where a person has to look."""
    return f"{socket.gethostname()}:{os.getpid()}"


__all__ = ["this_worker"]
