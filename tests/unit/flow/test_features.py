"""Nothing measured after the moment of a score is part of it: features of the whole log are those of the log cut at that moment."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from math import isfinite, log1p
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.customers.features import FEATURES, measure
from streamer.customers.profile import LADDER_MS, SESSION_GAP_MS, profile_of
from streamer.customers.state import State, decode_state
from streamer.examples import Example, decode_example
from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.segments.plan.model_memories import PROFILE_KEY
from streamer.stores.memory import MemoryStore
from streamer.units import DAY_MS, HOUR_MS
from streamer.wire import EXAMPLES, TICK, LogRecord, Output, definitions_control

T0 = 1_767_225_600_000
MINUTE_MS = 60_000
DEFINITIONS = parse_definitions("""
models:
  purchase: {kind: purchase, horizon: 24h, window: 4h}
  churn: {kind: churn, horizon: 3d}
  spend: {kind: value, horizon: 2d}
segments:
  hot: {for: likely to buy, when: 'score("purchase") >= 0.5'}
""")
RULES = Rules(shards=1)
NAMES = ("Product Viewed", "Product Added", "Order Completed", "Products Searched", "identify")


class Sent(NamedTuple):
    """An event of a small log. It arrives at ``at``, later than any before; ``ago`` is how much earlier it says it happened."""

    at: int
    ago: int
    customer: str
    name: str
    total: int
    again: bool

    @property
    def t(self) -> int:
        """The event's time."""
        return self.at - self.ago


@st.composite
def small_logs(draw: st.DrawFn, *, late: bool = True) -> list[Sent]:
    """A few customers over some days, with late events and repeats."""
    found, at = list[Sent](), T0
    agos = [0, 0, 0, 1, 10 * MINUTE_MS, 5 * HOUR_MS, 23 * HOUR_MS] if late else [0]
    steps = [1, MINUTE_MS, 20 * MINUTE_MS, 31 * MINUTE_MS, 3 * HOUR_MS, 25 * HOUR_MS]
    for _ in range(draw(st.integers(1, 14))):
        at += draw(st.sampled_from(steps))
        name, customer = draw(st.sampled_from(NAMES)), draw(st.sampled_from(["ann", "bob"]))
        found.append(Sent(at, draw(st.sampled_from(agos)), customer, name, draw(st.integers(0, 500)), draw(st.integers(0, 5)) == 0))
    return found


def records(log: list[Sent]) -> list[LogRecord]:
    """As the shard reads them; a repeat has the id of the event before it of the same customer."""
    found = [LogRecord(0, 0, definitions_control(DEFINITIONS.content(), DEFINITIONS.digest, 1), control=True)]
    for sent in log:
        number = len(found) - 1 if sent.again and len(found) > 1 and log[len(found) - 2].customer == sent.customer else len(found)
        body: dict[str, Any] = {"messageId": f"m{number}", "userId": sent.customer, "timestamp": sent.t}
        body |= {"type": "identify", "traits": {}} if sent.name == "identify" else {"event": sent.name, "properties": {"total": sent.total}}
        found.append(LogRecord(len(found), sent.at, msgspec.json.encode(body)))
    found.append(LogRecord(len(found), log[-1].at + 4 * DAY_MS, TICK, control=True))
    return found


class Told(NamedTuple):
    """A shard after some records, and all that it said."""

    shard: Shard
    store: MemoryStore
    outputs: list[Output]

    def x(self, customer: str, at_ms: int) -> tuple[float, ...] | None:
        """The features of somebody as the shard knows them."""
        blob = asyncio.run(self.store.fetch(0, [customer], until_ms=0, limit=0)).states[0]
        state: State | None = None if blob is None else decode_state(blob)
        plan = self.shard.plan
        data = state.slots.get(plan.slots[PROFILE_KEY]) if state is not None else None
        return None if state is None or data is None else measure(profile_of(data), at_ms, plan.zone_of(state))

    @property
    def examples(self) -> list[Example]:
        """Those of customers."""
        found = [decode_example(output.value, FEATURES) for output in self.outputs if output.topic == EXAMPLES]
        return [example for example in found if example.kind not in ("mark", "switch")]


