"""``python -m tests.screenshots [FOLDER]``: the pictures of the README, from a shop of two days in memory (``make screenshots``).

The shop, its clock and what happens in it are the same on every run; how letters are drawn is the machine's.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Final

from playwright.async_api import async_playwright

from streamer.language.definitions import load_definitions
from streamer.segments.library import library_path
from streamer.sender.ledger import GoOn, SendEntry
from tests.browser.window import Look, window
from tests.clients.installed import chromium
from tests.unit.flow.persons import HOUR_MS, MINUTE_MS
from tests.unit.page.desk import PageDesk, looking

ROOT: Final = Path(__file__).parents[1]
PICTURES: Final = ROOT / "docs" / "pictures"
DEFINITIONS: Final = (
    ROOT / "streamer" / "segments" / "coffee_shop" / "coffee_shop.yaml",
    *(library_path() / f"{family}.yaml" for family in ("carts", "journey", "products")),
)
VIEWS: Final = {"customer": "/customers/ada", "segments": "/segments?sort=size", "segment": "/segments/basket_left"}
LOOK: Final = Look("en", "light", 1_120)
HEIGHT: Final = 630
NAMES: Final = (
    *("amir", "bela", "bruno", "carla", "chiara", "dario", "dmytro", "elif", "farah", "finn", "goran"),
    *("hana", "ines", "ivo", "jana", "kai", "karim", "lea", "lina", "maja", "mateo", "nadia"),
    *("noor", "omar", "paula", "rosa", "samu", "tomas", "ulla", "vera", "wim", "yuki", "zoe"),
)
COFFEES: Final = (("Midnight", "dark", "nut", 14.5), ("Orchard", "light", "fruit", 13.0), ("Harbour", "medium", "nut", 11.5))
STEP_MS: Final = 5 * MINUTE_MS
LENGTH_MS: Final = 38 * HOUR_MS + 40 * MINUTE_MS


async def live_two_days(desk: PageDesk) -> None:
    """People come by day, look, fill baskets, and some order. Ada leaves hers at noon, Bruno his in the evening."""
    draw = random.Random(5)
    for at_ms in range(0, LENGTH_MS, STEP_MS):
        if 7 * HOUR_MS <= at_ms % (24 * HOUR_MS) < 23 * HOUR_MS:
            for _ in range(draw.choice((0, 1, 1, 2))):
                _visit(desk, draw.choice(NAMES), draw, orders=draw.random() < 0.4)
        if at_ms in (8 * HOUR_MS, 36 * HOUR_MS + 10 * MINUTE_MS):
            _visit(desk, "ada", draw, orders=at_ms < 24 * HOUR_MS)
        if at_ms == 20 * HOUR_MS + 20 * MINUTE_MS:
            _visit(desk, "bruno", draw, orders=False)
        desk.shop.wait(STEP_MS)
    await desk.settle()
    _send(desk)


def _visit(desk: PageDesk, name: str, draw: random.Random, *, orders: bool) -> None:
    traits = {"email": f"{name}@shop.example", "first_name": name.title(), "locale": "en-GB", "timezone": "Europe/London"}
    coffee, roast, taste, price = draw.choice(COFFEES)
    product = {"product_id": coffee.lower(), "name": coffee, "price": price, "roast": roast, "taste": taste, "category": "Coffee"}
    desk.shop.write("", type="identify", userId=name, traits=traits)
    desk.shop.write("Product Viewed", userId=name, properties=product)
    if orders or draw.random() < 0.5 or name in ("ada", "bruno"):
        desk.shop.write("Product Added", userId=name, properties=product)
    if orders:
        order = {"order_id": f"o-{draw.randrange(10**6)}", "total": price, "products": [product]}
        desk.shop.write("Order Completed", userId=name, properties=order)


def _send(desk: PageDesk) -> None:
    """What a sender would have noted of all that was to be sent; the page has read it to the end."""
    desk.page.sources.decisions._tail.is_ready = True  # pyright: ignore[reportPrivateUsage] - there is no topic
    for seen in list(desk.page.sources.decisions.newest()):
        if seen.decision.outcome == "send":
            data = seen.decision.data
            desk.page.sources.decisions.add_entry(SendEntry("sent", data.at, GoOn(), key=data.key, message=data.message, channel="email"))


async def main(folder: Path) -> None:
    """Draw each view."""
    async with looking(load_definitions(*DEFINITIONS)) as desk, async_playwright() as playwright:
        await live_two_days(desk)
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        async with window(browser, desk.address, LOOK) as seen:
            await seen.page.set_viewport_size({"width": LOOK.width, "height": HEIGHT})
            for name, path in VIEWS.items():
                await seen.open(path)
                picture = folder / f"{name}.png"
                await seen.page.screenshot(path=picture)
                print(f"{picture}: {picture.stat().st_size:,} bytes")
            assert seen.wrong == [], seen.wrong
        await browser.close()


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    place.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(place))
