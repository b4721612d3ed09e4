"""Models in the step: what is measured, scored and said of a customer, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from streamer.customers.features import FEATURES
from streamer.examples import Example, decode_example
from streamer.flow import scorers as scorers_module
from streamer.flow.catalog import Plans
from streamer.flow.machine import Limits
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import content_digest, parse_definitions
from streamer.learning.scorers.contract import Reason
from streamer.segments.change import Change, decode_change
from streamer.stores.memory import MemoryStore
from streamer.wire import CHANGES, EXAMPLES, TICK, LogRecord, Output, definitions_control, model_control, withdraw_control

HOUR, DAY = 3_600_000, 86_400_000
T0 = 1_767_225_600_000  # 2026-01-01T00:00:00Z
DEFINITIONS = """
models:
  purchase: {kind: purchase, horizon: 24h, window: 4h, exclude: robots}
  churn: {kind: churn, horizon: 3d}
  spend: {kind: value, horizon: 2d}
segments:
  robots: {for: leave out, when: 'trait("robot") == true'}
  hot: {for: likely to buy, when: 'score("purchase") >= 0.5'}
  cold: {for: not likely to buy, when: 'not score("purchase") >= 0.5'}
"""


class Stub:
    """Scores by the number of open carts: 0.9 with one, 0.1 without; falls to 0.46 after four hours of silence."""

    model, kind, features = "purchase", "purchase", FEATURES.version

    def __init__(self, version: int) -> None:
        self.version = version

    def score(self, x: Sequence[float]) -> int:
        named = dict(zip(FEATURES.names, x, strict=True))
        if not named["cart_open"]:
            return 1_000
        return 9_000 if named["silence"] < 1.6 else 4_600

    def percentile(self, score: int) -> int:
        return score

    def reasons(self, x: Sequence[float], most: int = 3) -> list[Reason]:
        return [Reason("cart_open", x[FEATURES.names.index("cart_open")], 2.0, "an open cart")][:most]


class Story:
    """Records into one shard, outputs out of it."""

    def __init__(self, *, batch: int = 1_000, definitions: str = DEFINITIONS) -> None:
        self.store, self.rules = MemoryStore(), Rules(shards=1)
        self.limits = Limits(records=batch)
        self.shard = self._run(
            Shard.acquire(0, self.store, Plans(self.store, self.rules), self.rules, limits=self.limits, pause=asyncio.sleep)
        )
        self.outputs: list[Output] = []
        self.records: list[LogRecord] = []
        self.define(-T0, definitions)

    @staticmethod
    def _run(work: Any) -> Any:
        return asyncio.run(work)

    def _add(self, at: int, value: bytes, *, control: bool = False) -> None:
        self.records.append(LogRecord(len(self.records), at, value, control))

    def event(self, after_ms: int, customer: str, name: str, **more: Any) -> None:
        at = T0 + after_ms
        body = {"event": name, "messageId": f"m{len(self.records)}", "userId": customer, "timestamp": at, **more}
        self._add(at, msgspec.json.encode(body))

    def tick(self, after_ms: int) -> None:
        self._add(T0 + after_ms, TICK, control=True)

    def model(self, after_ms: int, version: int = 1, content: bytes = b"{}") -> None:
        self._add(T0 + after_ms, model_control("purchase", content, content_digest(content), version), control=True)

    def withdraw(self, after_ms: int, version: int = 1) -> None:
        self._add(T0 + after_ms, withdraw_control("purchase", version), control=True)

    def define(self, after_ms: int, text: str, version: int = 1) -> None:
        definitions = parse_definitions(text)
        self._add(T0 + after_ms, definitions_control(definitions.content(), definitions.digest, version), control=True)

    def tell(self) -> Story:
        position = self.shard.position.offset
        for _, entry in self._run(self.shard.process(self.records[position:])):
            self.outputs += entry
        return self

    def again(self) -> None:
        """Another owner takes over."""
        self.shard = self._run(
            Shard.acquire(0, self.store, Plans(self.store, self.rules), self.rules, limits=self.limits, pause=asyncio.sleep)
        )

    def examples(self, kind: str, model: str = "") -> list[Example]:
        found = [decode_example(output.value, FEATURES) for output in self.outputs if output.topic == EXAMPLES]
        return [example for example in found if example.kind == kind and example.model == model]

    def changes(self) -> list[Change]:
        return [decode_change(output.value) for output in self.outputs if output.topic == CHANGES]


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorers_module, "decode_scorer", lambda content: Stub(1 if content == b"{}" else 2))


def said(changes: list[Change]) -> list[tuple[str, str, str]]:
    return [(change.data.segment, change.type.removeprefix("segment."), change.time) for change in changes]


def test_a_purchase_within_the_horizon_is_a_positive_at_once_and_judged_when_it_is_mature() -> None:
    """The label is learned when it is known, and judged only when nothing can change it."""
    story = Story()
    story.event(0, "ann", "Product Added")
    story.event(2 * HOUR, "ann", "Order Completed", properties={"total": 12.5})
    story.tick(26 * HOUR)
    story.tell()
    (train,), (mature,) = story.examples("train", "purchase"), story.examples("mature", "purchase")
    assert (train.label, train.t_ms - T0, train.at_ms - T0) == (1, 0, 2 * HOUR)
    assert (mature.label, mature.at_ms - T0, mature.score) == (1, 24 * HOUR, None)
    assert train.x == mature.x
    assert len(train.x) == len(FEATURES.features)
    assert dict(zip(FEATURES.names, train.x, strict=True))["orders"] == 0, "the purchase itself is not among what it is foretold from"


def test_without_a_purchase_the_negative_comes_after_the_short_window_and_a_late_purchase_corrects_it() -> None:
    """Waiting for the whole horizon would blind the learner for a day after every change of the world."""
    story = Story()
    story.event(0, "ann", "Product Viewed")
    story.event(9 * HOUR, "ann", "Order Completed", properties={"total": 10})
    story.tick(30 * HOUR)
    story.tell()
    assert [(e.label, e.at_ms - T0) for e in story.examples("train", "purchase")] == [(0, 4 * HOUR), (1, 9 * HOUR)]
    assert [(e.label, e.at_ms - T0) for e in story.examples("mature", "purchase")] == [(1, 24 * HOUR)]


def test_churn_is_known_to_be_wrong_at_the_first_activity_and_right_only_at_the_end() -> None:
    """Its labels come the other way round."""
    story = Story()
    story.event(0, "ann", "Product Viewed")
    story.event(0, "bob", "Product Viewed")
    story.event(DAY, "ann", "Product Viewed")
    story.tick(3 * DAY)
    story.tell()
    assert [(e.label, e.at_ms - T0) for e in story.examples("train", "churn")] == [(0, DAY), (1, 3 * DAY)]
    assert [(e.label, e.at_ms - T0) for e in story.examples("mature", "churn")] == [(0, 3 * DAY), (1, 3 * DAY)]


def test_the_value_of_a_customer_is_what_all_orders_within_the_horizon_add_up_to() -> None:
    """And 0 for most."""
    story = Story()
    story.event(0, "ann", "Product Viewed")
    story.event(0, "bob", "Product Viewed")
    story.event(HOUR, "ann", "Order Completed", properties={"total": 10})
    story.event(DAY, "ann", "Order Completed", properties={"total": 2.5})
    story.tick(5 * DAY)
    story.tell()
    assert [(e.label, e.amount) for e in story.examples("train", "spend")] == [(1, 125_000), (0, 0)]


def test_segments_on_a_score_are_left_alone_until_the_model_is_ready() -> None:
    """Not ready is not false: nobody enters "not likely to buy" because nothing is known."""
    story = Story()
    story.event(0, "ann", "Product Added")
    story.event(HOUR, "bob", "Product Viewed")
    story.tell()
    assert story.changes() == []
    story.model(2 * HOUR)
    story.event(3 * HOUR, "ann", "Product Viewed")
    story.event(3 * HOUR, "bob", "Product Viewed")
    story.tell()
    assert [(c.subject, c.data.segment, c.type) for c in story.changes()] == [
        ("ann", "hot", "segment.entered"),
        ("bob", "cold", "segment.entered"),
    ]
    assert story.changes()[0].data.because[0].value == 0.9
    assert story.changes()[0].data.because[0].reasons == ["an open cart: 1 (×7.39)"]


def test_a_score_falls_while_the_customer_is_silent_and_hysteresis_decides_who_leaves() -> None:
    """Measured anew on the ladder of silence, at its own instant, with no event: 0.46 is above 0.45, where leaving begins."""
    story = Story()
    story.model(0)
    story.event(HOUR, "ann", "Product Added")
    story.tick(6 * HOUR)
    story.tell()
    assert said(story.changes()) == [("hot", "entered", "2026-01-01T01:00:00.000Z"), ("cold", "entered", "2026-01-01T05:00:00.000Z")]
    assert story.changes()[1].data.cause.kind == "timer"


LISTED = """
models:
  purchase: {kind: purchase, horizon: 24h, window: 4h}
