"""*Workers*: every shard, its owner, how far it is, and what keeps it from its work, with the command that ends that."""

from __future__ import annotations

from collections import Counter
from functools import partial

from streamer.page.sources import PageSources
from streamer.page.view import PageView, ViewFacts, ViewQuestion
from streamer.page.workers_state import shard_lines
from streamer.worker.status.shard_line import ShardLine


def view(sources: PageSources) -> PageView:
    """What ``streamer shards`` says."""
    return PageView("workers", "/workers", partial(_show, sources), live_seconds=1.0, is_in_menu=True)


async def _show(sources: PageSources, _asked: ViewQuestion) -> ViewFacts:
    lines = await shard_lines(sources)
    owners = Counter(line.owner for line in lines if line.owner and not line.stale)
    health = await sources.store.health()
    return {
        "lines": lines,
        "owners": sorted(owners.items()),
        "at_work": sum(line.is_at_work for line in lines),
        "lag": None if any(line.lag is None for line in lines) else sum(line.lag or 0 for line in lines),
        "outbox": sum(line.outbox or 0 for line in lines),
        "store_problems": [problem.in_words() for problem in health.problems],
        "way_out": way_out,
    }


def way_out(line: ShardLine) -> str:
    """The command that tells more of a shard that is held up; empty where a worker takes it up by itself."""
    return f"streamer shards resume {line.shard} --help" if line.state == "halted" else ""
