"""What readers do with messages comes into the log, and a look changes nothing."""

from __future__ import annotations

import base64

import pytest

from streamer.message_links import LinkKeys, LinkOf, Purpose

from .desk import BROWSER, KEYS, PAGE, opened, track

SECRET = f"k1:{base64.b64encode(b's' * 32).decode()}"
LINKS = LinkKeys({"k1": b"s" * 32}, "")


def path_of(purpose: Purpose, target: str = "", topic: str = "offers") -> str:
    return LINKS.url(LinkOf(purpose, "c-1", "cart_reminder", "00ff", "email", topic, "a", target))


async def test_a_look_at_the_page_unsubscribes_nobody() -> None:
    """Scanners of mailboxes follow each link of a mail before its reader does."""
    async with opened(keys=KEYS, link_keys=SECRET) as desk:
        for method in ("GET", "HEAD"):
            answer = await desk.client.request(method, path_of("unsubscribe"))
            assert answer.status == 200
        page = await (await desk.client.get(path_of("unsubscribe"))).text()
        assert '<form method="post"' in page
        assert desk.sink.events == []


async def test_one_click_of_the_mailbox_unsubscribes() -> None:
    """RFC 8058: a POST without cookies, keys or questions, and 200 only when it is in the log."""
    async with opened(keys=KEYS, link_keys=SECRET) as desk:
        answer = await desk.client.post(path_of("unsubscribe"), data={"List-Unsubscribe": "One-Click"})
        assert answer.status == 200
        (event,) = desk.sink.events
        assert (event.event, event.user_id) == ("Message Unsubscribed", "c-1")
        assert event.properties == {"message": "cart_reminder", "key": "00ff", "channel": "email", "topic": "offers", "variant": "a"}
        desk.sink.fails = True
        assert (await desk.client.post(path_of("unsubscribe"))).status == 429


async def test_the_page_speaks_the_readers_language() -> None:
    """And from its side of the page."""
    async with opened(link_keys=SECRET) as desk:
        answer = await desk.client.get(path_of("unsubscribe"), headers={"Accept-Language": "fa-IR, en;q=0.5"})
        assert '<html lang="fa" dir="rtl">' in await answer.text()
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer", "the token must not travel on"


@pytest.mark.parametrize("path", ["/messages/unsubscribe", "/messages/unsubscribe?t=k1.x.y", "/messages/click?t=%00", "/messages/click"])
async def test_a_link_that_is_none_of_ours_does_nothing(path: str) -> None:
    """It comes from the open internet; and whoever cannot sign must not redirect anybody."""
    async with opened(link_keys=SECRET) as desk:
        assert (await desk.client.get(path, allow_redirects=False)).status == 400
        assert (await desk.client.post(path)).status in (400, 405)
        assert desk.sink.events == []


async def test_a_link_serves_its_own_purpose_alone() -> None:
    """One to click stands in many places; it must not unsubscribe."""
    async with opened(link_keys=SECRET) as desk:
        token = path_of("click", "https://shop.example/").partition("?t=")[2]
        assert (await desk.client.post(f"/messages/unsubscribe?t={token}")).status == 400
        assert desk.sink.events == []


async def test_a_click_counts_and_leads_where_the_mail_said() -> None:
    """Also where the log takes nothing at the moment: the reader is not to blame."""
    async with opened(keys=KEYS, link_keys=SECRET) as desk:
        target = "https://shop.example/cart?a=1&b=2"
        for _ in range(2):
            answer = await desk.client.get(path_of("click", target), allow_redirects=False)
            assert (answer.status, answer.headers["Location"]) == (302, target)
        assert {event.event for event in desk.sink.events} == {"Message Clicked"}
        assert len({event.message_id for event in desk.sink.events}) == len(desk.sink.events) <= 2, "once a minute"
        assert (desk.sink.events[0].properties or {})["url"] == target
        desk.sink.fails = True
        answer = await desk.client.get(path_of("click", "https://shop.example/other"), allow_redirects=False)
        assert answer.status == 302


async def test_an_opening_counts_unless_the_reader_asks_not_to_be_followed() -> None:
    """Sec-GPC, where the operator has it obeyed."""
    async with opened(link_keys=SECRET, collect_gpc="drop") as desk:
        unseen = await desk.client.get(path_of("open"), headers={"Sec-GPC": "1"})
        assert unseen.content_type == "image/gif"
        assert desk.sink.events == []
        await desk.client.get(path_of("open"))
        assert [event.event for event in desk.sink.events] == ["Message Opened"]


@pytest.mark.parametrize("name", ["Message Bounced", "Message Sent", "Message Unsubscribed", "Message Complained"])
async def test_a_browser_cannot_take_somebodys_messages(name: str) -> None:
    """Its key can be read by whoever opens the page, and a forged bounce would silence anybody."""
    async with opened(keys=KEYS, link_keys=SECRET) as desk:
        answer = await desk.post("/v1/track", track(name), key=BROWSER, Origin=PAGE)
        assert answer.status == 400
        assert desk.sink.events == []
