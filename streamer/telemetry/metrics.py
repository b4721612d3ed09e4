"""What an operator can see: Prometheus metrics, updated once per batch, never with a customer in a label."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from streamer import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.learning.reports.model_card import Card

LATENCY_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
OUTCOMES: Final = ("accepted", "duplicate", "wrong_shard", "sent_on", "forwarded_again", "erased", "of_erased", "refused")
IDENTITY: Final = (
    "linked",
    "link_refused",
    "link_again",
    "shared_device",
    "drained",
    "adopted",
    "approximate",
    "adopt_of_erased",
    "parted",
    "part_refused",
    "restored",
    "restore_refused",
    "link_parted",
    "seen_twice",
    "side_lost",
)
MODEL_FIGURES: Final = ("log_loss", "entropy", "auc", "ratio", "coverage", "learned", "judged")
FAULTS: Final = ("fault", "aside")
SHARD_STATES: Final = ("owned", "waiting", "refolding", "halted")
LANE_STATES: Final = ("reads", "folds", "shadow", "ready", "written", "stands")
SEGMENT_LABELS_MAX: Final = 2_000  # segments shown one by one; beyond it their sizes would be most of the scrape


class Metrics:
    """All metrics of one worker, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.events = Counter("segmenter_events_total", "Records by what became of them", ["outcome"], registry=registry)
        self.refused = Counter("segmenter_events_refused_total", "Refused records by reason", ["reason"], registry=registry)
        self.faults = Counter(
            "segmenter_faults_total",
            "What our own code failed at: fault (a record, now a dead letter), aside (a customer at a timer or at new definitions)",
            ["what"],
            registry=registry,
        )
        self.identity = Counter(
            "segmenter_identity_total",
            "What became of ids that belong together: linked, link_refused (too many new ids of one person), link_again (a repeat), "
            "shared_device (a second person), drained (left under the old id), adopted, approximate (joined, and an answer is approximate "
            "since), adopt_of_erased (dropped), parted (two again), part_refused (something had come meanwhile), restored "
            "(the old id), restore_refused, link_parted (not linked again by the evidence by which they had been), "
            "seen_twice (a message that had come under both ids, and counts twice), "
            "side_lost (a past that a side lane had sent found nobody)",
            ["what"],
            registry=registry,
        )
        self.tombstones = Gauge(
            "segmenter_tombstones", "Ids whose customer goes by another one; kept as long as the log", ["shard"], registry=registry
        )
        self.set_aside = Gauge(
            "segmenter_customers_set_aside", "Customers none of whose timers runs until their next event", ["shard"], registry=registry
        )
        self.refolded = Counter(
            "segmenter_customers_refolded_total",
            "Customers whose state could not be read and was folded anew from the log",
            registry=registry,
        )
        self.audited = Counter(
            "segmenter_audited_total", "Customers who were told anew from the log and compared with the store", registry=registry
        )
        self.unaudited = Counter(
            "segmenter_unaudited_total",
            "Customers who could not be compared: nobody (an old id), busy (their shard), too_many (records, of theirs or of models), "
            "not_noted (where their records lie is not kept, or the log does not have them any more)",
            ["why"],
            registry=registry,
        )
        self.mismatches = Counter(
            "segmenter_segment_mismatch_total", "Customers of whom the store has something else than the log says", registry=registry
        )
        self.refused_ratio = Gauge(
            "segmenter_refused_ratio", "Of a shard's newest 1,000 records so many were refused", ["shard"], registry=registry
        )
        self.changes = Counter("segmenter_changes_total", "Segment changes", ["segment", "change"], registry=registry)
        self.decisions = Counter(
            "segmenter_message_decisions_total",
            "Decisions about messages: send, or the reason why one is held (quiet) or skipped",
            ["message", "decided"],
            registry=registry,
        )
        self.published = Counter("segmenter_outputs_published_total", "Outputs acknowledged by the broker", registry=registry)
        self.members = Gauge(
            "segmenter_segment_members", "Customers inside a segment, over this worker's shards", ["segment"], registry=registry
        )
        self.lag = Gauge(
            "segmenter_lag_records",
            "Records behind the end of the log; not shown while that end is not known or 15 s old",
            ["shard"],
            registry=registry,
        )
        self.lag_seconds = Gauge(
            "segmenter_lag_seconds",
            "How far log time is behind the clock where there are records to read, at the moment of the scrape",
            ["shard"],
            registry=registry,
        )
        self.log_time = Gauge("segmenter_log_time_timestamp_seconds", "Log time of a shard", ["shard"], registry=registry)
        self.outbox = Gauge("segmenter_outbox_outputs", "Outputs waiting for the broker", ["shard"], registry=registry)
        self.shard_state = Gauge(
            "segmenter_shard_state", "1 for the state a shard of this worker is in", ["shard", "state"], registry=registry
        )
        self.shard_works = Gauge(
            "segmenter_shard_works",
            "1 while a shard does its work; 0 while it is let go, full, commits or fetches nothing, or its time stands still: see /readyz",
            ["shard"],
            registry=registry,
        )
        self.kafka_silent = Gauge("segmenter_kafka_silent_seconds", "Time since the last answer of a broker of Kafka", registry=registry)
        self.learner_works = Gauge("segmenter_learner_works", "0 while this worker should learn and cannot, else 1", registry=registry)
        self.batch = Histogram(
            "segmenter_batch_seconds", "Time from records in hand to the commit", ["stage"], registry=registry, buckets=LATENCY_SECONDS
        )
        self.latency = Histogram(
            "segmenter_change_latency_seconds",
            "From the broker's time of a record to its published changes",
            registry=registry,
            buckets=LATENCY_SECONDS,
        )
        self.fenced = Counter("segmenter_fenced_total", "Commits or probes that found another owner or an older store", registry=registry)
        self.store_errors = Counter("segmenter_store_errors_total", "Calls that the store did not take", registry=registry)
        self.rebalances = Counter("segmenter_rebalances_total", "Times the shards were dealt out anew", registry=registry)
        self.loop_lag = Gauge("segmenter_loop_lag_seconds", "How late the event loop ran its last second's timer", registry=registry)
        self.definitions = Gauge(
            "segmenter_definitions_info", "1 for the definitions in force", ["shard", "version", "digest"], registry=registry
        )
        self.lane_folded = Gauge(
            "segmenter_lane_folded_records",
            "Records of its log that a shard has folded for definitions that were published and do not hold there yet",
            ["shard"],
            registry=registry,
        )
        self.lane_left = Gauge(
            "segmenter_lane_left_records", "Records of its log that a shard has yet to fold for them", ["shard"], registry=registry
        )
        self.lane_end = Gauge(
            "segmenter_lane_end_timestamp_seconds",
            "When that is expected to be all; 0 where nothing can be said",
            ["shard"],
            registry=registry,
        )
        self.lane_state = Gauge(
            "segmenter_lane_state",
            "1 for the state in which a shard is on its way to them: reads, folds, shadow, ready (waits for other shards), written, stands",
            ["shard", "state"],
            registry=registry,
        )
        self.lane_processes = Gauge("segmenter_lane_processes", "Processes of this worker that fold the past", registry=registry)
        self.lane_processes_ended = Counter(
            "segmenter_lane_processes_ended_total", "Of these, those that ended by themselves, or did not hear any more", registry=registry
        )
        self.model_figures = Gauge(
            "segmenter_model_figure",
            "How good a model is on outcomes that came after the score: log_loss, entropy (below 1 beats the base rate), auc, …",
            ["model", "figure"],
            registry=registry,
        )
        self.relearning = Gauge(
            "segmenter_relearning_examples", "Examples still to be learned anew, after the store lost the learner", registry=registry
        )
        self.model_ready = Gauge("segmenter_model_ready", "1 when a model serves, 0 while it is not ready", ["model"], registry=registry)
        self.model_published = Gauge(
            "segmenter_model_published_timestamp_seconds",
            "Log time at which the newest version was published",
            ["model"],
            registry=registry,
        )
        self.alerts = Counter("streamer_alerts_total", "What was said to people, by kind; repeated ones too", ["kind"], registry=registry)
        self._defined: dict[int, tuple[int, str]] = {}
        for what in FAULTS:
            self.faults.labels(what)
        for outcome in OUTCOMES:  # from 0 on: a counter that appears with its first event hides that event from rate()
            self.events.labels(outcome)
        for what in IDENTITY:
            self.identity.labels(what)
        Gauge("segmenter_build_info", "1", ["version"], registry=registry).labels(__version__).set(1)

    def count(self, counts: Mapping[str, int]) -> None:
        """Add what became of records: accepted, duplicate, sent_on and the like, or a reason code."""
        for outcome, number in counts.items():
            if outcome in OUTCOMES:
                self.events.labels(outcome).inc(number)
            else:
                self.events.labels("refused").inc(number)
                self.refused.labels(outcome).inc(number)

    def count_identity(self, counts: Mapping[str, int]) -> None:
        """Add what became of ids that belong together."""
        for what, times in counts.items():
            self.identity.labels(what).inc(times)

    def show_shard(
        self, shard: int, *, works: bool, outbox: int, lag_records: int | None, lag_seconds: float | None, log_time_ms: int | None
    ) -> None:
        """Where a shard stands at this moment; what is not known of it now is forgotten, and not shown as it was."""
        log_time = None if log_time_ms is None else log_time_ms / 1_000
        figures = ((self.lag, lag_records), (self.lag_seconds, lag_seconds), (self.log_time, log_time), (self.outbox, outbox))
        for gauge, value in (*figures, (self.shard_works, int(works))):
            if value is None:
                _forget(gauge, shard)
            else:
                gauge.labels(shard).set(value)

    def show_state(self, shard: int, state: str) -> None:
        """A shard is now in one of ``SHARD_STATES``; ``released`` forgets it: its numbers are another worker's from now on."""
        if state in SHARD_STATES:
            for name in SHARD_STATES:
                self.shard_state.labels(shard, name).set(1 if name == state else 0)
            return
        for name in SHARD_STATES:
            _forget(self.shard_state, shard, name)
        for gauge in (
            self.lag,
            self.lag_seconds,
            self.log_time,
            self.outbox,
            self.shard_works,
            self.refused_ratio,
            self.set_aside,
            self.tombstones,
        ):
            _forget(gauge, shard)
        self.show_definitions(shard, None)
        self.show_lane(shard, None)

    def show_definitions(self, shard: int, named: tuple[int, str] | None) -> None:
        """Version and digest of the definitions in force in a shard; None forgets it."""
        before = self._defined.pop(shard, None)
        if before not in (None, named):
            _forget(self.definitions, shard, *before)
        if named is not None:
            self._defined[shard] = named
            self.definitions.labels(shard, *named).set(1)

    def show_lane(self, shard: int, state: str | None, folded: int = 0, of: int = 0, ends_at_ms: int = 0) -> None:
        """How far a shard is on its way to definitions that do not hold there yet; None: it obeys what was published last."""
        if state is None:
            for gauge in (self.lane_folded, self.lane_left, self.lane_end):
                _forget(gauge, shard)
        else:
            self.lane_folded.labels(shard).set(folded)
            self.lane_left.labels(shard).set(of - folded)
            self.lane_end.labels(shard).set(ends_at_ms / 1_000)
        for name in LANE_STATES:
            if state is None:
                _forget(self.lane_state, shard, name)
            else:
                self.lane_state.labels(shard, name).set(1 if name == state else 0)

    def show_members(self, sizes: Mapping[str, int]) -> None:
        """Sizes of the segments over all shards of this worker; those no longer defined are forgotten."""
        self.members.clear()
        for name in sorted(sizes)[:SEGMENT_LABELS_MAX]:
            self.members.labels(name).set(sizes[name])

    def show_models(self, cards: Mapping[str, Card]) -> None:
        """The cards of all models."""
        for name, card in cards.items():
            self.model_ready.labels(name).set(1 if card.state == "ready" else 0)
            if card.published_ms is not None:
                self.model_published.labels(name).set(card.published_ms / 1_000)
            for figure in MODEL_FIGURES:
                value = getattr(card, figure)
                if value is not None:
                    self.model_figures.labels(name, figure).set(value)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


def _forget(gauge: Gauge, *labels: object) -> None:
    with suppress(KeyError):  # older clients mind a series that is not there
        gauge.remove(*labels)
