"""A worker on a store that this package does not know: registered by an entry point, as another package would."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.local.apache_kafka import ApacheKafka, ExternalKafka
from tests.contract.registered import install

from .deployment import Deployment

ROOT = Path(__file__).parents[2]


async def test_a_worker_runs_on_a_store_of_another_package(
    kafka: ApacheKafka | ExternalKafka, fresh_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed and started again it goes on from the file, and tells the same story as a store in memory."""
    install(tmp_path, scheme="sqlite", opener="tests.contract.sqlite_store:open_sqlite")
    monkeypatch.syspath_prepend(tmp_path)
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    shop = Deployment(kafka.bootstrap, f"sqlite://{tmp_path}", fresh_name, tmp_path)
    await shop.prepare()
    first = shop.start_worker(**path)
    await shop.load(2)
    await shop.until_caught_up()
    first.kill()
    shop.start_worker(**path)
    await shop.load(2)
    await shop.until_caught_up()
    assert await shop.stop_all() == [0], shop.logs()
    assert "SQLite" in await shop.command("doctor", **path)
    assert min(checkpoint.epoch for checkpoint in await shop.checkpoints()) >= 2, "both had all shards"
    assert (await shop.reckon()).changes > 10, "too little happened to prove anything"
