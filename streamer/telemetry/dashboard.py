"""The Grafana dashboard as data: ``python -m streamer.telemetry.dashboard`` writes it anew to ``grafana/dashboards/dashboard.json``.

A panel is a title, what to make of it, a unit and queries; where it stands follows from the order. There are no thresholds on purpose:
what needs a person is an alert, the dashboard is for finding out why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parent / "grafana" / "dashboards" / "dashboard.json"
SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
EVENTS: Final = "segmenter_events_total"
PANEL_HEIGHT: Final = 8
COLUMNS: Final = 24  # Grafana's grid


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph. ``queries`` maps what a line is called to its expression; ``kind`` is Grafana's name of the panel's type."""

    title: str
    description: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class PanelRow:
    """A heading and the panels below it."""

    title: str
    panels: tuple[Panel, ...]


def _quantile(q: str, name: str, by: str = "le") -> str:
    return f"histogram_quantile({q}, sum by ({by}) (rate({name}_bucket[$__rate_interval])))"


def _identity(*counted: str) -> dict[str, str]:
    return {what: f'sum(increase(segmenter_identity_total{{what="{what}"}}[5m]))' for what in counted}


ROWS: Final = (
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
                {"p99": _quantile("0.99", "segmenter_change_latency_seconds")},
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
                    "p50 {{stage}}": _quantile("0.5", "segmenter_batch_seconds", "le, stage"),
                    "p99 {{stage}}": _quantile("0.99", "segmenter_batch_seconds", "le, stage"),
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
                {f"p{q[2:]}": _quantile(q, "segmenter_change_latency_seconds") for q in ("0.50", "0.99")},
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
                "Pasts after which an answer says approximate, and messages that came under both ids before the link: they count twice.",
                _identity("approximate", "seen_twice"),
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
    PanelRow(
        "Topics of the shop",
        (
            Panel(
                "Messages and events a second",
                "What an ingest has read of each topic, and the events that became of it.",
                {
                    "{{topic}} messages": "sum by (topic) (rate(ingest_messages_total[1m]))",
                    "{{topic}} events": "sum by (topic) (rate(ingest_events_total[1m]))",
                },
                width=8,
            ),
            Panel(
                "Behind, by partition",
                "Records that are not taken yet; growing means that one more ingest is needed, or that Kafka does not take events.",
                {"{{topic}} {{partition}}": "sum by (topic, partition) (ingest_lag_records)"},
                width=8,
            ),
            Panel(
                "What is amiss",
                "Parts of messages that are no event, writes that were repeated, and whether Kafka takes and gives.",
                {
                    "{{reason}} a second": "sum by (reason) (rate(ingest_refused_total[1m]))",
                    "repeated writes a second": "sum(rate(ingest_write_retries_total[1m]))",
                    "Kafka takes nothing, s": "max(ingest_kafka_failing_seconds)",
                    "cannot read": "sum(ingest_reading_fails)",
                    "version {{version}}": "count by (version) (ingest_build_info)",
                },
                width=8,
            ),
        ),
    ),
    PanelRow(
        "Changes by webhook",
        (
            Panel(
                "Attempts a second",
                "Requests to endpoints by what came of them.",
                {
                    "{{subscription}} {{result}}": "sum by (subscription, result) (rate(webhook_attempts_total[1m]))",
                    "given up": "sum(rate(webhook_dead_total[5m]))",
                    "deleted before they were delivered": "sum(rate(webhook_records_lost_total[5m]))",
                    "lines of the log not written": "sum(rate(webhook_log_lines_lost_total[5m]))",
                    "records that are no change": "sum(rate(webhook_unreadable_total[5m]))",
                },
                width=8,
            ),
            Panel(
                "From a change in Kafka to its 2xx, and an attempt, s",
                "99 of 100 are below; an endpoint that fails shows in the first and hardly in the second.",
                {
                    "{{subscription}}": ("histogram_quantile(0.99, sum by (subscription, le) (rate(webhook_delay_seconds_bucket[5m])))"),
                    "an attempt": "histogram_quantile(0.99, sum by (le) (rate(webhook_attempt_seconds_bucket[5m])))",
                },
                width=8,
            ),
            Panel(
                "What waits",
                "Records that are not done, lanes that wait for another attempt, endpoints that get only probes or nothing but fail.",
                {
                    "{{subscription}} behind": "sum by (subscription) (webhook_behind_records)",
                    "{{subscription}} blocked lanes": "sum by (subscription) (webhook_blocked_lanes)",
                    "{{subscription}} only probes": "max by (subscription) (webhook_circuit_open)",
                    "{{subscription}} failing, s": "max by (subscription) (webhook_failing_seconds)",
                    "{{subscription}} stands": "max by (subscription) (webhook_problem)",
                    "version {{version}}": "count by (version) (webhook_build_info)",
                },
                width=8,
            ),
        ),
    ),
    PanelRow(
        "Events by HTTP",
        (
            Panel(
                "Taken and refused",
                "Events a second that are in the log, by write key, and elements that became dead letters.",
                {
                    "{{key}}": "sum by (key) (rate(collector_events_accepted_total[$__rate_interval]))",
                    "{{key}} refused: {{reason}}": "sum by (key, reason) (rate(collector_events_refused_total[$__rate_interval]))",
                },
                unit="reqps",
            ),
            Panel(
                "Requests",
                "By path and status. 429 asks a client to come back: Kafka is away, a key sends more than it may, or there is no room.",
                {"{{path}} {{status}}": "sum by (path, status) (rate(collector_requests_total[$__rate_interval]))"},
                unit="reqps",
            ),
            Panel(
                "Errors",
                "Requests answered with an error as a whole, by code; those of which nothing is kept because their sender objects.",
                {
                    "{{code}}": "sum by (code) (rate(collector_errors_total[$__rate_interval]))",
                    "objects": "sum(rate(collector_requests_opted_out_total[$__rate_interval]))",
                },
                unit="reqps",
            ),
            Panel(
                "Time to the answer",
                "With the acknowledgement of Kafka in it. SDKs give up after ten seconds.",
                {f"p{q[2:]}": _quantile(q, "collector_answer_seconds") for q in ("0.50", "0.99")},
                unit="s",
            ),
            Panel(
                "On their way",
                "Records and bytes that Kafka has not acknowledged; above 20,000 or 64 MB of a process the answer is 429.",
                {
                    "{{instance}} records": "max by (instance) (collector_in_flight_events)",
                    "{{instance}} bytes": "max by (instance) (collector_in_flight_bytes)",
                },
            ),
            Panel(
                "Connections, Kafka, keys",
                "Open connections, those closed as there were too many; how long Kafka has taken nothing; keys in force, files not used.",
                {
                    "{{instance}} open": "max by (instance) (collector_connections)",
                    "turned away": "sum(increase(collector_connections_turned_away_total[5m]))",
                    "Kafka takes nothing, s": "max(collector_kafka_failing_seconds)",
                    "{{instance}} keys": "max by (instance) (collector_keys)",
                    "files of keys not used": "sum(increase(collector_key_files_refused_total[5m]))",
                    "version {{version}}": "count by (version) (collector_build_info)",
                },
            ),
        ),
    ),
    PanelRow(
        "Messages: what was decided, and what became of it",
        (
            Panel(
                "Decided",
                "send, hold, or the reason of a skip; decided in the log, each once.",
                {"{{decided}}": "sum by (decided) (rate(segmenter_message_decisions_total[$__rate_interval]))"},
                stacked=True,
            ),
            Panel(
                "Sent, by message",
                "The ten messages that most is decided to send of.",
                {"{{message}}": 'topk(10, sum by (message) (rate(segmenter_message_decisions_total{decided="send"}[$__rate_interval])))'},
            ),
            Panel(
                "What became of them",
                "By the sender's own words: sent, unknown (never sent again), failed and why, stopped by the last look.",
                {"{{outcome}}": "sum by (outcome) (rate(sender_messages_total[$__rate_interval]))"},
            ),
            Panel(
                "Waiting at the sender",
                "Messages that are taken and not settled, and the age of the oldest.",
                {
                    "waiting": "sum(sender_waiting_messages)",
                    "oldest, s": "max(sender_oldest_seconds)",
                },
            ),
            Panel(
                "Last look p99",
                "What came into the log so shortly before a message left cannot stop it any more.",
                {"p99": _quantile("0.99", "sender_look_seconds")},
                unit="s",
            ),
            Panel(
                "Sender, what is amiss",
                "Shards whose ledger was read anew, senders that cannot look or read.",
                {
                    "{{why}}": "sum by (why) (increase(sender_shards_reopened_total[5m]))",
                    "cannot look": "sum(sender_looking_fails)",
                    "cannot read": "sum(sender_reading_fails)",
                    "version {{version}}": "count by (version) (sender_build_info)",
                },
            ),
        ),
    ),
    PanelRow(
        "Readers: the server of queries and changes",
        (
            Panel(
                "Requests",
                "By path and status.",
                {"{{path}} {{status}}": "sum by (path, status) (rate(server_requests_total[$__rate_interval]))"},
            ),
            Panel(
                "Errors",
                "Why requests were not answered with what they asked for.",
                {
                    "{{code}}": "sum by (code) (rate(server_errors_total[$__rate_interval]))",
                    "files of tokens not used": "sum(increase(server_token_files_refused_total[5m]))",
                    "turned away": "sum(increase(server_connections_turned_away_total[5m]))",
                },
            ),
            Panel(
                "Time to the answer",
                "Of a stream, its whole length.",
                {"{{path}} p99": _quantile("0.99", "server_answer_seconds", "le, path")},
                unit="s",
            ),
            Panel(
                "Streams",
                "Readers of changes that are connected, and those that went, by why.",
                {
                    "connected": "sum(server_streams)",
                    "ended, {{why}}": "sum by (why) (increase(server_streams_ended_total[5m]))",
                    "{{instance}} open": "max by (instance) (server_connections)",
                },
            ),
            Panel(
                "Changes to readers",
                "Taken from Kafka once each, and written to every reader that asks for them.",
                {
                    "read": "sum(rate(server_changes_read_total[$__rate_interval]))",
                    "written": "sum(rate(server_changes_sent_total[$__rate_interval]))",
                },
            ),
            Panel(
                "Kafka and tokens",
                "How long Kafka has said nothing of the log, and tokens in force.",
                {
                    "Kafka silent, s": "max(server_kafka_silent_seconds)",
                    "{{instance}} tokens": "max by (instance) (server_tokens)",
                    "version {{version}}": "count by (version) (server_build_info)",
                },
            ),
        ),
    ),
)


