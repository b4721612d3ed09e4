"""Who may send, and what: a key that anybody can read is fenced in, and a file of keys with a slip in it is no file."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from streamer.collector.key_watch import KeyWatch, load_keys
from streamer.collector.keys import Keys, new_key, read_keys
from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.web.secret_tables import hash_of
from streamer.wire import NO_LINK_HEADER

from .desk import BROWSER, KEYS, PAGE, SERVER, opened, track

pytestmark = pytest.mark.fast

BASIC = {"Authorization": f"Basic {base64.b64encode(f'{SERVER}:'.encode()).decode()}"}
settings_with: Callable[..., Settings] = Settings  # each has a default, which the checker does not see
HASH = f'hash = "{hash_of("k")}"'


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("/v1/track", track(), BASIC),
        ("/v1/track", track(), {"Authorization": f"Bearer {SERVER}"}),
        ("/v1/track", track(writeKey=SERVER), {}),
        ("/v1/track", track(), {"X-Write-Key": SERVER}),
        (f"/v1/track?writeKey={SERVER}", track(), {}),
        ("/api/s/track", track(writeKey="sk:***"), {"X-Write-Key": SERVER}),  # Jitsu masks what it says in the body
    ],
)
async def test_a_key_is_found_where_an_sdk_puts_it(path: str, body: dict[str, object], headers: dict[str, str]) -> None:
    """There are five places, and one SDK uses two of them."""
    async with opened(keys=KEYS) as desk:
        response = await desk.client.post(path, data=json.dumps(body), headers=headers)
        assert (response.status, len(desk.sink.events)) == (200, 1)


@pytest.mark.parametrize(("key", "code"), [("", "missing_key"), ("other", "unknown_key")])
async def test_without_a_key_of_ours_nothing_is_kept(key: str, code: str) -> None:
    """Not even a dead letter: anybody could fill the disk."""
    async with opened(keys=KEYS) as desk:
        response = await desk.post("/v1/track", b"no json", key=key)
        assert (response.status, (await response.json())["code"]) == (401, code)
        assert desk.sink.records == []


async def test_a_snowplow_tracker_is_known_by_its_application() -> None:
    """It sends no key at all."""
    event = {"e": "pv", "eid": "m-1", "duid": "an-1", "url": "https://shop.example/", "dtm": "1795921200000", "tv": "py-1.1.0", "p": "web"}
    async with opened(keys=KEYS) as desk:
        path = "/com.snowplowanalytics.snowplow/tp2"
        schema = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
        assert (await desk.post(path, {"schema": schema, "data": [{**event, "aid": "shop"}]})).status == 200
        assert (await desk.post(path, {"schema": schema, "data": [{**event, "aid": "other"}]})).status == 401
        assert [event.type for event in desk.sink.events] == ["page"]


async def test_what_is_too_large_for_snowplow_is_answered_so_that_its_tracker_gives_up() -> None:
    """After a 413 it sends the same again for ever, and all that waits behind it never comes."""
    async with opened() as desk:
        response = await desk.post("/com.snowplowanalytics.snowplow/tp2", b"x" * 600_000)
        assert (response.status, (await response.json())["code"]) == (400, "too_large")


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (track("Order Completed"), "$.event"),  # a forged purchase makes a buyer of anybody
        ({**track(userId="u-1", previousId="u-2"), "type": "alias"}, "$.type"),
    ],
)
async def test_a_browser_key_may_not_say_what_makes_or_joins_people(event: dict[str, object], path: str) -> None:
    """Whoever opens the page can read the key."""
    async with opened(keys=KEYS) as desk:
        response = await desk.post("/v1/batch", {"batch": [track(number=2), event]}, key=BROWSER)
        said = await response.json()
        assert (said["accepted"], [(each["index"], each["code"], each["path"]) for each in said["refused"]]) == (
            1,
            [(1, "not_allowed", path)],
        )
        assert [letter.reason for letter in desk.sink.letters] == ["not_allowed"]
        assert (await desk.post("/v1/batch", {"batch": [event]}, key=SERVER)).status == 200


async def test_a_browser_key_may_say_what_its_table_names() -> None:
    """A shop that has no server decides for itself."""
    named = KEYS.replace("snowplow_app_ids", 'events = ["Order Completed"]\ntypes = ["track"]\nsnowplow_app_ids')
    async with opened(keys=named) as desk:
        assert (await desk.post("/v1/track", track("Order Completed"), key=BROWSER)).status == 200
        assert (await desk.post("/v1/track", track("Product Viewed"), key=BROWSER)).status == 400
        assert (await desk.post("/v1/page", {**track(), "type": "page"}, key=BROWSER)).status == 400


async def test_a_key_that_may_not_link_says_so_on_each_record() -> None:
    """Two ids of one event make one person of them; the step must know that nobody vouches for it."""
    async with opened(keys=KEYS.replace("snowplow_app_ids", "link = false\nsnowplow_app_ids")) as desk:
        await desk.post("/v1/track", track(userId="u-1"), key=BROWSER)
        await desk.post("/v1/track", track(userId="u-1"), key=SERVER)
        assert [dict(record.headers).get(NO_LINK_HEADER) for record in desk.sink.records] == [b"1", None]


async def test_an_address_that_sends_more_than_its_key_allows_comes_back_later() -> None:
    """A public key is a door for everybody."""
    slow = KEYS.replace("snowplow_app_ids", "events_per_second = 0.1\nsnowplow_app_ids")
    async with opened(keys=slow) as desk:
        assert (await desk.post("/v1/track", track(), key=BROWSER)).status == 200
        response = await desk.post("/v1/track", track(number=2), key=BROWSER)
        assert (response.status, (await response.json())["code"]) == (429, "too_many_requests")
        assert response.headers["Retry-After"].isdigit()
        assert (await desk.post("/v1/track", track(), key=SERVER)).status == 200


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (f'[keys.old]\nkind = "import"\n{HASH}', "kind"),
        (f'[keys.web]\nkind = "browser"\n{HASH}', "origins"),
        (f'[keys.web]\nkind = "browser"\n{HASH}\norigins = ["shop.example"]', "expected such as"),
        (f'[keys.web]\nkind = "browser"\n{HASH}\norigins = ["{PAGE}"]\ntypes = ["alias"]', "alias"),
        (f'[keys.web]\nkind = "browser"\n{HASH}\norigin = "{PAGE}"', "origin"),
        (f'[keys.a]\nkind = "server"\n{HASH}\n[keys.b]\nkind = "server"\n{HASH}', "same hash"),
        ('[keys.a]\nkind = "server"\nhash = "k"', "sha256"),
        (f'[keys.a]\nkind = "server"\n{HASH}\nlink = false', "server key"),
        (f'[keys."A b"]\nkind = "server"\n{HASH}', "name"),
        ("[key.a]", "keys.NAME"),
        ("[keys", "keys.toml"),
    ],
)
def test_a_file_of_keys_that_cannot_be_meant_is_refused(table: str, says: str) -> None:
    """A slip that is taken for nothing opens a door, or shuts one."""
    with pytest.raises(SettingsError, match=says):
        read_keys(table, "keys.toml")


def test_a_new_key_is_one() -> None:
    """What the command prints goes into the file as it is."""
    for kind in ("browser", "server"):
        secret, table = new_key(kind)
        found = read_keys(table, "keys.toml").find(secret)
        assert found is not None
        assert (found.kind, secret in table) == (kind, False)


def test_without_keys_nobody_but_this_machine_is_served(tmp_path: Path) -> None:
    """Anybody in the network could write events."""
    with pytest.raises(SettingsError, match="this machine alone"):
        load_keys(settings_with(collect_host="0.0.0.0"))  # noqa: S104 - it is refused
    assert load_keys(settings_with()).is_open
    (tmp_path / "keys.toml").write_text("")
    with pytest.raises(SettingsError, match="has no key"):
        load_keys(settings_with(collect_keys=tmp_path / "keys.toml"))


async def test_a_changed_file_is_taken_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    """A key is withdrawn without a restart, and a slip of the pen costs no events."""
    file = tmp_path / "keys.toml"
    file.write_text(KEYS)
    used: list[Keys] = []
    refused: list[int] = []
    watch = KeyWatch(settings_with(collect_keys=file), used.append, lambda: refused.append(1))
    file.write_text("[keys")
    watch.read()
    assert (used, refused) == ([], [1])
    file.write_text(KEYS.partition("[keys.back]")[0])
    watch.read()
    assert [key.name for key in used[0].all] == ["web"]
    assert used[0].find(SERVER) is None
