"""What operators look at asks for numbers that exist, and tells no one who the customers are."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

import streamer.telemetry
from streamer.collector.answers import STATUS
from streamer.sender.ledger import ENDED
from streamer.server.change_stream import ENDS as STREAM_ENDS
from streamer.server.errors import CODES as SERVER_CODES
from streamer.telemetry.collector_metrics import CollectorMetrics
from streamer.telemetry.dashboard import FILE, ROWS, text
from streamer.telemetry.ingest_metrics import IngestMetrics
from streamer.telemetry.metrics import IDENTITY, LANE_STATES, MODEL_FIGURES, OUTCOMES, SEGMENT_LABELS_MAX, SHARD_STATES, Metrics
from streamer.telemetry.sender_metrics import SenderMetrics
from streamer.telemetry.server_metrics import ServerMetrics
from streamer.telemetry.webhook_metrics import WebhookMetrics
from tests.promtool import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(streamer.telemetry.__file__).parent
OF_PROMETHEUS = {"up": {"job", "instance"}}
TARGET_LABELS = {"job", "instance"}  # Prometheus adds them to every series
WORDS = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "bool", "offset"}
FUNCTIONS = {
    *("sum", "max", "min", "avg", "count", "topk", "rate", "increase", "deriv", "delta", "time", "vector", "histogram_quantile"),
    *("avg_over_time", "max_over_time", "min_over_time"),
}


def every_metric() -> dict[str, set[str]]:
    """Each series name and its labels, as a scrape would give them."""
    found: dict[str, set[str]] = {}
    for metric in [
        *vars(Metrics()).values(),
        *vars(IngestMetrics()).values(),
        *vars(CollectorMetrics()).values(),
        *vars(WebhookMetrics()).values(),
        *vars(SenderMetrics()).values(),
        *vars(ServerMetrics()).values(),
    ]:
        if isinstance(metric, (Counter, Gauge, Histogram)):
            labels = set[str](metric._labelnames)  # pyright: ignore[reportPrivateUsage] - a metric without a label yet has no series to ask
            (family,) = metric.collect()
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            for suffix in suffixes:
                found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


METRICS = every_metric() | OF_PROMETHEUS


def alerts() -> list[dict[str, Any]]:
    """All alerting rules."""
    loaded = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """All panels that show something."""
    return [panel for panel in json.loads(FILE.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Each expression and where it stands."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def metrics_and_labels(expression: str) -> tuple[set[str], set[str]]:
    """What names of metrics and of labels an expression uses.

    >>> metrics_and_labels('sum by (shard) (rate(a_total{state="x y"}[5m]))')
    ({'a_total'}, {'shard', 'state'})
    """
    bare = re.sub(r'"[^"]*"', '""', expression)
    grouped = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", bare)
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", bare)
    labels = {name.strip() for group in grouped for name in group.split(",") if name.strip()} | set(matched)
    rest = re.sub(r"\[[^]]*\]|\{[^}]*\}|\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    words = set(re.findall(r"\b[a-z_][a-z0-9_]*\b", rest))
    return words - WORDS - FUNCTIONS, labels


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_every_metric_and_label_that_is_asked_for_exists(place: str, expression: str) -> None:
    """A renamed metric leaves an alert that never fires, and nobody notices until the night it should have."""
    names, labels = metrics_and_labels(expression)
    assert names, f"{place} asks for nothing"
    assert names <= METRICS.keys(), f"{place}: {names - METRICS.keys()} do not exist"
    assert labels <= set().union(*(METRICS[name] for name in names)) | TARGET_LABELS, f"{place}: {labels} do not all exist"


@pytest.mark.parametrize(("place", "expression"), list(expressions()))
def test_every_value_of_a_label_that_is_asked_for_can_occur(place: str, expression: str) -> None:
    """``state="own"`` would be a well-formed question that is always answered with nothing."""
    known = {
        "state": (*SHARD_STATES, *LANE_STATES),
        "outcome": (*OUTCOMES, *ENDED),
        "job": ("streamer",),
        "figure": MODEL_FIGURES,
        "what": IDENTITY,
    }
    known |= {"decided": ("send",)}
    known |= {"code": (*STATUS, *SERVER_CODES), "status": tuple(map(str, STATUS.values())), "why": STREAM_ENDS}
    for label, value in label_values(expression):
        assert value in known[label], f"{place}: {label}={value}"


def label_values(expression: str) -> Iterator[tuple[str, str]]:
    """Each label that a query chooses by, with each value that it names."""
    for label, values in re.findall(r'(\w+)=~?"([^"]*)"', expression):
        for value in values.split("|"):
            yield label, value


def series() -> Iterator[str]:
    """A series of every metric, for every value of a label that some query asks for."""
    asked = {label: set[str]() for labels in METRICS.values() for label in labels}
    for _, expression in expressions():
        for label, value in label_values(expression):
            asked[label].add(value)
    for name, labels in METRICS.items():
        values = ([f'{label}="{value}"' for value in sorted(asked[label]) or ["1"]] for label in sorted(labels - TARGET_LABELS))
        for chosen in product(*values):
            yield name + "{" + ",".join([*chosen, 'instance="w"', 'job="streamer"']) + "}"


def test_every_panel_shows_something_where_all_metrics_are_there(tmp_path: Path) -> None:
    """Prometheus itself evaluates each query over a series of every metric: one that it cannot read, or whose labels do not meet, is an
    empty panel."""
    queries = [target["expr"].replace("$__rate_interval", "5m") for panel in panels() for target in panel["targets"]]
    assert len(queries) > 60
    shows = [{"expr": f"count({query}) > bool 0", "eval_time": "20m", "exp_samples": [{"labels": "{}", "value": 1}]} for query in queries]
    inputs = [{"series": one, "values": "0+7x30"} for one in series()]
    expect(tmp_path / "panels.test.yml", [{"interval": "1m", "input_series": inputs, "promql_expr_test": shows}])


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    """A number that nobody looks at costs each scrape and helps no one."""
    used = set[str]().union(*(metrics_and_labels(expression)[0] for _, expression in expressions()))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in METRICS}
    seen = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
    assert families == seen


def test_no_metric_has_a_customer_in_a_label() -> None:
    """A series per customer would end Prometheus, and put customers' ids where everybody may read."""
    allowed = {"outcome", "reason", "segment", "change", "shard", "state", "stage", "version", "digest", "le", "job", "instance"}
    allowed |= {"model", "figure", "kind", "what", "topic", "partition"}
    allowed |= {"subscription", "result"}  # by the name that an operator gave it
    allowed |= {"key", "path", "status", "code", "message", "decided", "why"}  # a key by the name in its file, a path by that in the code
    assert set[str]().union(*METRICS.values()) <= allowed