def dashboard() -> dict[str, object]:
    """The whole dashboard as Grafana reads it."""
    return {
        "uid": "streamer",
        "title": "streamer",
        "tags": ["streamer"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,  # one crosshair over all graphs
        "refresh": "5s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "templating": {"list": []},
        "panels": _panels(),
    }


def _panels() -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    top = 0
    for row in ROWS:
        found.append(
            {
                "id": len(found) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": _place(0, top, COLUMNS, 1),
            }
        )
        top += 1
        left = 0
        for panel in row.panels:
            height = PANEL_HEIGHT if panel.kind == "timeseries" else PANEL_HEIGHT // 2
            if left + panel.width > COLUMNS:
                left, top = 0, top + height
            found.append(_panel(panel, len(found) + 1, _place(left, top, panel.width, height)))
            left += panel.width
        top += PANEL_HEIGHT
    return found


def _place(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, object]:
    targets = [
        {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": expression, "legendFormat": name}
        for at, (name, expression) in enumerate(panel.queries.items())
    ]
    defaults: dict[str, object] = {"unit": panel.unit, "min": 0}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 25 if panel.stacked else 5,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}, "legend": {"displayMode": "list", "placement": "bottom"}}
        if panel.kind == "timeseries"
        else {"reduceOptions": {"calcs": ["lastNotNull"]}},
    }


def text() -> str:
    """What stands in the file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
