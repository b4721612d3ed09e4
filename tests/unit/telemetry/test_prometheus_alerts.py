"""Prometheus itself says which alerts fire: each one on the series that it is there for, and none where all is well."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import pytest
import yaml

import streamer.telemetry
from tests.promtool import expect, promtool

FOLDER: Final = Path(streamer.telemetry.__file__).parent
MINUTES: Final = 180  # how long the series of a case go on; a sample each minute


class Case(NamedTuple):
    """Series, as promtool writes their values, under which an alert fires, and the minute at which it does. ``quiet``: series under
    which the same alert says nothing, ever."""

    ill: dict[str, str]
    fires_at: int
    quiet: dict[str, str]


def always(value: float) -> str:
    """One value for as long as a case goes on."""
    return f"{value}x{MINUTES}"


def rising(by: float, start: float = 0) -> str:
    """A number that grows by as much a minute; falls where that is negative."""
    return f"{start}{by:+}x{MINUTES}"


OWNED: Final = 'segmenter_shard_state{state="owned",shard="%d",instance="w"}'
OF_W: Final = '{instance="w"}'
CASES: Final = {
    "StreamerNoReadyWorker": Case({OWNED % 0: always(0)}, 2, {OWNED % 0: always(1)}),
    "StreamerWorkerDown": Case({'up{job="streamer",instance="w"}': always(0)}, 2, {'up{job="streamer",instance="w"}': always(1)}),
    "StreamerShardsMissing": Case({OWNED % 0: always(1), OWNED % 1: "1x10 0x170"}, 16, {OWNED % 0: always(1), OWNED % 1: "1x10 0x1 1x170"}),
    "StreamerShardHalted": Case(
        {'segmenter_shard_state{state="halted",shard="3"}': always(1)}, 1, {'segmenter_shard_state{state="halted",shard="3"}': always(0)}
    ),
    "StreamerShardWaiting": Case(
        {'segmenter_shard_state{state="waiting",shard="3"}': always(1)},
        2,
        {'segmenter_shard_state{state="waiting",shard="3"}': "0 1 0x170"},
    ),
    "StreamerKafkaAway": Case(
        {"segmenter_kafka_silent_seconds" + OF_W: rising(60)}, 3, {"segmenter_kafka_silent_seconds" + OF_W: always(2)}
    ),
    "StreamerShardIdle": Case({'segmenter_shard_works{shard="3"}': always(0)}, 3, {'segmenter_shard_works{shard="3"}': always(1)}),
    "StreamerAuditMismatch": Case({"segmenter_segment_mismatch_total": "0x10 1x170"}, 11, {"segmenter_segment_mismatch_total": always(1)}),
    "StreamerPublicationStands": Case(
        {'segmenter_lane_left_records{shard="3"}': always(500), 'segmenter_lane_folded_records{shard="3"}': always(20)},
        16,
        {
            'segmenter_lane_left_records{shard="3"}': rising(-10, 5_000),
            'segmenter_lane_folded_records{shard="3"}': rising(10),
            'segmenter_lane_state{shard="3",state="stands"}': always(0),
        },
    ),
    "StreamerLearnerStopped": Case({"segmenter_learner_works" + OF_W: always(0)}, 11, {"segmenter_learner_works" + OF_W: always(1)}),
    "StreamerNoProgress": Case(
        {'segmenter_log_time_timestamp_seconds{shard="3"}': always(30)},
        5,
        {'segmenter_log_time_timestamp_seconds{shard="3"}': rising(60)},
    ),
    "StreamerLagGrowing": Case(
        {'segmenter_lag_records{shard="3"}': rising(1000, 6000)}, 15, {'segmenter_lag_records{shard="3"}': rising(-10, 90000)}
    ),
    "StreamerChangesLate": Case(
        {
            'segmenter_change_latency_seconds_bucket{le="5"}': rising(10),
            'segmenter_change_latency_seconds_bucket{le="10"}': rising(60),
            'segmenter_change_latency_seconds_bucket{le="+Inf"}': rising(60),
        },
        15,
        {
            'segmenter_change_latency_seconds_bucket{le="5"}': rising(60),
            'segmenter_change_latency_seconds_bucket{le="10"}': rising(60),
            'segmenter_change_latency_seconds_bucket{le="+Inf"}': rising(60),
        },
    ),
    "StreamerRefusedRatio": Case(
        {'segmenter_events_total{outcome="refused"}': rising(5), 'segmenter_events_total{outcome="accepted"}': rising(95)},
        10,
        {'segmenter_events_total{outcome="refused"}': rising(1), 'segmenter_events_total{outcome="accepted"}': rising(999)},
    ),
    "StreamerWrongShard": Case(
        {'segmenter_events_total{outcome="wrong_shard"}': rising(5), 'segmenter_events_total{outcome="accepted"}': rising(95)},
        15,
        {'segmenter_events_total{outcome="wrong_shard"}': rising(1), 'segmenter_events_total{outcome="accepted"}': rising(999)},
    ),
    "StreamerLinksRefused": Case(
        {'segmenter_identity_total{what="link_refused"}': "0x5 1x170"}, 7, {'segmenter_identity_total{what="linked"}': rising(9)}
    ),
    "StreamerFenced": Case({"segmenter_fenced_total" + OF_W: rising(1)}, 10, {"segmenter_fenced_total" + OF_W: "0x20 2x150"}),
    "StreamerStoreErrors": Case({"segmenter_store_errors_total" + OF_W: rising(1)}, 5, {"segmenter_store_errors_total" + OF_W: always(7)}),
    "StreamerOutboxGrowing": Case(
        {'segmenter_outbox_outputs{shard="3"}': rising(100, 1000)}, 10, {'segmenter_outbox_outputs{shard="3"}': always(900)}
    ),
    "StreamerLoopLag": Case({"segmenter_loop_lag_seconds" + OF_W: always(0.5)}, 5, {"segmenter_loop_lag_seconds" + OF_W: always(0.02)}),
    "StreamerRebalances": Case({"segmenter_rebalances_total" + OF_W: rising(1)}, 20, {"segmenter_rebalances_total" + OF_W: "0x20 2x150"}),
    "StreamerModelOffCalibration": Case(
        {'segmenter_model_figure{figure="ratio",model="m"}': always(1.5), 'segmenter_model_figure{figure="ratio",model="n"}': always(0.5)},
        62,
        {'segmenter_model_figure{figure="ratio",model="m"}': always(1.1)},
    ),
    "StreamerModelNotReady": Case(
        {'segmenter_model_ready{model="m"}': "0x1600", 'segmenter_model_figure{figure="judged",model="m"}': "9000x1600"},
        1445,
        {'segmenter_model_ready{model="m"}': "1x1600", 'segmenter_model_figure{figure="judged",model="m"}': "9000x1600"},
    ),
    "StreamerIngestLost": Case(
        {'ingest_records_lost_total{topic="t"}': "0x5 10x170"},
        7,
        {'ingest_records_lost_total{topic="t"}': always(0), 'ingest_position_out_of_range_total{topic="t"}': always(0)},
    ),
    "StreamerIngestStands": Case(
        {"ingest_kafka_failing_seconds" + OF_W: rising(60)},
        10,
        {"ingest_kafka_failing_seconds" + OF_W: always(0), "ingest_reading_fails" + OF_W: always(0)},
    ),
    "StreamerWebhookFailing": Case(
        {'webhook_failing_seconds{subscription="s"}': rising(60)}, 61, {'webhook_failing_seconds{subscription="s"}': always(60)}
    ),
    "StreamerWebhookGivenUp": Case(
        {'webhook_dead_total{subscription="s"}': "0x5 1x170"}, 7, {'webhook_dead_total{subscription="s"}': always(3)}
    ),
    "StreamerWebhookStands": Case({'webhook_problem{subscription="s"}': always(1)}, 6, {'webhook_problem{subscription="s"}': "0 1 0x170"}),
    "StreamerWebhookLost": Case(
        {'webhook_records_lost_total{subscription="s"}': "0x5 10x170"}, 7, {'webhook_records_lost_total{subscription="s"}': always(0)}
    ),
    "StreamerWebhookKafkaAway": Case(
        {"webhook_kafka_silent_seconds" + OF_W: rising(60)}, 3, {"webhook_kafka_silent_seconds" + OF_W: always(2)}
    ),
    "StreamerWebhookBehind": Case(
        {'webhook_behind_records{subscription="s",instance="w"}': always(6000), 'webhook_behind_records{subscription="s"}': always(6000)},
        16,
        {'webhook_behind_records{subscription="s"}': "20000x10 0x160"},
    ),
    "StreamerCollectorKafkaAway": Case(
        {"collector_kafka_failing_seconds" + OF_W: rising(60)}, 3, {"collector_kafka_failing_seconds" + OF_W: always(1)}
    ),
    "StreamerCollectorTurnsAway": Case(
        {'collector_requests_total{status="429"}': rising(20), 'collector_requests_total{status="200"}': rising(80)},
        10,
        {'collector_requests_total{status="429"}': rising(1), 'collector_requests_total{status="200"}': rising(99)},
    ),
    "StreamerCollectorRefused": Case(
        {'collector_events_refused_total{key="k",code="json"}': rising(5), 'collector_events_accepted_total{key="k"}': rising(95)},
        10,
        {'collector_events_refused_total{key="k",code="json"}': rising(1), 'collector_events_accepted_total{key="k"}': rising(999)},
    ),
    "StreamerCollectorFault": Case(
        {'collector_errors_total{code="internal",instance="w"}': rising(1)},
        5,
        {'collector_errors_total{code="kafka_away",instance="w"}': rising(1)},
    ),
    "StreamerCollectorKeysRefused": Case(
        {"collector_key_files_refused_total" + OF_W: "0x5 1x170"}, 7, {"collector_key_files_refused_total" + OF_W: always(0)}
    ),
    "StreamerSenderStands": Case(
        {"sender_looking_fails" + OF_W: always(1)},
        3,
        {"sender_looking_fails" + OF_W: always(0), "sender_reading_fails" + OF_W: "0 1 0x170"},
    ),
    "StreamerMessagesUnknown": Case(
        {'sender_messages_total{outcome="unknown"}': "0x5 1x170"}, 7, {'sender_messages_total{outcome="sent"}': rising(9)}
    ),
    "StreamerServerKafkaAway": Case(
        {"server_kafka_silent_seconds" + OF_W: rising(60)}, 3, {"server_kafka_silent_seconds" + OF_W: always(2)}
    ),
    "StreamerServerStoreAway": Case(
        {'server_errors_total{code="store_away",instance="w"}': rising(9)},
        4,
        {'server_errors_total{code="not_yet",instance="w"}': rising(9)},
    ),
    "StreamerServerTurnsAway": Case(
        {"server_connections_turned_away_total" + OF_W: rising(20)},  # without a request that was turned away the other series is not there
        8,
        {'server_errors_total{code="overloaded",instance="w"}': "0x20 60x150", "server_connections_turned_away_total" + OF_W: always(0)},
    ),
    "StreamerServerReadersCut": Case(
        {
            'server_streams_ended_total{why="slow",instance="w"}': rising(1),
            'server_streams_ended_total{why="behind",instance="w"}': rising(1),
        },
        21,
        {
            'server_streams_ended_total{why="gone",instance="w"}': rising(100),
            'server_streams_ended_total{why="slow",instance="w"}': "0x30 30x150",
        },
    ),
    "StreamerServerBehind": Case(
        {"server_feed_behind_records" + OF_W: always(9000)}, 6, {"server_feed_behind_records" + OF_W: "9000x2 0x170"}
    ),
    "StreamerServerFault": Case(
        {'server_errors_total{code="unreadable",instance="w"}': rising(1)},
        5,
        {'server_errors_total{code="kafka_away",instance="w"}': rising(1)},
    ),
    "StreamerServerTokensRefused": Case(
        {"server_token_files_refused_total" + OF_W: "0x5 1x170"}, 7, {"server_token_files_refused_total" + OF_W: always(0)}
    ),
}


def names() -> list[str]:
    """Every alert of the shipped file, in its order."""
    loaded = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    return [rule["alert"] for group in loaded["groups"] for rule in group["rules"]]


def group(alert: str, series: dict[str, str], expected: list[tuple[int, int]]) -> dict[str, object]:
    """One test of promtool: at each minute of ``expected``, whether the alert fires (1) or not (0)."""
    asked = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > bool 0 or vector(0)'
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": asked, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": fires}]} for minute, fires in expected
        ],
    }


def test_every_alert_has_a_case() -> None:
    """An alert that nobody has seen fire is a wish."""
    assert sorted(CASES) == sorted(names())


def test_each_alert_fires_on_what_it_is_for_and_on_nothing_else(tmp_path: Path) -> None:
    """An expression that misses its series by a label never fires, and nobody notices before the night in which it should have."""
    tests: list[dict[str, object]] = []
    for alert, case in CASES.items():
        tests.append(group(alert, case.ill, [(0, 0), (case.fires_at, 1)] if "for" in rule(alert) else [(case.fires_at, 1)]))
        tests.append(group(alert, case.quiet, [(minute, 0) for minute in (1, 5, 20, 65, 150)]))
    expect(tmp_path / "alerts.test.yml", tests, FOLDER / "alerts.yml")


def rule(alert: str) -> dict[str, object]:
    """An alert as it is written."""
    loaded = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    return next(rule for group in loaded["groups"] for rule in group["rules"] if rule["alert"] == alert)


@pytest.mark.parametrize("kind", [("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml")], ids=lambda kind: kind[1])
def test_prometheus_takes_the_shipped_files(kind: tuple[str, str, str]) -> None:
    """What a deployment mounts is read by the server as it is."""
    what, which, name = kind
    done = promtool(what, which, str(FOLDER / name))
    assert done.returncode == 0, done.stdout + done.stderr