def told(log: list[LogRecord], *, batch: int = 1_000) -> Told:
    """The story of a log."""

    async def tell() -> Told:
        store = MemoryStore()
        shard = await Shard.acquire(0, store, Plans(store, RULES), RULES, limits=Limits(records=batch), pause=asyncio.sleep)
        outputs: list[Output] = []
        for start in range(0, len(log), batch):
            outputs += [output for _, entry in await shard.process(log[start : start + batch]) for output in entry]
        return Told(shard, store, outputs)

    return asyncio.run(tell())


@given(small_logs())
@settings(max_examples=40)
def test_an_example_is_what_a_log_cut_at_its_moment_would_have_measured(log: list[Sent]) -> None:
    """What was served, what is learned and what a replay measures are one thing, whatever came afterwards."""
    whole = told(records(log))
    by_time = {sent.at: (at + 2, sent.customer) for at, sent in enumerate(log)}  # every event arrives at a moment of its own
    cuts: dict[int, tuple[float, ...] | None] = {}
    for example in whole.examples:
        if example.t_ms not in cuts:
            end, customer = by_time[example.t_ms]
            cuts[example.t_ms] = told(records(log)[:end]).x(customer, example.t_ms)
        assert example.x == cuts[example.t_ms], (example.kind, example.model)
    activities = sum(sent.name != "identify" for sent in log)
    assert whole.examples or not activities


@given(small_logs(), st.integers(1, 5))
@settings(max_examples=40)
def test_examples_do_not_depend_on_batches(log: list[Sent], batch: int) -> None:
    """A slice may end anywhere, and the next one reads what the last one wrote."""
    whole, pieces = told(records(log)), told(records(log), batch=batch)
    assert pieces.outputs == whole.outputs
    assert pieces.shard.checkpoint.output_digest == whole.shard.checkpoint.output_digest


def expected(log: list[Sent], now: int) -> dict[str, float]:
    """Some features by their own words, from the events themselves."""
    hours = {name: [sent.t for sent in log if sent.name == name] for name in NAMES}
    times = sorted(sent.t for sent in log)
    orders = [sent for sent in log if sent.name == "Order Completed"]

    def ago(name: str) -> float:
        return min(9.17, log1p((now - max(hours[name])) / HOUR_MS)) if hours[name] else 9.17

    def lately(name: str, half_life_ms: int) -> float:
        return log1p(sum(2 ** (-(now - t) / half_life_ms) for t in hours[name]))

    return {
        "silence": log1p((now - times[-1]) / HOUR_MS),
        "known_for": log1p((now - times[0]) / HOUR_MS),
        "since_order": ago("Order Completed"),
        "since_cart": ago("Product Added"),
        "since_view": ago("Product Viewed"),
        "orders": log1p(len(orders)),
        "basket": log1p(sum(sent.total for sent in orders) / len(orders)) if orders else 0.0,
        "spend_month": log1p(sum(sent.total * 2 ** (-(now - sent.t) / (30 * DAY_MS)) for sent in orders)),
        "views_day": lately("Product Viewed", DAY_MS),
        "searches_day": lately("Products Searched", DAY_MS),
        "carts_month": lately("Product Added", 30 * DAY_MS),
        "cart_open": float(max(hours["Product Added"], default=0) > max(hours["Order Completed"], default=0)),
    }


@given(small_logs(), st.sampled_from([0, HOUR_MS, 26 * HOUR_MS, 300 * DAY_MS]))
def test_features_are_what_their_words_say(log: list[Sent], later_ms: int) -> None:
    """Compared with a plain count over the events; decayed ones are kept in thousandths, so they may be a little off."""
    log = [sent._replace(customer="ann", again=False) for sent in log]
    now = log[-1].at + later_ms
    x = told(records(log)[:-1]).x("ann", now)
    activities = [sent for sent in log if sent.name != "identify"]
    if not activities:
        assert x is None
        return
    assert x is not None
    measured = dict(zip(FEATURES.names, x, strict=True))
    for name, value in expected(activities, now).items():
        assert measured[name] == pytest.approx(value, abs=0.006), name


