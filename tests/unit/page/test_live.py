"""What goes on: rendered once for all who look, said only where it has changed, and not at all while nobody looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from time import thread_time

import pytest
from aiohttp import ClientResponse

from streamer.errors import StoreUnavailableError
from streamer.page import live, site
from streamer.page.live import LiveChannel, event_of
from streamer.server.tokens import Tokens, read_tokens
from streamer.web.secret_tables import hash_of
from tests.unit.flow.persons import segments

from . import full_shop
from .desk import PageDesk, looking

RULES = segments(seen='did("A")', quick='did("A", within="30m")')
TOKENS = read_tokens(f'[tokens.shop]\nhash = "{hash_of("st_reader_of_the_page")}"\nroles = ["read"]', "tokens")


@asynccontextmanager
async def watching(desk: PageDesk, path: str) -> AsyncGenerator[ClientResponse]:
    """A stream that is open."""
    async with desk.browser.get(f"/live{path}") as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield response


async def event(response: ClientResponse) -> str:
    """The next event's data."""
    async with asyncio.timeout(10):
        lines: list[str] = []
        while True:
            line = (await response.content.readline()).decode().rstrip("\n")
            if not line and lines:
                return "\n".join(lines)
            if line.startswith("data: "):
                lines.append(line.removeprefix("data: "))
            elif response.content.at_eof():
                return ""


def spend(seconds: float) -> None:
    """So much processor time."""
    end = thread_time() + seconds
    while thread_time() < end:
        pass


async def test_a_change_is_seen_by_whoever_looks() -> None:
    """Without a reload, and as a whole block that a browser puts in the place of the one that it has."""
    async with looking(RULES) as desk:
        await desk.settle()
        async with watching(desk, "/") as response:
            assert "c-1" not in await event(response)
            desk.shop.write("A", userId="c-1")
            await desk.settle()
            found = await event(response)
            assert 'href="/customers/c-1"' in found
            assert "<html" not in found


async def test_what_is_live_is_what_the_page_shows() -> None:
    """Of every view that is live, with something in each: a page that comes again line by line, and no error in its place."""
    paths = ("/", "/segments", "/segments/quick", "/customers/c-39", "/messages", "/ledger", "/deliveries", "/sources", "/workers")
    async with looking(full_shop.RULES) as desk:
        await full_shop.fill(desk)
        async with asyncio.timeout(60):
            while not desk.page.sources.tail.look().sampled:  # noqa: ASYNC110 - it is read beside whoever looks
                await asyncio.sleep(0.01)
        for path in paths:
            async with asyncio.timeout(60):
                while await _only_live(desk, path):  # a figure has moved on between the two
                    pass


async def _only_live(desk: PageDesk, path: str) -> list[str]:
    """The lines of what is live of a view that its page does not have."""
    page = (await desk.look(path)).html
    async with watching(desk, path) as response:
        lines = (await event(response)).split("\n")
    assert len(lines) > 10, path
    return [line for line in lines if line not in page]


async def test_all_who_look_at_the_same_share_one_rendering() -> None:
    """Fifty people before a screen must not cost fifty times as much."""
    async with looking(RULES) as desk:
        await desk.settle()
        shown = 0
        view = next(view for view in desk.page.site.views.all if view.name == "workers")
        before = view.show

        async def counted(asked: object) -> object:
            nonlocal shown
            shown += 1
            return await before(asked)  # pyright: ignore[reportArgumentType]

        object.__setattr__(view, "show", counted)
        async with watching(desk, "/workers") as one, watching(desk, "/workers") as other, watching(desk, "/workers?lang=fa") as third:
            first = await event(one)
            assert first == await event(other) != await event(third)
            assert desk.page.site.live.open == 2, "a channel for each language"
            assert shown == 2


async def test_nothing_is_rendered_while_nobody_looks() -> None:
    """The last one who goes ends it."""
    async with looking(RULES) as desk:
        await desk.settle()
        async with watching(desk, "/") as response:
            await event(response)
            assert (desk.page.site.live.open, desk.page.site.live.viewers) == (1, 1)
        for _ in range(200):
            desk.shop.write("A", userId="c-1")  # something to say: a server notices that somebody is gone when it writes
            await desk.settle()
            if not desk.page.site.live.open:
                break
            await asyncio.sleep(0.05)
        assert (desk.page.site.live.open, desk.page.site.live.viewers) == (0, 0)


async def test_a_store_that_is_away_is_said_in_the_block_and_it_goes_on_afterwards() -> None:
    """A screen on the wall shows it, and shows figures again without a hand on it."""
    async with looking(RULES) as desk:
        await desk.settle()
        async with watching(desk, "/workers") as response:
            assert "<table>" in await event(response)
            desk.store.error = StoreUnavailableError("it is away")
            assert "The store does not answer" in await event(response)
            desk.store.error = None
            assert "<table>" in await event(response)


async def test_a_connection_that_ended_is_said_in_the_block_and_it_goes_on_afterwards() -> None:
    """It is not that of whoever looks on: their page must not stand still for ever."""
    async with looking(RULES) as desk:
        await desk.settle()
        async with watching(desk, "/workers") as response:
            assert "<table>" in await event(response)
            desk.store.error = ConnectionResetError("by peer")
            assert "The store does not answer" in await event(response)
            desk.store.error = None
            assert "<table>" in await event(response)


