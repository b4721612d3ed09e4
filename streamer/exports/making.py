"""An export over a deployment: its store and its topics, opened for it and closed with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from streamer.server.customer_answers import NoEnds
from streamer.server.process import answers_over, now_ms
from streamer.settings import Settings

from .document import CustomerExport
from .topics import KafkaReader


async def exported(settings: Settings, customer: str, is_late: Callable[[], bool] = lambda: False) -> AsyncGenerator[bytes]:
    """The lines of an export. Raises what reading the store may, before the first line."""
    store = settings.open_store()
    try:
        answers = answers_over(settings, store, NoEnds())
        export = CustomerExport(settings, answers, KafkaReader(settings), now_ms, is_late)
        async with aclosing(export.lines(customer)) as lines:
            async for line in lines:
                yield line
    finally:
        await store.close()


__all__ = ["exported"]
