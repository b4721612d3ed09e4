"""The views, one a file. How to add one: docs/page.md."""

from __future__ import annotations

from streamer.page.sources import PageSources
from streamer.page.view import PageView

from . import (
    customer,
    customer_file,
    customers,
    deliveries,
    ledger,
    letters,
    messages,
    models,
    now,
    publication,
    record_sources,
    segment,
    segments,
    templates,
    try_out,
    workers,
)


def all_views(sources: PageSources) -> list[PageView]:
    """All of them, in the order of the menu."""
    return [
        now.view(sources),
        segments.view(sources),
        segment.view(sources),
        customers.view(sources),
        customer.view(sources),
        customer_file.view(sources),
        try_out.view(sources),
        publication.view(sources),
        messages.view(sources),
        templates.view(sources),
        templates.html_view(sources),
        ledger.view(sources),
        deliveries.view(sources),
        record_sources.view(sources),
        letters.view(sources),
        models.view(sources),
        workers.view(sources),
    ]


__all__ = ["all_views"]
