"""segment-analytics-python: a queue and a thread; it waits as long as it is told, and says what it gave up."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

from segment.analytics.client import Client

from tests.clients.senders.told import EVENTS, ROUNDS, tell


def send(run: str, address: str) -> tuple[set[str], set[str]]:
    sent, failed = set[str](), set[str]()
    client = Client("server-key", host=address, on_error=lambda _, batch: failed.update(event["messageId"] for event in batch))
    for _ in range(ROUNDS):
        for number in range(EVENTS):
            _, event = client.track(run, "Product Viewed", {"number": number})
            sent.add(event["messageId"])
        client.flush()
    client.shutdown()
    return sent - failed, failed


if __name__ == "__main__":
    tell(send)
