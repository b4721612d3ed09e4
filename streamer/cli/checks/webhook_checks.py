"""Checks of webhooks: which subscriptions do not get what they asked for, and what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final, assert_never

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streamer.settings import Settings
from streamer.transports.kafka.clients import connection
from streamer.webhooks.administration import positions_of
from streamer.webhooks.subscription import Subscription
from streamer.webhooks.subscriptions import read_subscriptions
from streamer.wire import SUBSCRIPTIONS

from .finding import CheckResult, ok, warning, wrong

WEBHOOK_SECONDS: Final = 30.0
NAME: Final = "webhooks"


async def check_webhooks(settings: Settings) -> list[CheckResult]:
    """A result a subscription; nothing where webhooks were never used. Sends nothing, and joins no group."""
    try:
        async with asyncio.timeout(WEBHOOK_SECONDS):
            if not await _is_used(settings):
                return []
            found: list[CheckResult] = []
            for one in (await read_subscriptions(settings)).values():
                behind = await positions_of(settings, one) if one.status == "active" else {}
                found.append(check_subscription(one, behind))
            return found
    except (TimeoutError, KafkaError) as error:
        remedy = "see whether this user may read the topic of subscriptions and describe their groups"
        return [wrong(NAME, f"cannot see how far subscriptions are: {type(error).__name__}", remedy)]


def check_subscription(one: Subscription, behind: Mapping[int, int | None]) -> CheckResult:
    """What its status and its group's positions say; ``behind`` are the records that are not done, None where nothing was read."""
    name = f"{NAME}: {one.name}"
    match one.status:
        case "disabled":
            return warning(name, f"disabled: {one.why}", f"mend the endpoint, then `streamer webhooks resume {one.name}`")
        case "paused":
            return ok(name, "paused by hand")
        case "active":
            unread = sum(records is None for records in behind.values())
            if unread:
                return warning(name, f"{unread} of {len(behind)} shards were never read", "start `streamer webhooks run`")
            return ok(name, f"{sum(records or 0 for records in behind.values()):,} records behind in {len(behind)} shards")
        case _:
            assert_never(one.status)


async def _is_used(settings: Settings) -> bool:
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        return settings.topic(SUBSCRIPTIONS) in await admin.list_topics()
    finally:
        await admin.close()
