"""The rows of the dashboard about workers: what comes in, what comes out, who does it."""

from __future__ import annotations

from typing import Final

from .panels import Panel, PanelRow, quantile

EVENTS: Final = "segmenter_events_total"


def _identity(*counted: str) -> dict[str, str]:
    return {what: f'sum(increase(segmenter_identity_total{{what="{what}"}}[5m]))' for what in counted}


SEGMENTER_ROWS: Final = (
    PanelRow(
        "Is it well?",
        (
            Panel(
                "Shards owned",
                "All shards should be owned by someone.",
                {"owned": 'sum(segmenter_shard_state{state="owned"})'},
                kind="stat",
                width=4,
            ),
            Panel(
                "Shards waiting or halted",
                "Waiting ends by itself, halted needs a person.",
                {"waiting": 'sum(segmenter_shard_state{state="waiting"})', "halted": 'sum(segmenter_shard_state{state="halted"})'},
                kind="stat",
                width=4,
            ),
            Panel(
                "Workers and Kafka",
                "Shards that do their work, and the longest time without an answer of Kafka; /readyz says what is wrong.",
                {
                    "shards at work": "sum(segmenter_shard_works)",
                    "Kafka silent, s": "max(segmenter_kafka_silent_seconds)",
                    "learner at work": "min(segmenter_learner_works)",
                },
                kind="stat",
                width=4,
            ),
            Panel(
                "Records a second",
                "Over all workers.",
                {"records": "sum(rate(segmenter_events_total[$__rate_interval]))"},
                kind="stat",
                width=4,
            ),
            Panel(
                "Furthest behind",
                "How far log time of the slowest shard is behind the clock.",
                {"behind": "max(time() - segmenter_log_time_timestamp_seconds)"},
                unit="s",
                kind="stat",
                width=4,
            ),
            Panel(
                "Refused",
                "Share of the records that became dead letters.",
                {"refused": f'sum(rate({EVENTS}{{outcome="refused"}}[$__rate_interval])) / sum(rate({EVENTS}[$__rate_interval]))'},
                unit="percentunit",
                kind="stat",
                width=4,
            ),
            Panel(
                "Change latency p99",
                "From the broker's time of a record to its published changes.",
                {"p99": quantile("0.99", "segmenter_change_latency_seconds")},
                unit="s",
                kind="stat",
                width=4,
            ),
        ),
    ),
    PanelRow(
        "What comes in",
        (
            Panel(
                "Throughput by outcome",
                "Records a second by what became of them.",
                {"{{outcome}}": "sum by (outcome) (rate(segmenter_events_total[$__rate_interval]))"},
                unit="reqps",
                stacked=True,
            ),
            Panel(
                "Refused by reason",
                "The reason is a code of events/admission.py; the dead letters say where.",
                {"{{reason}}": "sum by (reason) (rate(segmenter_events_refused_total[$__rate_interval]))"},
                unit="reqps",
                stacked=True,
            ),
            Panel(
                "Refused of the newest thousand",
                "By shard; without what is merely late. Above STREAMER_REFUSED_RATIO_ALERT an alert names reason and producer.",
                {"shard {{shard}}": "max by (shard) (segmenter_refused_ratio)"},
                unit="percentunit",
            ),
            Panel(
                "Faults of our own",
                "Records made dead letters and customers set aside in five minutes because our code failed at them; and those aside now.",
                {
                    "{{what}}": "sum by (what) (increase(segmenter_faults_total[5m]))",
                    "set aside now": "sum(segmenter_customers_set_aside)",
                    "state unreadable, folded anew": "sum(increase(segmenter_customers_refolded_total[5m]))",
                },
            ),
            Panel(
                "Audit",
                "Customers told anew from the log and compared with the store, a minute; and those of whom the store has something else.",
                {
                    "compared": "sum(rate(segmenter_audited_total[5m])) * 60",
                    "not comparable": "sum(rate(segmenter_unaudited_total[5m])) * 60",
                    "differs": "sum(increase(segmenter_segment_mismatch_total[5m]))",
                },
            ),
            Panel(
                "Lag in records",
                "Behind the end of the log, by shard. Not shown while that end is not known.",
                {"shard {{shard}}": "max by (shard) (segmenter_lag_records)"},
            ),
            Panel(
                "Lag in seconds",
                "How far log time is behind the clock where records are to be read, by shard. 0 on a quiet shard that has read everything.",
                {"shard {{shard}}": "max by (shard) (segmenter_lag_seconds)"},
                unit="s",
            ),
            Panel(
                "Batch time",
                "From records in hand to the commit. Above 50 ms it delays heartbeats.",
                {
                    "p50 {{stage}}": quantile("0.5", "segmenter_batch_seconds", "le, stage"),
                    "p99 {{stage}}": quantile("0.99", "segmenter_batch_seconds", "le, stage"),
                },
                unit="s",
            ),
            Panel(
                "Event loop lag",
                "How late the loop ran a timer. The consumer's heartbeats wait as long.",
                {"{{instance}}": "max by (instance) (segmenter_loop_lag_seconds)"},
                unit="s",
            ),
        ),
    ),
    PanelRow(
        "What comes out",
        (
            Panel(
                "Change latency",
                "From the broker's time of a record to its published changes.",
                {f"p{q[2:]}": quantile(q, "segmenter_change_latency_seconds") for q in ("0.50", "0.99")},
                unit="s",
            ),
            Panel(
                "Changes by segment",
                "Entered and left a second; the ten busiest.",
                {"{{segment}} {{change}}": "topk(10, sum by (segment, change) (rate(segmenter_changes_total[$__rate_interval])))"},
                unit="reqps",
            ),
            Panel(
                "Segment sizes",
                "Customers inside, over all workers; the twenty largest.",
                {"{{segment}}": "topk(20, sum by (segment) (segmenter_segment_members))"},
            ),
            Panel(
                "Outputs published",
                "Acknowledged by the broker.",
                {"published": "sum(rate(segmenter_outputs_published_total[$__rate_interval]))"},
                unit="reqps",
            ),
            Panel(
                "Outbox",
                "Outputs waiting for the broker, by shard. At 10,000 a shard stops reading.",
                {"shard {{shard}}": "max by (shard) (segmenter_outbox_outputs)"},
            ),
            Panel(
                "Definitions in force",
                "One line a version: during a publication two, otherwise one.",
                {"version {{version}} ({{digest}})": "count by (version, digest) (segmenter_definitions_info)"},
            ),
        ),
    ),
    PanelRow(
        "What was published, on its way",
        (
            Panel(
                "Past folded",
                "How much of its log each shard has folded for what is new in the definitions.",
                {
                    "shard {{shard}}": "max by (shard) (segmenter_lane_folded_records) "
                    "/ (max by (shard) (segmenter_lane_folded_records) + max by (shard) (segmenter_lane_left_records))"
                },
                unit="percentunit",
            ),
            Panel(
                "Folded a second",
                "Over all shards. Lanes yield while live traffic lags.",
                {"records": "sum(deriv(segmenter_lane_folded_records[1m]))"},
            ),
            Panel(
                "Until all is folded",
                "Of the slowest shard, at the pace so far.",
                {"left": "max(segmenter_lane_end_timestamp_seconds > 0) - time()"},
                unit="s",
            ),
            Panel(
                "Shards on their way",
                "Ready: it waits for other shards. Stands: `streamer segments status` says for what.",
                {"{{state}}": "sum by (state) (segmenter_lane_state)"},
                stacked=True,
            ),
            Panel(
                "Processes that fold",
                "Those that end by themselves are begun anew: too little of the processors was left for them, or somebody killed them.",
                {"running": "sum(segmenter_lane_processes)", "ended in an hour": "sum(increase(segmenter_lane_processes_ended_total[1h]))"},
            ),
        ),
    ),
    PanelRow(
        "One person, several ids",
        (
            Panel(
                "Links",
                "Ids tied together, in five minutes. Drained, not adopted: the survivor's shard lags. Linked, not drained: new ids.",
                _identity("linked", "drained", "adopted"),
            ),
            Panel(
                "Not joined",
                "Refused: 50 new ids of one person in 30 days. Users of one device stay apart. The past of somebody erased is dropped.",
                _identity("link_refused", "link_again", "shared_device", "adopt_of_erased"),
            ),
            Panel(
                "Not joined exactly",
                "Approximate answers since; messages that came under both ids, and count twice; pasts of side lanes that found nobody.",
                _identity("approximate", "seen_twice", "side_lost"),
            ),
            Panel(
                "Old ids",
                "Tombstones in the store, about 150 bytes each with the entry; and events a second that they send on.",
                {
                    "tombstones": "sum(segmenter_tombstones)",
                    "sent on a second": f'sum(rate({EVENTS}{{outcome="sent_on"}}[$__rate_interval]))',
                },
            ),
        ),
    ),
    PanelRow(
        "What is learned",
        (
            Panel(
                "Models ready",
                "A model that does not beat the base rate is not ready, and its segments are left alone.",
                {"{{model}}": "max by (model) (segmenter_model_ready)"},
            ),
            Panel(
                "Against the base rate",
                "Log loss over that of always saying the base rate, on outcomes after the score. Below 1 is better than knowing nothing.",
                {"{{model}}": 'max by (model) (segmenter_model_figure{figure="entropy"})'},
            ),
            Panel(
                "Scores over outcomes",
                "Sum of scores over sum of outcomes; should be about 1.",
                {"{{model}}": 'max by (model) (segmenter_model_figure{figure="ratio"})'},
            ),
            Panel(
                "Age of models",
                "Since the newest version was published, in log time.",
                {"{{model}}": "time() - max by (model) (segmenter_model_published_timestamp_seconds)"},
                unit="s",
            ),
            Panel(
                "Learned anew",
                "Examples still to be read again after the store lost the learner. Until then the versions that serve stay.",
                {"examples": "sum(segmenter_relearning_examples)"},
            ),
        ),
    ),
    PanelRow(
        "Who does it",
        (
            Panel(
                "Shards by state",
                "Owned, waiting and halted shards.",
                {"{{state}}": "sum by (state) (segmenter_shard_state)"},
                stacked=True,
            ),
            Panel(
                "Shards by worker",
                "How they are dealt out.",
                {"{{instance}}": 'sum by (instance) (segmenter_shard_state{state="owned"})'},
                stacked=True,
            ),
            Panel(
                "Rebalances, fences, store errors",
                "In the last five minutes. Fences belong to rebalances; alone they are a paused worker or an older state of the store.",
                {
                    "rebalances": "sum(increase(segmenter_rebalances_total[5m]))",
                    "fences": "sum(increase(segmenter_fenced_total[5m]))",
                    "store errors": "sum(increase(segmenter_store_errors_total[5m]))",
                },
            ),
            Panel(
                "Alerts by kind",
                "What workers had to say to people in the last five minutes; the topic of alerts and their logs have the sentences.",
                {"{{kind}}": "sum by (kind) (increase(streamer_alerts_total[5m]))"},
            ),
        ),
    ),
)
