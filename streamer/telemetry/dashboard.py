"""The Grafana dashboard as data: ``python -m streamer.telemetry.dashboard`` writes it anew to ``grafana/dashboards/dashboard.json``.

A panel is a title, what to make of it, a unit and queries; where it stands follows from the order. There are no thresholds on purpose:
what needs a person is an alert, the dashboard is for finding out why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from .door_rows import DOOR_ROWS
from .panels import Panel
from .segmenter_rows import SEGMENTER_ROWS

FILE: Final = Path(__file__).parent / "grafana" / "dashboards" / "dashboard.json"
SOURCE: Final = {"type": "prometheus", "uid": "prometheus"}
PANEL_HEIGHT: Final = 8
COLUMNS: Final = 24  # Grafana's grid


ROWS: Final = (*SEGMENTER_ROWS, *DOOR_ROWS)


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