segments:
  scored: {for: one of two scores, when: 'score("purchase") in [0.9, 0.5]'}
  ranked: {for: one of two ranks, when: 'percentile("purchase") in [0.25, 0.9]'}
  other: {for: any other score, when: 'score("purchase") not in [0.9]'}
"""


def test_a_score_and_a_percentile_may_stand_in_a_list() -> None:
    """They are kept in ten-thousandths: compared as they are with what the list says, none was ever in one."""
    story = Story(definitions=LISTED)
    story.model(0)
    story.event(HOUR, "anna", "Product Added")
    story.event(HOUR, "ben", "Product Viewed")
    story.tell()
    assert sorted((change.subject, change.data.segment) for change in story.changes()) == [
        ("anna", "ranked"),
        ("anna", "scored"),
        ("ben", "other"),
    ]


def test_whoever_is_in_the_excluded_segment_neither_trains_nor_counts() -> None:
    """Robots would teach the model what shoppers do not do."""
    story = Story()
    story.event(0, "bot", "anything", type="identify", traits={"robot": True})
    story.event(1, "bot", "Product Viewed")
    story.tick(4 * DAY)
    story.tell()
    assert story.examples("train", "purchase") == []
    assert [example.seeds for example in story.examples("profile")] == [("robots",)], "students that leave it out know"
    assert len(story.examples("train", "churn")) == 1, "the other model leaves nobody out"


def test_each_minute_that_is_over_is_said_with_the_sizes_of_the_segments() -> None:
    """The learner takes examples of all shards in the order of minutes: a mark tells that nothing of an earlier one is missing."""
    story = Story()
    story.event(0, "bot", "x", type="identify", traits={"robot": True})
    story.tick(30_000)
    story.tick(61_000)
    story.tick(200_000)
    story.tell()
    assert [(mark.at_ms - T0, mark.sizes) for mark in story.examples("mark")][1:] == [
        (61_000, {"robots": 1, "hot": 0, "cold": 0}),
        (200_000, {"robots": 1, "hot": 0, "cold": 0}),
    ]


def test_the_story_does_not_depend_on_batches_nor_on_who_owns_the_shard() -> None:
    """Scores, scorers and awaited examples are part of the state, so a new owner goes on with them."""
    whole, pieces = Story(), Story(batch=1)
    for story in (whole, pieces):
        story.event(0, "ann", "Product Added")
        story.model(HOUR)
        story.event(2 * HOUR, "ann", "Product Viewed")
        story.model(3 * HOUR, 2, b"[]")
        story.tick(5 * HOUR)
        story.event(6 * HOUR, "ann", "Order Completed", properties={"total": 3})
        story.tick(4 * DAY)
    whole.tell()
    records, pieces.records = pieces.records, []
    for record in records:
        pieces.records.append(record)
        pieces.tell()
        pieces.again()
    assert pieces.outputs == whole.outputs
    assert pieces.shard.checkpoint.output_digest == whole.shard.checkpoint.output_digest
    assert [e.version for e in whole.examples("mature", "purchase")] == [0]


def test_a_damaged_scorer_is_a_dead_letter_and_the_old_one_goes_on_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong with a record must not stop a shard."""
    story = Story()
    story.model(0)
    story.tell()
    good = story.records[-1]
    story.records.append(LogRecord(len(story.records), T0 + 1, good.value.replace(b'"digest":"', b'"digest":"0'), control=True))
    story.event(HOUR, "ann", "Product Added")
    story.tell()
    assert story.shard.body.counts["bad_control"] == 1
    assert said(story.changes()) == [("hot", "entered", "2026-01-01T01:00:00.000Z")]


