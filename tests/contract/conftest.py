"""Every implementation of a store, one after the other."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from streamer.local.redis import RedisServer
from streamer.stores import Access
from streamer.stores.base import Store
from streamer.stores.memory import MemoryStore
from streamer.stores.redis import connect

from .sqlite_store import open_sqlite


@pytest.fixture(params=["memory", "redis", "sqlite"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """An empty one."""
    if request.param == "memory":
        found: Store = MemoryStore()
    elif request.param == "sqlite":
        found = open_sqlite(f"sqlite://{request.getfixturevalue('tmp_path')}", namespace="contract", access=Access())
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        found = connect(server.url, namespace=f"contract-{uuid.uuid4().hex}")
    yield found
    await found.close()
