"""Figures on the page are those of the API, of the command line and of the log."""

from __future__ import annotations

import re

from streamer.page.views.segment import STEP_MS, STEPS, size_steps
from streamer.segments.change import ENTERED
from streamer.values import time_text
from streamer.worker.status.shard_line import shard_line
from tests.unit.flow.persons import HOUR_MS, MINUTE_MS, segments

from .desk import SHARDS, PageDesk, looking

RULES = segments(seen='did("A")', quick='did("A", within="30m")', slow='did("A", within="2h") and not did("B", within="1d")')
PEOPLE = [f"c-{number}" for number in range(25)]


async def day(desk: PageDesk) -> None:
    """Some hours of a shop."""
    for number, customer in enumerate(PEOPLE):
        desk.shop.write("A", userId=customer)
        if number % 3 == 0:
            desk.shop.write("B", userId=customer)
        desk.shop.wait(7 * MINUTE_MS)
    await desk.settle()


def row_of(html: str, segment: str) -> list[str]:
    """The cells of a segment's line."""
    [row] = [row for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL) if f'href="/segments/{segment}"' in row]
    return [re.sub("<[^>]*>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]


async def test_sizes_and_flows_are_those_of_the_store_and_of_the_log() -> None:
    """Counted here a second time, from the changes as readers get them."""
    async with looking(RULES) as desk:
        await day(desk)
        html = (await desk.look("/segments")).html
        changes = list(desk.shop.log.read_changes())
        sizes = await desk.shop.sizes()
        for segment in ("seen", "quick", "slow"):
            mine = [change for change in changes if change.data.segment == segment]
            entered = sum(change.type == ENTERED for change in mine)
            assert row_of(html, segment)[:3] == [str(sizes.get(segment, 0)), str(entered), str(len(mine) - entered)]
            assert sizes.get(segment, 0) == entered - (len(mine) - entered), "sizes and changes of the shop itself agree"
        assert len(changes) > 50


async def test_what_time_will_bring_within_the_hour_is_what_it_brings() -> None:
    """The forecast is held against the shop an hour later, in which nothing happened."""
    async with looking(RULES) as desk:
        await day(desk)
        html = (await desk.look("/segments")).html
        said = {segment: row_of(html, segment)[4:6] for segment in ("seen", "quick", "slow")}
        before = len(list(desk.shop.log.read_changes()))
        desk.shop.wait(HOUR_MS)
        await desk.shop.settle()
        came = list(desk.shop.log.read_changes())
        since = [change for change in came if change not in came[:before]][-(len(came) - before) :]
        for segment, (enters, leaves) in said.items():
            mine = [change.type == ENTERED for change in since if change.data.segment == segment]
            assert (enters, leaves) == (str(mine.count(True)), str(mine.count(False))), segment
        assert sum(int(leaves) for _, leaves in said.values()) > 5, "nobody was to leave"


async def test_the_view_of_a_segment_has_the_same_figures_as_the_list() -> None:
    """And its steps add up to them."""
    async with looking(RULES) as desk:
        await day(desk)
        listed = row_of((await desk.look("/segments")).html, "quick")
        found = await desk.look("/segments/quick")
        assert re.findall(r"<strong>(.*?)</strong>", found.html) == [*listed[:3], *listed[4:6]]
        rows = re.findall(r'<th scope="row" data-v="(\d+)">.*?data-v="(\d+)".*?data-v="(\d+)".*?data-v="(\d+)"', found.html)
        assert len(rows) == STEPS
        assert rows[-1][1] == listed[0]
        assert [str(sum(int(row[column]) for row in rows)) for column in (2, 3)] == listed[1:3]
        size = 0
        for _, inside, entered, left in rows:
            size += int(entered) - int(left)
            assert int(inside) == size


async def test_members_and_overlaps_are_those_of_the_store() -> None:
    """Looked up one by one."""
    async with looking(RULES) as desk:
        await day(desk)
        inside = {customer: await desk.shop.inside(customer) for customer in PEOPLE}
        members = {customer for customer, found in inside.items() if "slow" in found}
        found = await desk.look("/segments/slow")
        assert set(re.findall(r'href="/customers/([^"]*)"', found.html)) == members
        share = sum("quick" in inside[customer] for customer in members) / len(members)
        assert f"quick {share:.1%}" in found.text
        assert "seen 100.0%" in found.text


async def test_a_customer_is_shown_as_the_api_answers() -> None:
    """Memberships, since when, until when, and why."""
    async with looking(RULES) as desk:
        await day(desk)
        async with desk.browser.get(f"/v1/customers/{PEOPLE[-1]}?explain=1") as response:
            answer = await response.json()
        found = await desk.look(f"/customers/{PEOPLE[-1]}")
        assert f"In {sum(one['in'] for one in answer['memberships'].values())} segments" in found.text
        for one in answer["explanation"]:
            for clause in one["because"]:
                assert clause["clause"] in found.text
        flips = [one["flips_at"] for one in answer["explanation"] if "flips_at" in one]
        assert flips
        for flip in flips:
            assert f"{flip[11:19]} if nothing happens" in found.text
        changes = [change for change in desk.shop.log.read_changes() if change.subject == PEOPLE[-1]]
        assert len(re.findall(' id="c-[0-9]+-[0-9]+-[a-z_]+-[0-9]+"', found.html)) == len(changes) > 0


async def test_how_far_it_is_exact_is_the_least_of_all_shards() -> None:
    """A shard that is behind makes the whole no better than it."""
    async with looking(RULES) as desk:
        await day(desk)
        views = [await desk.page.sources.answers.committed.view(shard) for shard in range(SHARDS)]
        found = await desk.look("/")
        exact = min(view.log_time_ms for view in views)
        assert f"Exact up to (UTC) {desk_clock(exact)}" in found.text
        assert f"Customers known {len(PEOPLE)}" in found.text
        assert "Records behind 0" in found.text
        desk.shop.write("A", userId="c-1")
        assert "Records behind 1" in (await desk.look("/")).text
        desk.ends.is_silent = True
        assert "Kafka does not say" in (await desk.look("/")).text


def desk_clock(ms: int) -> str:
    """As ``streamer explain`` writes the time of day."""
    return time_text(ms)[11:23]


async def test_shards_are_shown_as_the_command_line_says() -> None:
    """Of `streamer shards`, with the same code behind it."""
    async with looking(RULES) as desk:
        await day(desk)
        found = await desk.look("/workers")
        for shard in range(SHARDS):
            line = await shard_line(desk.store, shard, desk.shop.now_ms, end=desk.ends.end(shard))
            assert f"{shard} {line.state} not confirmed lately {line.position} {line.end} {line.lag}" in found.text


async def test_a_size_is_reckoned_from_the_changes_where_all_are_there() -> None:
    """The committed size is a moment ahead of the changes, and a chart of both would begin below nothing."""
    async with looking(RULES) as desk:
        await day(desk)
        steps = size_steps(desk.page.sources, "seen", 1_000, desk.shop.now_ms)
        assert (steps[-1].size, steps[0].size) == (1_000, 1_000 - len(PEOPLE)), "not known to be whole"
        assert steps[1].at_ms - steps[0].at_ms == STEP_MS
        desk.page.sources.history.count_from_the_beginning()
        assert size_steps(desk.page.sources, "seen", 1_000, desk.shop.now_ms)[-1].size == len(PEOPLE)


async def test_a_thousand_segments_are_shown_page_by_page() -> None:
    """All of them are there, each once, and a search looks through all."""
    many = segments(**{f"s_{number:03}": f'did("E{number}")' for number in range(450)})
    async with looking(many) as desk:
        await desk.settle()
        first = await desk.look("/segments")
        assert "450 of 450 segments" in first.text
        pages = re.findall(r'href="(/segments\?[^"]*from=[0-9]+)"', first.html)
        found = [
            name
            for path in pages
            for name in re.findall(
                r'<th scope="row"><a class="name" href="/segments/(s_\d+)"', (await desk.look(path.replace("&amp;", "&"))).html
            )
        ]
        assert len(pages) == 5
        assert found == [f"s_{number:03}" for number in range(450)]
        assert "1 of 450 segments" in (await desk.look("/segments?q=s_449")).text