@given(small_logs(late=False))
def test_a_visit_ends_with_half_an_hour_of_silence(log: list[Sent]) -> None:
    """Its events and its length are of the newest visit only."""
    log = [sent._replace(customer="ann", again=False) for sent in log if sent.name != "identify"]
    if not log:
        return
    visit = [log[-1]]
    for before, after in reversed(list(pairwise(log))):
        if after.t - before.t > SESSION_GAP_MS:
            break
        visit.append(before)
    x = told(records(log)[:-1]).x("ann", log[-1].at)
    measured = dict(zip(FEATURES.names, x or (), strict=True))
    assert measured["session_events"] == pytest.approx(log1p(len(visit)), abs=0.001)
    assert measured["session_minutes"] == pytest.approx(log1p((log[-1].t - visit[-1].t) / MINUTE_MS), abs=0.001)


def test_a_late_event_does_not_belong_to_the_visit_in_which_it_arrives() -> None:
    """A phone that was offline yesterday hands in what was done then."""
    log = [Sent(T0, 0, "ann", "Product Viewed", 0, again=False), Sent(T0 + 2 * DAY_MS, 0, "ann", "Product Viewed", 0, again=False)]
    late = Sent(T0 + 2 * DAY_MS + 1, 20 * HOUR_MS, "ann", "Product Added", 0, again=False)
    x = told(records([*log, late])[:-1]).x("ann", late.at)
    measured = dict(zip(FEATURES.names, x or (), strict=True))
    assert measured["session_events"] == pytest.approx(log1p(1), abs=0.001)
    assert measured["since_cart"] == pytest.approx(log1p(20), abs=0.001)


numbers = st.one_of(
    st.integers(-(10**18), 10**18), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([10**12, -(10**12), 1e12, 0, -0.0])
)
wild = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["type", "total", "x"]), inner, max_size=3)),
    max_leaves=6,
)


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES[:4]), wild, wild, wild, st.sampled_from([0, 1, HOUR_MS, 23 * HOUR_MS])), min_size=1, max_size=8
    )
)
def test_features_are_finite_and_in_range_whatever_the_events_say(events: list[tuple[str, Any, Any, Any, int]]) -> None:
    """One number that is not would ruin a model for ever, and one out of range a bin."""
    log, at = records([Sent(T0, 0, "bob", "identify", 0, again=False)])[:2], T0
    for number, (name, total, product, device, ago) in enumerate(events):
        at += HOUR_MS
        body = {
            "event": name,
            "messageId": f"w{number}",
            "userId": "ann",
            "timestamp": at - ago,
            "properties": {"total": total, "product_id": product},
            "context": {"device": device, "userAgent": total},
        }
        log.append(LogRecord(len(log), at, msgspec.json.encode(body)))
    story = told(log)
    assert story.shard.body.counts["accepted"] == len(log) - 1
    for later_ms in (0, 1, *LADDER_MS, 4_000 * DAY_MS):
        x = story.x("ann", at + later_ms)
        assert x is not None
        for feature, number in zip(FEATURES.features, x, strict=True):
            assert isfinite(number)
            assert feature.low <= number <= feature.high, feature.name
            assert feature.is_number or number == int(number), feature.name


def test_amounts_beyond_all_measure_do_not_stop_a_shard() -> None:
    """Anybody can send an event to a shop: what is added up must never be more than a state can hold."""
    log = records([Sent(T0, 0, "ann", "Product Viewed", 0, again=False)])[:2]
    for number in range(2_300):  # as many ids as are remembered in a day, for five days
        at = T0 + (number + 1) * 190_000
        total: Any = [10**12] * 3_000 if number % 700 == 0 else 10**12
        body = {"event": "Order Completed", "messageId": f"o{number}", "userId": "ann", "timestamp": at, "properties": {"total": total}}
        log.append(LogRecord(len(log), at, msgspec.json.encode(body)))
    story = told(log)
    assert story.shard.body.counts["accepted"] == len(log) - 1
    amounts = [example.amount for example in story.examples if example.model == "spend"]
    assert max(amounts) == 10**15
