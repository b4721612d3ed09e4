"""A customer's *Export*: all that is remembered of them, as a file. What ``streamer customers export`` prints."""

from __future__ import annotations

from functools import partial

from streamer.page.sources import PageSources
from streamer.page.view import PageView, ViewFile, ViewQuestion
from streamer.server.errors import AnswerError
from streamer.server.parameters import customer_of


def view(sources: PageSources) -> PageView:
    """The file. Its name says nothing of the customer: names of files lie about in logs and lists."""
    return PageView("customer_file", "/customers/{customer}/export", partial(_show, sources))


async def _show(sources: PageSources, asked: ViewQuestion) -> ViewFile:
    customer = customer_of(asked.variable)
    if sources.exports.is_busy:
        raise AnswerError("overloaded", "another customer is being exported at this moment; try again in a minute")
    return ViewFile("customer-export.json", sources.exports.pieces(customer))
