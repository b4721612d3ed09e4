"""What strangers do to a port on the internet, towards a collector: connections that say nothing, requests that never end, gzip bombs."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession

BEGUN: Final = b"POST /v1/batch HTTP/1.1\r\nHost: shop\r\nContent-Length: 100000\r\nX-Slow: "
BOMB: Final = gzip.compress(b"0" * (256 << 20), 9)  # a quarter of a megabyte, a thousand times as much unpacked
AT_ONCE: Final = 500


@asynccontextmanager
async def half_open(address: str, connections: int) -> AsyncGenerator[list[asyncio.StreamWriter]]:
    """So many connections that say nothing, or half of a header, and stay."""
    url, made = urlsplit(address), list[asyncio.StreamWriter]()
    try:
        for begin in range(0, connections, AT_ONCE):
            opened = [asyncio.open_connection(url.hostname, url.port) for _ in range(min(AT_ONCE, connections - begin))]
            made += [writer for _, writer in await asyncio.gather(*opened)]
        for writer in made[::2]:
            writer.write(BEGUN)
        yield made
    finally:
        for writer in made:
            writer.transport.abort()


@asynccontextmanager
async def slow(writers: list[asyncio.StreamWriter], every_s: float = 0.2) -> AsyncGenerator[None]:
    """Some of them send a byte now and then."""

    async def trickle() -> None:
        while True:
            for writer in writers:
                writer.write(b"a")
            await asyncio.sleep(every_s)

    trickling = asyncio.create_task(trickle())
    try:
        yield
    finally:
        trickling.cancel()


async def bombs(address: str, number: int, at_once: int) -> Counter[int]:
    """How so many gzip bombs are answered, by status."""
    answers, left = Counter[int](), iter(range(number))

    async def throw(session: ClientSession) -> None:
        for _ in left:
            async with session.post(f"{address}/v1/batch", data=BOMB, headers={"Content-Encoding": "gzip"}) as answer:
                answers[answer.status] += 1

    async with ClientSession() as session:
        await asyncio.gather(*(throw(session) for _ in range(at_once)))
    return answers


async def good(address: str, headers: dict[str, str], number: int) -> Counter[int]:
    """How so many events are answered, each over a connection of its own; 0 for one that was closed without an answer."""
    answers = Counter[int]()
    for at in range(number):
        event = {"userId": "c-1", "event": "Product Viewed", "messageId": f"m-{at}"}
        async with ClientSession(headers={**headers, "Connection": "close"}) as session:
            try:
                async with session.post(f"{address}/v1/track", json=event) as answer:
                    answers[answer.status] += 1
            except ClientError:
                answers[0] += 1
    return answers


def resident_mb(pid: int) -> float:
    """What is resident of a process now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1e3
