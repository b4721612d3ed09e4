"""Kafka and the store of a deployment, as previews ask them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from aiokafka.errors import KafkaError

from streamer.errors import SettingsError
from streamer.flow.catalog import Plans
from streamer.flow.committed import CommittedCustomers, history_in_force
from streamer.settings import Settings
from streamer.stores.base import Store


@contextmanager
def kafka_asked(settings: Settings) -> Generator[None]:
    """SettingsError where Kafka does not do its part."""
    try:
        yield
    except (KafkaError, TimeoutError) as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot read the log at {settings.kafka} ({type(error).__name__})") from None


@asynccontextmanager
async def store_of(settings: Settings) -> AsyncGenerator[Store]:
    """The store, closed at the end."""
    store = settings.open_store()
    try:
        yield store
    finally:
        await store.close()


def customers_of(settings: Settings, store: Store) -> CommittedCustomers:
    """The customers as the shards have committed them."""
    return CommittedCustomers(store, settings.rules, Plans(store, settings.rules))


async def history_ends(settings: Settings, store: Store) -> dict[int, int]:
    """By shard, the offset in its log of history below which everything is part of its past; only shards that have some."""
    return history_in_force(await customers_of(settings, store).views())


__all__ = ["customers_of", "history_ends", "kafka_asked", "store_of"]
