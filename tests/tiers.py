"""Which tests are fast, and which must stay in one process when several share the work. For ``tests/conftest.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
FAST: Final = ("unit", "oracle", "peers")  # folders
SLOW: Final = ("unit/demo", "unit/local")  # of them: processes are started, terminals are drawn
SERVERS: Final = frozenset({"kafka", "broker", "real_kafka_or_why_not", "redis_server"})  # fixtures
TOGETHER: Final = ("learning", "simulation/test_world", "property/test_forwards")  # files that compute something once for all their tests


def mark_and_order(items: list[pytest.Item]) -> None:
    """Mark each test; those that share servers go first, as they are the longest thread."""
    for item in items:
        place = item.path.relative_to(HERE).as_posix()
        needs = set(getattr(item, "fixturenames", ()))
        if needs & SERVERS:
            item.add_marker(pytest.mark.xdist_group("servers"))
        elif place.startswith(TOGETHER):
            item.add_marker(pytest.mark.xdist_group(place))
        if place.startswith(FAST) and not place.startswith(SLOW) and not needs & SERVERS:
            item.add_marker(pytest.mark.fast)
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
