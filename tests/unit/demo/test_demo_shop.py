"""The simulated shop is the same for the same seed, says nothing that the log would refuse, and its customers act as they are."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from streamer.demo.people import BARGAIN_HUNTER, BROWSER, CART_LEAVER, COMPARER, LOYAL_BUYER, PERSONALITIES, SOURCE, Personality
from streamer.demo.shop import FIRST_PAUSE_MS, Shop
from streamer.demo.visits import CART_MAX
from streamer.events.codec import decode, encode

if TYPE_CHECKING:
    from streamer.events.event import Event

OPENED_MS = 1_700_000_000_000
MINUTES_MS = 180_000


def _shop(seed: int = 7, customers: int = 200, rate: float = 100) -> Shop:
    return Shop(seed=seed, customers=customers, rate=rate, opened_ms=OPENED_MS)


@pytest.fixture(scope="module")
def day() -> list[Event]:
    """What three minutes in the shop say."""
    return _shop().advance(MINUTES_MS)


def _by_personality(events: list[Event]) -> dict[Personality, Counter[str]]:
    """How often what happened, by personality."""
    whose = {customer.id: customer.personality for customer in _shop().customers}
    found: dict[Personality, Counter[str]] = defaultdict(Counter)
    for event in events:
        customer = event.user_id or "-".join(event.customer.split("-")[1:3])
        found[whose[customer]][event.name] += 1
    return found


def test_the_same_seed_says_the_same_bytes() -> None:
    """Whoever shows the demo to somebody else wants to know what comes."""
    assert [encode(event) for event in _shop().advance(20_000)] == [encode(event) for event in _shop().advance(20_000)]
    assert _shop(seed=8).advance(5_000) != _shop().advance(5_000)


def test_how_often_it_is_asked_changes_nothing() -> None:
    """A busy machine asks less often; its customers must not be others for that."""
    shop = _shop()
    slices = [event for at in range(0, 20_001, 37) for event in shop.advance(at)] + shop.advance(20_000)
    assert slices == _shop().advance(20_000)


def test_every_event_is_one_that_the_log_accepts(day: list[Event]) -> None:
    """A demo whose events are refused shows nothing but dead letters."""
    assert all(decode(encode(event)) == event for event in day)


def test_every_event_says_that_it_is_simulated(day: list[Event]) -> None:
    """Nobody shall take these for customers."""
    assert {event.context["library"]["name"] for event in day if event.context} == {SOURCE}
    assert all(event.context for event in day)


def test_events_come_in_the_order_of_their_time(day: list[Event]) -> None:
    """Log time is a maximum; a shop that jumps back would hide what its timers do."""
    times = [event.timestamp_ms for event in day]
    assert times == sorted(times)
    assert times[0] >= OPENED_MS
    assert times[-1] <= OPENED_MS + MINUTES_MS


def test_an_id_is_used_again_only_for_an_event_that_was_sent_twice(day: list[Event]) -> None:
    """Phones repeat themselves, which the demo counts; anything else under a used id would be lost."""
    by_id: dict[str, list[Event]] = defaultdict(list)
    for event in day:
        by_id[event.message_id].append(event)
    repeated = [events for events in by_id.values() if len(events) > 1]
    assert repeated
    assert all(len(events) == 2 and events[0] == events[1] for events in repeated)
    assert len(repeated) < 0.03 * len(day)


@pytest.mark.parametrize(("customers", "rate"), [(600, 200), (100, 500), (300, 10)])
def test_the_rate_is_about_what_was_asked_for(customers: int, rate: float) -> None:
    """With few customers and a high rate they hurry, with many and a low rate most stay away."""
    shop = _shop(customers=customers, rate=rate)
    shop.advance(5_000)
    events = shop.advance(35_000)
    assert 0.85 * rate <= len(events) / 30 <= 1.15 * rate


def test_somebody_leaves_a_cart_within_the_first_second_and_stays_away() -> None:
    """The point of the demo must not depend on luck, nor on how soon others come back."""
    shop = _shop(customers=20)
    first = shop.customers[shop.first]
    events = [event for event in shop.advance(1_000 + FIRST_PAUSE_MS // 2) if event.customer == first.id]
    assert first.personality is CART_LEAVER
    names = list(dict.fromkeys(event.name for event in events))
    assert (names[0], names[-2:]) == ("identify", ["Product Viewed", "Product Added"])
    assert "email" in first.traits, "the reminder shall arrive"
    assert "Consent Withdrawn" not in names
    assert events[-1].timestamp_ms - OPENED_MS < 1_000


def test_all_personalities_are_there_in_their_shares() -> None:
    """A small shop that drew its people at random might have nobody who buys."""
    found = Counter(customer.personality for customer in _shop(customers=50).customers)
    assert all(abs(found[personality] - 50 * personality.share) <= 1 for personality in PERSONALITIES)
    assert sum(found.values()) == 50


def test_personalities_do_what_they_say(day: list[Event]) -> None:
    """The segments live on the differences."""
    found = _by_personality(day)

    def ratio(personality: Personality, what: str, of: str) -> float:
        return found[personality][what] / max(1, found[personality][of])

    assert ratio(BROWSER, "Product Added", "Product Viewed") < 0.1
    assert ratio(CART_LEAVER, "Order Completed", "Cart Viewed") < 0.15
    assert ratio(LOYAL_BUYER, "Order Completed", "Cart Viewed") > 0.8
    assert ratio(BARGAIN_HUNTER, "Coupon Applied", "Order Completed") > 0.4
    assert ratio(LOYAL_BUYER, "Coupon Applied", "Order Completed") == 0
    assert ratio(COMPARER, "Product Viewed", "Product List Viewed") > ratio(LOYAL_BUYER, "Product Viewed", "Product List Viewed")
    assert found[CART_LEAVER]["Product Added"] > found[CART_LEAVER]["Order Completed"] * 5


def test_bargain_hunters_look_at_cheaper_things(day: list[Event]) -> None:
    """Else the segment of that name is filled by chance."""
    hunters = {customer.id for customer in _shop().customers if customer.personality is BARGAIN_HUNTER}
    prices: dict[bool, list[float]] = {True: [], False: []}
    for event in day:
        if event.name == "Product Viewed" and event.properties is not None and event.user_id is not None:
            prices[event.user_id in hunters].append(event.properties["price"])
    cheap = {who: sum(price < 25 for price in found) / len(found) for who, found in prices.items()}
    assert cheap[True] > 0.7 > 0.5 > cheap[False]


def test_an_order_costs_what_its_products_cost_less_the_discount(day: list[Event]) -> None:
    """Sums over orders are among the rules."""
    orders = [event.properties for event in day if event.name == "Order Completed" and event.properties is not None]
    assert orders
    for order in orders:
        cents = round(100 * sum(product["price"] for product in order["products"]))
        assert round(100 * order["total"]) == cents - round(100 * order["discount"])
        assert ("coupon" in order) == (order["discount"] > 0)


def test_a_cart_never_grows_beyond_its_limit(day: list[Event]) -> None:
    """A demo left running over night must not send events that are too large."""
    carts = [len(event.properties["products"]) for event in day if event.name == "Cart Viewed" and event.properties is not None]
    assert max(carts) == CART_MAX


def test_devices_languages_and_countries_are_many(day: list[Event]) -> None:
    """The library asks for all of them."""
    contexts = [event.context for event in day if event.context is not None]
    assert {context["device"]["type"] for context in contexts} == {"mobile", "desktop", "tablet"}
    assert len({context["locale"] for context in contexts}) >= 6
    assert len({event.traits["address"]["country"] for event in day if event.traits is not None}) >= 6


def test_some_have_no_address_and_some_no_consent(day: list[Event]) -> None:
    """Skips have reasons only where the customers differ."""
    signed_up = [event for event in day if event.traits is not None]
    without_address = sum("email" not in (event.traits or {}) for event in signed_up)
    assert 0 < without_address < 0.25 * len(signed_up)
    agreed = {(event.name, (event.properties or {}).get("topic")) for event in day if event.name.startswith("Consent ")}
    assert agreed == {("Consent Given", "offers"), ("Consent Withdrawn", "reminders")}
    assert all({"locale", "timezone", "first_name"} <= (event.traits or {}).keys() for event in signed_up)