def test_a_scorer_that_reads_more_than_there_is_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken for good it would break at the first event, and at that event again after each restart."""

    class Wide(Stub):
        def score(self, x: Sequence[float]) -> int:
            return int(x[len(FEATURES.names)])

    monkeypatch.setattr(scorers_module, "decode_scorer", lambda content: Wide(1))
    story = Story()
    story.model(0)
    story.event(HOUR, "ann", "Product Added")
    story.tell()
    assert story.shard.body.counts["bad_control"] == 1
    assert story.shard.body.models == {}


TIMED = """
models:
  purchase: {kind: purchase, horizon: 24h, window: 4h}
  churn: {kind: churn, horizon: 3d}
segments:
  hot: {for: likely to buy, when: 'score("purchase") >= 0.5'}
  dozing: {for: likely to buy and silent, when: 'score("purchase") >= 0.5 and idle("*") >= "2h"'}
  asleep: {for: silent, when: 'idle("*") >= "3h"'}
"""


def test_a_withdrawn_model_has_nothing_to_say_and_nobody_moves_for_its_sake() -> None:
    """Not ready is not false, for timers neither: who is inside stays, and no old score lets anybody in."""
    story = Story(definitions=TIMED)
    story.model(0)
    story.event(HOUR, "ann", "Product Added")
    story.withdraw(2 * HOUR)
    story.tick(7 * HOUR)
    story.event(8 * HOUR, "ann", "Order Completed", properties={"total": 3})
    story.event(8 * HOUR, "bob", "Product Added")
    story.tell()
    assert [(c.subject, *said([c])[0][:2]) for c in story.changes()] == [
        ("ann", "hot", "entered"),
        ("ann", "asleep", "entered"),
        ("ann", "asleep", "exited"),
    ]
    assert story.shard.body.models == {}
    story.model(9 * HOUR, 2, b"[]")
    story.event(10 * HOUR, "ann", "Product Viewed")
    story.event(10 * HOUR, "bob", "Product Viewed")
    story.tell()
    assert [(c.subject, *said([c])[0][:2]) for c in story.changes()[3:]] == [("ann", "hot", "exited"), ("bob", "hot", "entered")]


def test_what_is_withdrawn_is_not_served_to_examples() -> None:
    """Coverage would count scores that nobody stands behind."""
    story = Story(definitions=TIMED)
    story.model(0)
    story.event(HOUR, "ann", "Product Added")
    story.event(HOUR, "bob", "Product Added")
    story.withdraw(2 * HOUR)
    story.event(26 * HOUR, "ann", "Product Viewed")
    story.tick(3 * DAY)
    story.tell()
    matured = [(e.t_ms - T0, e.score, e.version) for e in story.examples("mature", "purchase")]
    assert matured == [(HOUR, 9_000, 1), (HOUR, 9_000, 1), (26 * HOUR, None, 0)]


@pytest.mark.parametrize(("version", "withdrawn", "serves"), [(2, 1, True), (2, 2, False), (1, 2, False)])
def test_a_withdrawal_that_comes_late_does_not_touch_a_newer_version(version: int, withdrawn: int, serves: bool) -> None:
    """A learner that was paused between deciding and writing may write it after its heir has published."""
    story = Story(definitions=TIMED)
    story.model(0, version)
    story.withdraw(1, withdrawn)
    story.withdraw(2, withdrawn)
    story.tell()
    assert ("purchase" in story.shard.body.models) is serves


def test_a_withdrawal_is_part_of_the_story_whoever_owns_the_shard() -> None:
    """It lies in the log and in the checkpoint; where slices end changes nothing."""
    whole, pieces = Story(definitions=TIMED), Story(batch=1, definitions=TIMED)
    for story in (whole, pieces):
        story.model(0)
        story.event(HOUR, "ann", "Product Added")
        story.event(HOUR, "bob", "Product Added")
        story.withdraw(2 * HOUR)
        story.event(3 * HOUR, "ann", "Product Viewed")
        story.model(4 * HOUR, 2, b"[]")
        story.event(5 * HOUR, "bob", "Product Viewed")
        story.tick(4 * DAY)
    whole.tell()
    records, pieces.records = pieces.records, []
    for record in records:
        pieces.records.append(record)
        pieces.tell()
        pieces.again()
    assert pieces.outputs == whole.outputs
    assert pieces.shard.checkpoint.output_digest == whole.shard.checkpoint.output_digest
    assert pieces.shard.checkpoint.body == whole.shard.checkpoint.body


def test_a_model_that_is_to_learn_something_else_is_not_ready_until_it_has() -> None:
    """Its scorer answers the old question; one whose definition is the same goes on serving."""
    story = Story(definitions=TIMED)
    story.model(0)
    story.event(HOUR, "ann", "Product Added")
    story.define(2 * HOUR, TIMED.replace("horizon: 3d", "horizon: 5d"), 2)
    story.tell()
    assert list(story.shard.body.models) == ["purchase"]
    story.define(3 * HOUR, TIMED.replace("horizon: 24h", "horizon: 48h"), 3)
    story.event(4 * HOUR, "ann", "Order Completed")
    story.tell()
    assert story.shard.body.models == {}
    assert [change for change in said(story.changes()) if change[0] == "hot"] == [("hot", "entered", "2026-01-01T01:00:00.000Z")]