async def test_a_rendering_that_never_ends_is_given_up_and_it_goes_on_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that nobody answers would hold up the page of all who look on for ever."""
    monkeypatch.setattr(site, "RENDER_SECONDS", 0.0)
    async with looking(RULES) as desk:
        await desk.settle()
        async with watching(desk, "/workers") as response:
            assert "Too much is asked" in await event(response)
            monkeypatch.undo()
            assert "<table>" in await event(response)


async def test_a_token_that_is_taken_away_ends_the_stream() -> None:
    """Or somebody would go on looking for as long as they leave the window open."""
    async with looking(RULES, tokens=TOKENS) as desk:
        await desk.settle()
        form_key = (await desk.look("/login")).form_key
        await desk.ask("POST", "/login", form={"form_key": form_key, "token": "st_reader_of_the_page", "next": "/"})
        async with watching(desk, "/") as response:
            await event(response)
            others = Tokens(tuple(token for token in read_tokens(f'[tokens.x]\nhash = "{hash_of("st_x")}"\nroles = ["read"]', "x").all))
            desk.server.use_tokens(others)
            desk.shop.write("A", userId="c-1")
            await desk.settle()
            assert await event(response) == ""


async def test_closing_ends_all_who_look() -> None:
    """A server that ends is not held up by screens."""
    async with looking(RULES) as desk:
        await desk.settle()
        async with watching(desk, "/") as response:
            await event(response)
            desk.page.close()
            assert await event(response) == ""


async def test_what_is_costly_is_rendered_less_often() -> None:
    """Looking costs a small share of a core, whatever is looked at and by how many."""
    rendered, thrice = list[float](), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow() -> str:
        rendered.append(loop.time())
        if len(rendered) == 3:
            thrice.set()
        spend(0.005)
        return "x"

    task = asyncio.create_task(LiveChannel(slow, 0.0, lambda: 2, asyncio.Lock()).run())
    await thrice.wait()
    task.cancel()
    assert rendered[2] - rendered[0] >= 2 * 2 * 0.005 / live.COST_SHARE, "two channels, two waits"


async def test_whoever_waits_for_long_lets_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view that asks Kafka may wait for ten seconds where that is silent; those of the store have nothing to do with it."""
    monkeypatch.setattr(live, "TURN_SECONDS", 0.0)
    seen, turn = asyncio.Event(), asyncio.Lock()

    async def silent() -> str:
        await asyncio.Event().wait()
        return "never"

    async def quick() -> str:
        seen.set()
        return "x"

    tasks = [asyncio.create_task(LiveChannel(one, 0.0, lambda: 2, turn).run()) for one in (silent, quick)]
    async with asyncio.timeout(60):
        await seen.wait()
    for task in tasks:
        task.cancel()


async def test_a_busy_start_holds_nothing_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the loop does while something is rendered is in its time; charged in full, a viewer would see nothing new for a minute."""
    waits, thrice = list[float](), asyncio.Event()
    sleep = asyncio.sleep

    async def slept(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            thrice.set()
        await sleep(0)

    async def beside_much_else() -> str:
        spend(2 * live.CHARGED_SECONDS)
        return "x"

    monkeypatch.setattr("streamer.page.live.asyncio.sleep", slept)
    task = asyncio.create_task(LiveChannel(beside_much_else, 1.0, lambda: 1, asyncio.Lock()).run())
    await thrice.wait()
    task.cancel()
    assert set(waits) == {live.CHARGED_SECONDS / live.COST_SHARE}


async def test_a_store_that_is_slow_makes_nobody_wait_longer_than_it_takes() -> None:
    """Waiting costs no core. By the clock each of ten would wait for half a minute after a rendering of 100 ms."""
    rendered = 0
    thrice = asyncio.Event()

    async def waiting() -> str:
        nonlocal rendered
        rendered += 1
        if rendered == 3:
            thrice.set()
        await asyncio.sleep(0.1)
        return "x"

    task = asyncio.create_task(LiveChannel(waiting, 0.0, lambda: 10, asyncio.Lock()).run())
    async with asyncio.timeout(30):
        await thrice.wait()
    task.cancel()


async def test_many_who_begin_at_one_moment_are_not_charged_for_each_other() -> None:
    """After a new start of the server all come back at once. Charged for all, each of fifty would wait for minutes."""
    turn, rendered = asyncio.Lock(), [0] * 50
    all_twice = asyncio.Event()

    async def costly(number: int) -> str:
        for _ in range(2):  # as one that asks the store in between
            spend(0.0005)
            await asyncio.sleep(0)
        rendered[number] += 1
        if min(rendered) == 2:
            all_twice.set()
        return "x"

    channels = [LiveChannel(partial(costly, number), 0.0, lambda: 50, turn) for number in range(50)]
    tasks = [asyncio.create_task(channel.run()) for channel in channels]
    async with asyncio.timeout(60):
        await all_twice.wait()
    for task in tasks:
        task.cancel()
    assert max(rendered) <= 4, "one is rendered more often than its share"


def test_an_event_has_no_line_that_ends_it() -> None:
    """Whatever the text: an event ends at an empty line."""
    assert event_of("<p>\r\n\r\n\n data: x</p>\n") == b"data: <p>\ndata:  data: x</p>\n\n"
