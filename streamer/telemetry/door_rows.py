"""The rows of the dashboard about the doors: ingest, collector, webhooks, sender and server for readers."""

from __future__ import annotations

from typing import Final

from .panels import Panel, PanelRow, quantile

DOOR_ROWS: Final = (
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
                    "Kafka silent, s": "max(webhook_kafka_silent_seconds)",
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
                {f"p{q[2:]}": quantile(q, "collector_answer_seconds") for q in ("0.50", "0.99")},
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
                {"p99": quantile("0.99", "sender_look_seconds")},
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
                {"{{path}} p99": quantile("0.99", "server_answer_seconds", "le, path")},
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
                    "{{instance}} behind, records": "max by (instance) (server_feed_behind_records)",
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
