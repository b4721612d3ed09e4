"""What browsers ask before they send, what they may read of the answer, and what of them is kept."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from .desk import BROWSER, KEYS, PAGE, SERVER, opened, track

pytestmark = pytest.mark.fast

ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type,x-retry-count,x-evil"}
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36"


@pytest.mark.parametrize("origin", [PAGE, "https://www.shop.example"])
async def test_a_preflight_lets_the_pages_of_a_key_send(origin: str) -> None:
    """One is asked for each path: what is not remembered is asked again and again."""
    async with opened(keys=KEYS) as desk:
        response = await desk.client.options("/v1/t", headers={"Origin": origin, **ASKED})
        found = response.headers
        assert (response.status, found["Access-Control-Allow-Origin"], found["Access-Control-Max-Age"]) == (204, origin, "7200")
        assert found["Access-Control-Allow-Headers"] == "authorization, content-type, x-retry-count"
        assert found["Vary"] == "Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "https://shop.example.evil.example", "http://shop.example", "null"])
async def test_other_pages_may_not_send(origin: str) -> None:
    """They would use the key in the browsers of their own visitors."""
    async with opened(keys=KEYS) as desk:
        assert "Access-Control-Allow-Origin" not in (await desk.client.options("/v1/t", headers={"Origin": origin, **ASKED})).headers
        response = await desk.post("/v1/track", track(), key=BROWSER, Origin=origin)
        assert (response.status, (await response.json())["code"]) == (403, "origin_not_allowed")
        assert desk.sink.records == []


async def test_a_page_can_read_when_to_come_back() -> None:
    """A browser hides Retry-After unless it is exposed, and the SDK comes back after a quarter of a second."""
    async with opened(keys=KEYS) as desk:
        desk.sink.fails = True
        response = await desk.post("/v1/track", track(), key=BROWSER, Origin=PAGE)
        assert (response.status, response.headers["Access-Control-Expose-Headers"]) == (429, "Retry-After")
        assert response.headers["Access-Control-Allow-Origin"] == PAGE


async def test_without_keys_only_pages_of_this_machine_may_send() -> None:
    """Any site that a developer visits could write into the log otherwise."""
    async with opened() as desk:
        assert (await desk.post("/v1/track", track(), Origin="http://localhost:3000")).status == 200
        assert (await desk.post("/v1/track", track(), Origin="https://evil.example")).status == 403


async def test_the_settings_of_analytics_js_make_it_send_batches_to_us() -> None:
    """A tenth of the requests, and of the preflights."""
    async with opened(keys=KEYS, collect_prefix="/s", collect_url="https://events.shop.example") as desk:
        response = await desk.client.get(f"/s/v1/projects/{BROWSER}/settings", headers={"Origin": PAGE})
        found = (await response.json())["integrations"]["Segment.io"]
        assert (found["apiHost"], found["protocol"]) == ("events.shop.example/s/v1", "https")
        assert found["deliveryStrategy"]["strategy"] == "batching"
        assert (await desk.client.get("/s/v1/projects/other/settings")).status == 401


async def test_the_settings_never_name_a_host_that_cannot_be_one() -> None:
    """They are read by a script on the page."""
    async with opened() as desk:
        response = await desk.client.get("/v1/projects/k/settings", headers={"Host": 'a"<b'})
        assert (await response.json())["integrations"]["Segment.io"]["apiHost"] == "localhost/v1"


async def test_the_settings_of_rudderstack_switch_its_source_on() -> None:
    """Without them it sends nothing."""
    async with opened(keys=KEYS) as desk:
        response = await desk.client.get(f"/sourceConfig/?p=npm&writeKey={BROWSER}", headers={"Origin": PAGE})
        source = (await response.json())["source"]
        assert (source["enabled"], source["writeKey"], source["destinations"]) == (True, BROWSER, [])


async def test_a_pixel_is_a_picture_and_an_event() -> None:
    """For mails, which run no script."""
    data = base64.b64encode(json.dumps(track("Email Opened")).encode()).decode()
    async with opened(keys=KEYS) as desk:
        response = await desk.client.get(f"/pixel/v1/track?{urlencode({'writeKey': BROWSER, 'data': data})}")
        assert (response.status, response.content_type, len(await response.read())) == (200, "image/gif", 43)
        assert [event.event for event in desk.sink.events] == ["Email Opened"]


async def context_of(key: str, *, settings: dict[str, Any] | None = None, event: dict[str, object] | None = None, **headers: str) -> Any:
    """The context with which an event came into the log; None where it did not."""
    async with opened(keys=KEYS, **(settings or {})) as desk:
        assert (await desk.post("/v1/track", event or track(), key=key, **headers)).status == 200
        found = desk.sink.events
        return (found[0].context or {}) if found else None


async def test_what_a_browser_does_not_say_of_itself_its_request_does() -> None:
    """Of the address only the network: who visits a shop is nobody's business."""
    assert await context_of(BROWSER, User_Agent=AGENT) == {"ip": "127.0.0.0", "userAgent": AGENT}


async def test_a_server_is_no_customer() -> None:
    """Its address and its program are those of the shop."""
    assert await context_of(SERVER, User_Agent="python-requests") == {}


async def test_an_address_in_an_event_is_truncated_too() -> None:
    """Servers pass on the addresses of their visitors."""
    event = track(context={"ip": "203.0.113.77"})
    assert await context_of(SERVER, event=event) == {"ip": "203.0.113.0"}
    assert await context_of(SERVER, event=event, settings={"collect_ip": "full"}) == {"ip": "203.0.113.77"}
    assert await context_of(SERVER, event=event, settings={"collect_ip": "none"}) == {}


async def test_what_a_proxy_says_is_believed_of_those_that_are_trusted() -> None:
    """Anybody can write the header; the nearest address that is no proxy of ours is the customer's."""
    said = "198.51.100.1, 203.0.113.77, 10.0.0.5"
    proxied = await context_of(BROWSER, User_Agent=AGENT, X_Forwarded_For=said, settings={"collect_proxies": "127.0.0.1,10.0.0.0/8"})
    assert proxied["ip"] == "203.0.113.0"
    assert (await context_of(BROWSER, User_Agent=AGENT, X_Forwarded_For=said))["ip"] == "127.0.0.0"


async def test_a_program_that_says_so_is_marked() -> None:
    """It is not dropped: what is a bot is the shop's to decide."""
    assert (await context_of(BROWSER, User_Agent="Googlebot/2.1 (+http://www.google.com/bot.html)"))["bot"] is True


async def test_an_objection_is_honoured_as_the_shop_has_set_it() -> None:
    """Dropped means that nothing is kept, not even as a dead letter."""
    assert (await context_of(BROWSER, Sec_GPC="1"))["gpc"] is True
    assert "gpc" not in await context_of(BROWSER, Sec_GPC="1", settings={"collect_gpc": "ignore"})
    assert await context_of(BROWSER, Sec_GPC="1", settings={"collect_gpc": "drop"}) is None
    assert await context_of(BROWSER, DNT="1", settings={"collect_dnt": "drop"}) is None
