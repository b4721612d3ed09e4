"""Clients that run in processes: Python's and Node's, one process a client with all its runs at once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.clients.installed import node, node_clients, python_clients
from tests.clients.outcomes import Client, Told, run_name
from tests.clients.way import Way

HERE: Final = Path(__file__).parent / "senders"
ROOT: Final = HERE.parents[2]
LIMIT_S: Final = 40


async def send(client: Client, ways: Sequence[Way]) -> dict[str, Told]:
    """What a client tells of the run on each way, by the run's name. AssertionError with what its process wrote where one is missing."""
    runs = {run_name(client, way.fault): way.address for way in ways}
    command, environment = _call(client)
    process = await asyncio.create_subprocess_exec(
        *command,
        *(f"{run}={address}" for run, address in runs.items()),
        env={**os.environ, **environment},
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told = dict(map(_told, filter(lambda line: line.startswith(b'{"run"'), out.splitlines())))
    assert told.keys() == runs.keys(), f"{client.name} told of {sorted(told)}\n{out.decode()[-2000:]}\n{errors.decode()[-4000:]}"
    return told


def _call(client: Client) -> tuple[list[str], Mapping[str, str]]:
    """How the client's program is called, and what it needs in its environment."""
    if (HERE / f"{client.name}.py").exists():
        path = os.pathsep.join([str(python_clients()), str(ROOT)])
        return [sys.executable, "-m", f"tests.clients.senders.{client.name}"], {"PYTHONPATH": path}
    return [str(node()), str(HERE / f"{client.name}.cjs")], {"NODE_PATH": str(node_clients())}


def _told(line: bytes) -> tuple[str, Told]:
    told = json.loads(line)
    return told["run"], Told(frozenset(told["delivered"]), frozenset(told["failed"]))
