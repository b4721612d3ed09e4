"""What one would write first: a Faust agent that reads and writes a customer's state in Redis at every event.

Run as a program by ``faust_part``. It keeps a few counters of one customer and says when they have looked at three things: no
duplicates, no timers, no reasons, and a crash between its writes loses or repeats.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from time import monotonic, process_time
from typing import Any

import faust
import orjson
from redis.asyncio import Redis

PREFIX, KAFKA, REDIS, NUMBER = (os.environ.get(name, "") for name in ("BENCH_PREFIX", "BENCH_KAFKA", "BENCH_REDIS", "BENCH_EVENTS"))

app = faust.App(
    f"{PREFIX}-plain",
    broker=f"kafka://{KAFKA}",
    topic_allow_declare=False,
    topic_disable_leader=True,
    web_enabled=False,
    worker_redirect_stdouts=False,
    consumer_auto_offset_reset="earliest",
    datadir=tempfile.mkdtemp(prefix="streamer-bench-"),
)
events = app.topic(f"{PREFIX}.events", value_type=bytes, value_serializer="raw", key_serializer="raw")
changes = app.topic(f"{PREFIX}.plain-changes", value_type=bytes, value_serializer="raw", key_serializer="raw")
redis: Any = Redis.from_url(REDIS) if REDIS else None
done = {"events": 0, "cpu_s": 0.0, "at_s": 0.0}


@app.agent(events)
async def count(stream: Any) -> None:
    async for raw in stream:
        if not done["events"]:
            done.update(cpu_s=process_time(), at_s=monotonic())
        await handle(raw)
        done["events"] += 1
        if done["events"] == int(NUMBER):
            spent = {"cpu_s": process_time() - done["cpu_s"], "wall_s": monotonic() - done["at_s"]}
            print(json.dumps({"plain": spent}), file=sys.__stdout__, flush=True)  # Faust makes a log line of the other one


async def handle(raw: bytes) -> None:
    """One event."""
    event = orjson.loads(raw)
    if not isinstance(event, dict) or "userId" not in event:
        return
    key = f"plain:{event['userId']}"
    kept = await redis.get(key)
    state: dict[str, Any] = orjson.loads(kept) if kept else {"n": 0, "names": {}}
    name = event.get("event", event["type"])
    state["n"] += 1
    state["last"] = event["timestamp"]
    state["names"][name] = state["names"].get(name, 0) + 1
    await redis.set(key, orjson.dumps(state))
    if state["names"].get("Product Viewed") == 3 and name == "Product Viewed":
        await changes.send(key=event["userId"].encode(), value=orjson.dumps({"entered": "looker", "customer": event["userId"]}))


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "warn"]
    app.main()
