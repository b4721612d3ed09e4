"""Every implementation of a store, one after the other."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from streamer.local.redis import RedisServer
from streamer.stores.base import Store
from streamer.stores.memory import MemoryStore
from streamer.stores.redis import connect


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An empty one."""
    if request.param == "memory":
        found: Store = MemoryStore()
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        found = connect(server.url, namespace=f"contract-{uuid.uuid4().hex}")
    yield found
    await found.close()
