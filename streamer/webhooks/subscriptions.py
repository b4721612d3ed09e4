"""The topic of subscriptions: what holds now, and what changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord
from structlog.typing import FilteringBoundLogger

from streamer.errors import RefusedError
from streamer.settings import Settings
from streamer.signing import Keyring, SignedPlace, signature_of
from streamer.transports.kafka.clients import signer
from streamer.transports.kafka.keyed_topic import follow, read_newest
from streamer.wire import SUBSCRIPTIONS

from .subscription import Subscription, decode_subscription, encode_subscription

PLACE: Final = SignedPlace("subscription", SUBSCRIPTIONS, 0)  # for what a record of the topic is signed

log: Final[FilteringBoundLogger] = structlog.get_logger("streamer.webhooks")


async def read_subscriptions(settings: Settings) -> dict[str, Subscription]:
    """All that hold, by name. Raises KafkaError, TimeoutError."""
    found: dict[str, Subscription] = {}
    update(found, (await read_newest(settings, SUBSCRIPTIONS)).values(), settings.keyring)
    return dict(sorted(found.items()))


async def follow_subscriptions(settings: Settings) -> AsyncGenerator[dict[str, Subscription]]:
    """All that hold, again each time that one changes. Raises KafkaError."""
    found: dict[str, Subscription] = {}
    keyring = settings.keyring
    async with aclosing(follow(settings, SUBSCRIPTIONS)) as batches:
        async for records in batches:
            update(found, records, keyring)
            yield dict(found)


async def write_subscription(settings: Settings, client: AIOKafkaProducer, name: str, subscription: Subscription | None) -> None:
    """Put a subscription into its topic, signed where this process has keys; None removes it. Raises KafkaError."""
    raw = encode_subscription(subscription) if subscription is not None else None
    by = signer(settings)
    headers = [*by.sign(PLACE, name.encode(), raw or b"")] if by is not None else []
    topic = settings.topic(SUBSCRIPTIONS)
    await client.send_and_wait(topic, raw, key=name.encode(), partition=0, headers=headers)


def update(found: dict[str, Subscription], records: Iterable[ConsumerRecord[bytes, bytes]], keyring: Keyring) -> None:
    """Take records of the topic into what holds. One that cannot be read, or is not signed by a key of ours, changes nothing."""
    for record in records:
        name = (record.key or b"").decode(errors="replace")
        if not _is_ours(record, name, keyring):
            log.error("no subscription: it is not signed by a key of ours", action="webhooks", offset=record.offset)
        elif not record.value:
            found.pop(name, None)
        else:
            try:
                subscription = decode_subscription(record.value)
            except RefusedError as error:
                log.error("no subscription", action="webhooks", offset=record.offset, why=error.detail)
            else:
                if subscription.name == name:
                    found[name] = subscription
                else:  # it would share the group of the other one, and take its changes
                    log.error("no subscription: its key is another name", action="webhooks", offset=record.offset)


def _is_ours(record: ConsumerRecord[bytes, bytes], name: str, keyring: Keyring) -> bool:
    """Whether a record may say who gets the changes: where this process has keys, only one that is signed by one of them."""
    if not keyring.secrets:
        return True
    headers = tuple((key, value or b"") for key, value in record.headers)
    signature = signature_of(headers)
    if signature is None or signature.key not in keyring.secrets:
        return False
    return keyring.verifies(signature, PLACE, name.encode(), record.value or b"")
