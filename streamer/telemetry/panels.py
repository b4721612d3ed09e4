"""What a dashboard is made of: panels, rows of them, and the expressions that many panels share."""

from __future__ import annotations

from dataclasses import dataclass


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


def quantile(q: str, name: str, by: str = "le") -> str:
    """Of a histogram, over all series that differ in other labels than ``by``."""
    return f"histogram_quantile({q}, sum by ({by}) (rate({name}_bucket[$__rate_interval])))"
