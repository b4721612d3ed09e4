"""No delivery goes to where only we can reach, whatever a name says and however often it changes its mind."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest

from streamer.errors import SettingsError
from streamer.webhooks.addresses import AddressRefusedError, Guard, GuardedResolver, is_internal

INTERNAL = [
    "0.0.0.0",  # noqa: S104 - refused here
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "192.169.0.1", "2606:4700::1111", "2a00:1450:4001:81b::200e"]


@pytest.mark.parametrize("text", INTERNAL)
def test_internal_addresses_are_refused(text: str) -> None:
    """Private, loopback, link-local with the metadata of clouds, shared, multicast, reserved, and IPv4 in each of its disguises."""
    assert is_internal(ip_address(text))
    host = f"[{text}]" if ":" in text else text
    with pytest.raises(SettingsError, match="internal"):
        Guard().check_url(f"https://{host}/hooks")


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_not(text: str) -> None:
    """Or nothing could be delivered."""
    assert not is_internal(ip_address(text))
    assert Guard().check_url(f"https://{f'[{text}]' if ':' in text else text}/hooks").path == "/hooks"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://shop.example/", "expected https"),
        ("https://shop.example:22/", "expected port 443 or 8443, found 22"),
        ("https://user:secret@shop.example/", "without a user or password"),
        ("ftp://shop.example/", "expected a URL"),
        ("https:///hooks", "expected a URL"),
        ("https://[::1", "expected a URL"),
        ("shop.example/hooks", "expected a URL"),
        ("file:///etc/passwd", "expected a URL"),
        ("http://8.8.8.8/", "expected https"),
    ],
)
def test_a_url_that_is_no_endpoint_is_refused_with_what_was_expected(url: str, said: str) -> None:
    """Before anything is looked up; and what stands in it is not repeated, as it may hold a password."""
    with pytest.raises(SettingsError, match=said) as caught:
        Guard().check_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["0x7f.1", "127.1", "2130706433", "localhost"])
async def test_an_address_in_disguise_is_known_by_what_it_resolves_to(host: str) -> None:
    """The system's look-up takes each of these for 127.0.0.1."""
    resolver = GuardedResolver(Guard(), "https")
    try:
        with pytest.raises(AddressRefusedError):
            await resolver.resolve(host, 443)
    finally:
        await resolver.close()


async def test_a_name_that_turns_inward_is_refused_at_that_look_up() -> None:
    """DNS rebinding: public when it is subscribed, internal when it is delivered to."""
    answers = [["8.8.8.8"], ["10.0.0.1"]]

    async def lookup(_host: str, _port: int) -> Sequence[str]:
        return answers.pop(0)

    resolver = GuardedResolver(Guard(), "https", lookup)
    assert [one["host"] for one in await resolver.resolve("shop.example", 443)] == ["8.8.8.8"]
    with pytest.raises(AddressRefusedError):
        await resolver.resolve("shop.example", 443)
    assert answers == []
    await resolver.close()


async def test_a_name_with_one_internal_address_is_refused_whole() -> None:
    """A client that goes on to the next address when one fails would end at the internal one."""

    async def lookup(_host: str, _port: int) -> Sequence[str]:
        return ["8.8.8.8", "127.0.0.1"]

    resolver = GuardedResolver(Guard(), "https", lookup)
    with pytest.raises(AddressRefusedError):
        await resolver.resolve("shop.example", 443)
    await resolver.close()


async def test_what_the_operator_allows_is_allowed_there_alone() -> None:
    """http and any port to the named networks; everywhere else the rules hold as before."""
    guard = Guard([ip_network("10.1.0.0/16")])
    assert guard.check_url("http://10.1.2.3:8080/hooks").port == 8080
    for refused in ("http://10.2.0.1/", "http://8.8.8.8/", "https://8.8.8.8:8080/"):
        with pytest.raises(SettingsError):
            guard.check_url(refused)

    async def lookup(host: str, _port: int) -> Sequence[str]:
        return ["10.1.2.3"] if host == "inside.example" else ["8.8.8.8"]

    plain = GuardedResolver(guard, "http", lookup)
    found = await plain.resolve("inside.example", 8080, socket.AF_INET)
    assert [one["host"] for one in found] == ["10.1.2.3"]
    with pytest.raises(AddressRefusedError):
        await plain.resolve("shop.example", 8080)
    await plain.close()
