"""Members of a segment, page by page, and sizes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from streamer.server import limits, member_answers
from streamer.server.cursors import cursor_text
from tests.unit.flow.persons import Persons, segments

from .desk import ReaderDesk, reading

RULES = segments(seen='did("A")', bought='did("B")')


def fill(shop: Persons, customers: int) -> None:
    for number in range(customers):
        shop.write("B" if number % 3 == 0 else "A", userId=f"c-{number}")


async def pages(desk: ReaderDesk, path: str) -> list[Any]:
    """All pages of a walk."""
    found: list[Any] = []
    cursor = ""
    while len(found) < 1_000:
        body = (await desk.get(f"{path}{'&' if '?' in path else '?'}{cursor}" if cursor else path)).body
        found.append(body)
        if body["next_cursor"] is None:
            return found
        cursor = f"cursor={body['next_cursor']}"
    raise AssertionError("it does not end")


@pytest.mark.parametrize("scanned_max", [1, 7, 2_000])
async def test_a_walk_finds_each_member_once_whatever_the_pages(scanned_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that has somebody twice or not at all is worse than none; and no page costs more than its bound."""
    monkeypatch.setattr(member_answers, "SCANNED_MAX", scanned_max)
    async with reading(RULES) as desk:
        fill(desk.shop, 60)
        await desk.shop.settle()
        found = await pages(desk, "/v1/segments/bought/members?limit=9")
        members = [one["customer"] for page in found for one in page["members"]]
        assert sorted(members) == sorted(f"c-{number}" for number in range(0, 60, 3))
        assert {page["size"] for page in found} == {20}
        assert sum(page["scanned"] for page in found) == 60
        assert all(page["scanned"] <= scanned_max and len(page["members"]) <= 9 for page in found)
        assert sum(shard["members"] for shard in found[0]["shards"]) == 20
        assert all(one["sequence"] == 1 for page in found for one in page["members"])


async def test_sizes_of_all_segments_are_those_of_the_checkpoints() -> None:
    """How many there are costs no walk."""
    async with reading(RULES) as desk:
        assert (await desk.get("/v1/segments")).body["code"] == "not_ready"
        fill(desk.shop, 30)
        await desk.shop.settle()
        body = (await desk.get("/v1/segments")).body
        assert (body["definitions"], {one["name"]: one["size"] for one in body["segments"]}) == (1, {"seen": 20, "bought": 10})
        assert {one["name"]: one["size"] for one in body["segments"]} == await desk.shop.sizes()


async def test_a_cursor_is_of_one_log_and_one_segment() -> None:
    """A log that is sharded anew has other buckets; going on in it would skip people in silence."""
    async with reading(RULES) as desk:
        fill(desk.shop, 30)
        await desk.shop.settle()
        cursor = (await desk.get("/v1/segments/seen/members?limit=1")).body["next_cursor"]
        expired = cursor_text(member_answers.Cursor(2, "seen", 0, 0, "c-1"))
        strange = cursor_text(member_answers.Cursor(1, "seen", 17, 0, ""))
        junk = base64.urlsafe_b64encode(b"\x93").decode()
        for segment, text, status, code in (
            ("seen", expired, 410, "cursor_expired"),
            ("bought", cursor, 400, "bad_cursor"),
            ("seen", strange, 400, "bad_cursor"),
            ("seen", junk, 400, "bad_cursor"),
            ("seen", "%00", 400, "bad_cursor"),
            ("seen", "", 400, "bad_cursor"),
        ):
            found, body, _ = await desk.get(f"/v1/segments/{segment}/members?cursor={text}")
            assert (found, body["code"], body["path"]) == (status, code, "query.cursor"), text


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "ten", "1e2", "%D9%A3"])
async def test_a_page_has_a_bound(limit: str) -> None:
    """Nobody asks for everything at once."""
    async with reading(RULES) as desk:
        assert limits.MEMBERS_MAX == 1_000
        assert (await desk.get(f"/v1/segments/seen/members?limit={limit}")).body["path"] == "query.limit"


async def test_a_segment_that_is_not_defined_is_said_with_the_nearest() -> None:
    """An empty list would read as nobody is in it."""
    async with reading(RULES) as desk:
        fill(desk.shop, 3)
        await desk.shop.settle()
        status, body, _ = await desk.get("/v1/segments/boght/members")
        assert (status, body["code"]) == (404, "unknown_segment")
        assert "did you mean bought?" in body["message"]
