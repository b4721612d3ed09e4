"""What a subscription is, which changes it wants, and whose word counts for it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import pytest
from aiokafka.structs import ConsumerRecord

from streamer.errors import RefusedError, SettingsError
from streamer.signing import Keyring, Signer
from streamer.webhooks.signatures import new_secret, signatory_of
from streamer.webhooks.subscription import (
    SHARES,
    ChangeHead,
    ChangeHeadData,
    ChangePlace,
    Filter,
    Start,
    Subscription,
    decode_subscription,
    encode_subscription,
    is_wanted,
)
from streamer.webhooks.subscriptions import PLACE, update

ONE = Subscription(name="shop", id="0a1b2c3d", url="https://shop.example/", secrets=("env:SHOP",), start=Start())
KEYS = Keyring("streamer", {"k": b"x" * 32})


def head(customer: str = "c-1", kind: str = "segment.entered", segment: str = "cart_left") -> ChangeHead:
    return ChangeHead("1-0-7-0", kind, customer, ChangeHeadData(ChangePlace(1, 0, 7, 0), segment))


def record(value: bytes | None, headers: tuple[tuple[str, bytes], ...] = (), name: str = "shop") -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("t", 0, 0, 0, 0, name.encode(), value, None, 4, len(value or b""), headers)


def signed(value: bytes | None, name: str = "shop", key: Keyring = KEYS) -> ConsumerRecord[bytes, bytes]:
    signer = Signer(key, next(iter(key.secrets)), "ab", lambda: 1)
    return record(value, signer.sign(PLACE, name.encode(), value or b""), name)


def test_it_comes_back_from_its_topic_as_it_was_written() -> None:
    """Also with everything in it that may be left out."""
    whole = msgspec.structs.replace(
        ONE, wants=Filter(("cart_left",), ("segment.exited",), 250), start=Start(7, {0: 12}), status="disabled", why="gone", round=3
    )
    for one in (ONE, whole):
        assert decode_subscription(encode_subscription(one)) == one


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Shop"),
        ("name", "a.b"),
        ("id", "0a1b2c3"),
        ("secrets", []),
        ("secrets", ["whsec_AAAA"]),
        ("secrets", ["file:relative"]),
        ("secrets", ["env:A", "env:B", "env:C"]),
        ("status", "gone"),
        ("in_flight", 0),
        ("wants", {"sample": 0}),
        ("unknown", 1),
    ],
)
def test_what_is_no_subscription_is_refused(field: str, value: object) -> None:
    """A record that somebody wrote by hand must not be half obeyed; and a secret has no place in one."""
    with pytest.raises(RefusedError):
        decode_subscription(json.dumps({**json.loads(encode_subscription(ONE)), field: value}).encode())


def test_the_id_of_a_delivery_is_the_subscriptions_own_and_holds_over_rounds() -> None:
    """A replay repeats it, another subscription has another one, and so has one made again under the name. It has no full stop in it."""
    again = msgspec.structs.replace(ONE, round=2, url="https://other.example/")
    assert again.webhook_id("1-0-7-0") == ONE.webhook_id("1-0-7-0")
    others = {msgspec.structs.replace(ONE, **more).webhook_id("1-0-7-0") for more in ({}, {"name": "b"}, {"id": "ffffffff"})}
    assert len(others) == 3
    assert "." not in ONE.webhook_id("1-0-7-0")
    assert again.group("g") != ONE.group("g")


def test_a_filter_lets_through_what_it_names() -> None:
    """Merges are of no segment, so who wants them gets all of them."""
    wants = Filter(("cart_left",), ("segment.entered", "customer.merged"))
    assert is_wanted(wants, head())
    assert is_wanted(wants, head(kind="customer.merged", segment=""))
    assert not is_wanted(wants, head(kind="segment.exited"))
    assert not is_wanted(wants, head(segment="loyal"))


def test_a_sample_is_of_customers_and_always_the_same_ones() -> None:
    """A tenth of the customers with all their changes, not a tenth of the changes of each."""
    tenth, fifth = Filter(sample=SHARES // 10), Filter(sample=SHARES // 5)
    inside = {name for name in map("c-{}".format, range(5_000)) if is_wanted(tenth, head(name))}
    assert 400 < len(inside) < 600
    assert all(is_wanted(fifth, head(name)) and is_wanted(tenth, head(name, "segment.exited")) for name in inside)


def test_where_keys_are_only_what_one_of_them_signed_says_who_gets_the_changes() -> None:
    """Whoever may write to the topic could otherwise send all changes to a place of their own, or end a subscription."""
    raw = encode_subscription(ONE)
    foreign = Keyring("streamer", {"k": b"y" * 32})
    moved = record(raw, tuple(signed(raw, name="other").headers))  # signed for another name
    for refused in (record(raw), signed(raw, key=foreign), moved):
        found: dict[str, Subscription] = {}
        update(found, [refused], KEYS)
        assert found == {}
    found = {}
    update(found, [signed(raw)], KEYS)
    assert found == {"shop": ONE}
    update(found, [record(None)], KEYS)
    assert found == {"shop": ONE}, "it was removed by somebody without a key"
    update(found, [signed(None)], KEYS)
    assert found == {}


def test_a_record_that_cannot_be_read_changes_nothing() -> None:
    """The subscription before it holds on."""
    found = {"shop": ONE}
    update(found, [record(b"{"), record(b'{"name": "shop"}')], Keyring())
    assert found == {"shop": ONE}


def test_a_subscription_under_the_key_of_another_counts_as_none() -> None:
    """Two of one name would be two members of one group, and each would get half of the changes."""
    found: dict[str, Subscription] = {}
    update(found, [record(encode_subscription(msgspec.structs.replace(ONE, name="other"))), record(encode_subscription(ONE))], Keyring())
    assert found == {"shop": ONE}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "password",
        "whsec_",
        "whsec_!!!",
        "whsec_" + base64.b64encode(b"x" * 23).decode(),
        "whsec_" + base64.b64encode(b"x" * 65).decode(),
    ],
)
def test_a_place_that_holds_no_webhook_secret_is_refused_without_saying_what_it_holds(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscription could name any variable of the process; nothing that is not meant for this is ever signed with."""
    monkeypatch.setenv("SHOP", text)
    with pytest.raises(SettingsError, match="env:SHOP") as caught:
        signatory_of(["env:SHOP"])
    assert text == "" or text not in str(caught.value).replace("whsec_ and base64", "")


def test_a_file_of_a_secret_is_read_as_it_is_now(tmp_path: Path) -> None:
    """So a secret is changed without a restart; a missing file is said."""
    file = tmp_path / "secret"
    with pytest.raises(SettingsError, match="there is none here"):
        signatory_of([f"file:{file}"])
    found: set[str] = set()
    for _ in range(2):
        file.write_text(new_secret() + "\n")
        found.add(signatory_of([f"file:{file}"]).headers("1-0-7-0-a", 0, "{}")["webhook-signature"])
    assert len(found) == 2
