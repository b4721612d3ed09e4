"""snowplow-tracker for Python: strings only, no key, and a repetition of what failed by a timer of its own."""

# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

from time import monotonic, sleep

from snowplow_tracker import Emitter, StructuredEvent, Subject, Tracker

from tests.clients.senders.told import DEADLINE_S, EVENTS, ROUNDS, tell


def send(run: str, address: str) -> tuple[set[str], set[str]]:
    delivered, failed = set[str](), set[str]()
    emitter = Emitter(
        address,
        batch_size=EVENTS,
        on_success=lambda events: delivered.update(event["eid"] for event in events),
        on_failure=lambda _, events: failed.update(event["eid"] for event in events),
    )
    tracker = Tracker("tests", emitter, subject=Subject().set_user_id(run), app_id="shop")
    for _ in range(ROUNDS):
        for number in range(EVENTS):
            tracker.track(StructuredEvent(category="shop", action="Product Viewed", value=float(number)))
        end = monotonic() + DEADLINE_S
        while has_work(emitter) and monotonic() < end:
            sleep(0.02)
    return delivered, failed - delivered


def has_work(emitter: Emitter) -> bool:
    """Whether something waits to be sent; what is being sent holds the lock."""
    with emitter.lock:
        return emitter.event_store.size() > 0 or emitter.retry_timer.is_active()


if __name__ == "__main__":
    tell(send)
