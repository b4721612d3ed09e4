"""What the answer to ``INFO`` means for a store: which settings of the server lose keys, and which refuse commits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .health import Health, StoreFinding

OLDEST: Final = (6, 2)
NEARLY_FULL: Final = 0.75  # of maxmemory: above it the next campaign may be refused


def read_health(info: Mapping[str, Any]) -> Health:
    """Health of a server by the fields of its ``INFO``."""
    used, limit, policy = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0)), _policy(info)
    room = f"of {limit:,}" if limit else "and no limit"
    version = str(info.get("redis_version", "0"))
    return Health(f"Redis {version}, {used:,} bytes used {room}, {policy}", tuple(_findings(info, version, used, limit)))


def _findings(info: Mapping[str, Any], version: str, used: int, limit: int) -> Iterator[StoreFinding]:
    policy, role = _policy(info), str(info.get("role", "unknown"))
    if policy != "noeviction":
        yield StoreFinding(
            "eviction",
            "danger",
            f"maxmemory-policy is {policy}: Redis may drop customers and positions",
            "run CONFIG SET maxmemory-policy noeviction",
        )
    if role != "master":
        yield StoreFinding("replica", "danger", f"role is {role}: commits need the primary", "give the address of the primary")
    if str(info.get("redis_mode", "standalone")) == "cluster":
        yield StoreFinding(
            "cluster", "danger", "this is a Redis Cluster, which is not supported", "use one primary, with replicas as you like"
        )
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        yield StoreFinding("old_version", "unfit", f"version {version} is older than 6.2", "use a Redis or Valkey that is 6.2 or newer")
    if limit and used > NEARLY_FULL * limit:
        # No reason to refuse a start: it takes commits still, and a worker that must not begin in the middle of a campaign helps nobody.
        yield StoreFinding(
            "nearly_full", "warning", f"{used:,} of {limit:,} bytes are used: once it is full it refuses every commit", "raise maxmemory"
        )
    if str(info.get("aof_enabled", "0")) != "1":
        yield StoreFinding(
            "not_durable",
            "advice",
            "appendonly is off: after a crash of Redis the shards replay from its last snapshot",
            "CONFIG SET appendonly yes, and in the file of the server",
        )


def _policy(info: Mapping[str, Any]) -> str:
    return str(info.get("maxmemory_policy", "unknown"))