def test_every_alert_says_what_to_do() -> None:
    """Whoever is woken by it has not read the code."""
    for rule in alerts():
        assert rule["labels"]["severity"] in {"warning", "critical"}, rule["alert"]
        assert len(rule["annotations"]["summary"]) > 60, rule["alert"]
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())


def test_the_scraped_job_is_the_one_that_alerts_ask_for() -> None:
    """``up`` is the only series by which a dead worker shows, and it is found by the job's name."""
    loaded = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert [job["job_name"] for job in loaded["scrape_configs"]] == [
        "streamer",
        *(f"streamer-{name}" for name in ("ingest", "collect", "webhooks", "send", "serve")),
    ]
    assert loaded["rule_files"] == ["alerts.yml"]


def test_the_dashboard_in_the_file_is_the_one_that_the_code_makes() -> None:
    """``python -m streamer.telemetry.dashboard`` writes it; edited by hand, the next run would undo the edit."""
    assert FILE.read_text() == text()


def test_panels_lie_side_by_side_and_have_numbers_of_their_own() -> None:
    """Grafana draws overlapping panels over one another without a word."""
    loaded = json.loads(FILE.read_text())["panels"]
    covered: set[tuple[int, int]] = set()
    for panel in loaded:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & covered, panel["title"]
        covered |= cells
    assert len({panel["id"] for panel in loaded}) == len(loaded)
    assert len(panels()) == sum(len(row.panels) for row in ROWS)


def test_the_provisioned_data_source_is_the_one_that_panels_name() -> None:
    """By its uid; Grafana would make up another one, and every panel would be empty."""
    (source,) = yaml.safe_load((FOLDER / "grafana/datasources/prometheus.yml").read_text())["datasources"]
    assert {panel["datasource"]["uid"] for panel in panels()} == {source["uid"]}
    (provider,) = yaml.safe_load((FOLDER / "grafana/dashboards/dashboards.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/provisioning/dashboards", "where docker-compose mounts the folder"


def test_a_released_shard_leaves_no_number_behind() -> None:
    """Its lag would stand still for ever in the worker that had it, and an alert with it."""
    metrics = Metrics()
    for shard in (1, 2):
        metrics.show_state(shard, "owned")
        metrics.lag.labels(shard).set(10)
        metrics.log_time.labels(shard).set(1)
        metrics.show_definitions(shard, (1, "ab"))
    metrics.show_state(1, "released")
    assert 'shard="1"' not in metrics.text().decode()
    assert 'segmenter_shard_state{shard="2",state="owned"} 1.0' in metrics.text().decode()


def test_new_definitions_take_the_place_of_the_old_ones() -> None:
    """Two versions of one shard would look like a publication that does not end."""
    metrics = Metrics()
    metrics.show_definitions(3, (1, "ab"))
    metrics.show_definitions(3, (2, "cd"))
    assert re.findall(r"segmenter_definitions_info\{(.*)\}", metrics.text().decode()) == ['digest="cd",shard="3",version="2"']


def test_a_segment_that_is_gone_is_not_shown_any_more() -> None:
    """The last size of a deleted segment is no size."""
    metrics = Metrics()
    metrics.show_members({"loyal": 3, "new": 1})
    metrics.show_members({"new": 2})
    assert re.findall(r'members\{segment="(\w+)"\} (\S+)', metrics.text().decode()) == [("new", "2.0")]


def test_thousands_of_segments_do_not_fill_the_scrape() -> None:
    """Definitions may hold 20,000 segments; their sizes would be most of every scrape."""
    metrics = Metrics()
    metrics.show_members({f"s{number:05}": number for number in range(SEGMENT_LABELS_MAX + 50)})
    assert metrics.text().count(b"segmenter_segment_members{") == SEGMENT_LABELS_MAX


def test_what_became_of_records_is_counted_by_outcome_and_refusals_by_reason() -> None:
    """Reasons are codes of admission; a late event is a refusal like any other."""
    metrics = Metrics()
    metrics.count({"accepted": 5, "late": 2, "bad_json": 1})
    shown = metrics.text().decode()
    assert 'segmenter_events_total{outcome="accepted"} 5.0' in shown
    assert 'segmenter_events_total{outcome="refused"} 3.0' in shown
    assert 'segmenter_events_total{outcome="duplicate"} 0.0' in shown, "shown from the start, so that its first increase is seen"
    assert 'segmenter_events_refused_total{reason="late"} 2.0' in shown
