"""How commands go over the wire."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Connection

from streamer.stores.redis_connection import _packed

COMMANDS: list[tuple[Any, ...]] = [
    ("HSET", "{streamer:7}:customers:1", "customer é ключ \U0001f600", b"\x00\r\n\xff", "", b""),
    ("ZADD", "{streamer:7}:wakes", -1, "a", 1_765_000_000_000, "b b"),
    ("EXEC",),
]


def test_commands_are_packed_as_redis_py_packs_them() -> None:
    """Ids with spaces, of any script, and bytes with line ends."""
    connection: Any = Connection()
    assert b"".join(_packed(COMMANDS)) == b"".join(connection.pack_commands(COMMANDS))


def test_a_text_that_is_no_unicode_is_packed_by_nobody() -> None:
    """It would be another customer's id after it was read back."""
    with pytest.raises(UnicodeEncodeError):
        _packed([("HGET", "key", "\ud800")])
