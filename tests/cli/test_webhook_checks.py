"""What ``streamer doctor`` says of subscriptions."""

from __future__ import annotations

import msgspec
import pytest

from streamer.cli.checks.webhook_checks import check_subscription
from streamer.webhooks.subscription import Start, Status, Subscription

ACTIVE = Subscription(name="shop", id="0a1b2c3d", url="https://shop.example/", secrets=("env:SHOP",), start=Start())


@pytest.mark.parametrize(
    ("status", "behind", "verdict", "said"),
    [
        ("active", {0: 0, 1: 7}, "ok", "7 records behind in 2 shards"),
        ("active", {0: None, 1: 7}, "warning", "1 of 2 shards were never read"),
        ("paused", {}, "ok", "paused by hand"),
        ("disabled", {}, "warning", "disabled: the endpoint answered 410 Gone"),
    ],
)
def test_a_subscription_says_whether_it_gets_its_changes(status: Status, behind: dict[int, int | None], verdict: str, said: str) -> None:
    """Nobody looks at a webhook that stopped: its receiver just hears nothing."""
    one = msgspec.structs.replace(ACTIVE, status=status, why="the endpoint answered 410 Gone" if status == "disabled" else "")
    found = check_subscription(one, behind)
    assert (found.verdict, found.name) == (verdict, "webhooks: shop")
    assert said in found.found
