"""All checks of ``streamer doctor``, in the order in which one would act on them."""

from __future__ import annotations

from time import time

from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.stores.base import Store

from .broker_checks import KafkaChecks, check_kafka
from .collector_checks import check_collector
from .finding import CheckResult, wrong
from .ingest_checks import check_ingest
from .sender_checks import check_sender
from .server_checks import check_server
from .settings_checks import check_settings
from .shard_checks import check_progress, check_signing
from .store_checks import StoredShard, check_outbox, check_store, read_shards
from .version_checks import check_definitions, check_manifest
from .webhook_checks import check_webhooks
from .worker_checks import check_workers, read_notes


async def examine(settings: Settings) -> list[CheckResult]:
    """Results of all checks that can be made: what needs a store that does not answer is left out."""
    try:
        store = settings.open_store()
    except SettingsError as error:
        return [wrong("settings", str(error), "correct it; `streamer config` shows what is in force")]
    try:
        answers = await check_store(settings, store)
        shards = await read_shards(settings, store) if answers[0].verdict == "ok" else None
        kafka = await check_kafka(settings, begun=any(shard.body is not None for shard in shards or ()))
        ingest = await check_ingest(settings) if kafka.results[0].verdict == "ok" else []
        webhooks = await check_webhooks(settings) if kafka.results[0].verdict == "ok" else []
        found = [
            *check_settings(settings),
            *check_collector(settings),
            *check_server(settings),
            *await check_sender(settings),
            *kafka.results,
            *ingest,
            *webhooks,
            *answers,
        ]
        return found if shards is None else [*found, *await _check_state(settings, store, shards, kafka)]
    finally:
        await store.close()


async def _check_state(settings: Settings, store: Store, shards: list[StoredShard], kafka: KafkaChecks) -> list[CheckResult]:
    """What the store holds, beside what Kafka has."""
    found: list[CheckResult] = []
    if kafka.published is not None:
        found += [check_manifest(settings, kafka.published), await check_definitions(kafka.published, store, shards)]
    notes, now_ms = await read_notes(settings, store), int(time() * 1_000)
    found += check_progress(shards, kafka.ends, now_ms, settings.tick)
    found += check_signing(settings.keyring, shards)
    found += check_workers(notes, settings, now_ms)
    return [*found, await check_outbox(store, shards)]


__all__ = ["examine"]
