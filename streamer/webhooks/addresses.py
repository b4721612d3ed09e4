"""The guard against internal addresses: what a subscription names is looked up by us, checked, and connected to as it was checked.

A URL comes from whoever may subscribe, a name's address from whoever owns the name, and the answer may differ from one look-up to the
next. So the check stands in the resolver that the connection itself uses: no second look-up follows it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from streamer.errors import SettingsError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, as texts; OSError where it has none."""

LOOKUP_SECONDS: Final = 5.0
LOOKUP_THREADS: Final = 16  # of our own: names that hang hold up nothing else of the process
TRANSLATED: Final = tuple(  # reach an address of IPv4 that stands within; ``is_global`` of Python is true for some
    map(ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96", "fec0::/10", "192.88.99.0/24"))
)


class AddressRefusedError(OSError):
    """An endpoint's address is none that deliveries may go to."""


def is_internal(address: Address) -> bool:
    """Whether an address leads, or may lead, to where only we can reach: private, loopback, link-local, shared (100.64/10), multicast,
    reserved, or translated to IPv4.

    >>> [is_internal(ip_address(text)) for text in ("169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a00:1", "8.8.8.8")]
    [True, True, True, False]
    """
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return True  # nobody publishes such an address for an endpoint
    if not address.is_global or address.is_multicast or address.is_reserved:
        return True
    return any(address in network for network in TRANSLATED)


class Guard:
    """Which endpoints deliveries may go to. ``networks`` are allowed although they are internal, and there http and any port too; elsewhere
    only https on one of ``ports``."""

    def __init__(self, networks: Sequence[Network] = (), ports: Collection[int] = (443, 8443)) -> None:
        self._networks = networks
        self._ports = frozenset(ports)

    def is_trusted(self, address: Address) -> bool:
        """Whether the operator has allowed this address."""
        return any(address in network for network in self._networks)

    def check_url(self, text: str) -> URL:
        """The URL; SettingsError with what was expected where deliveries may not go there. Addresses of names are checked when they are
        looked up."""
        try:
            url = URL(text)
            host, port = url.host, url.port
        except ValueError:
            raise SettingsError("expected a URL such as https://shop.example/hooks") from None
        if url.scheme not in ("https", "http") or not host:
            raise SettingsError("expected a URL such as https://shop.example/hooks")
        if url.user is not None or url.password is not None:
            raise SettingsError("expected a URL without a user or password: each delivery is signed instead")
        literal = _literal(host)
        if literal is not None:
            self.check_address(literal, url.scheme, port)
        elif not self._networks:  # otherwise it depends on the address that the name has
            self._check_way(url.scheme, port)
        return url

    def check_address(self, address: Address, scheme: str, port: int | None) -> None:
        """SettingsError unless a connection may be made to it in this way."""
        if self.is_trusted(address):
            return
        if is_internal(address):
            raise SettingsError(f"the address {address} is internal; STREAMER_WEBHOOK_ALLOW names those that may be used all the same")
        self._check_way(scheme, port)

    def _check_way(self, scheme: str, port: int | None) -> None:
        if scheme != "https":
            raise SettingsError("expected https; http goes only to addresses that STREAMER_WEBHOOK_ALLOW names")
        if port not in self._ports:
            raise SettingsError(f"expected port {' or '.join(map(str, sorted(self._ports)))}, found {port}")


class GuardedResolver(AbstractResolver):
    """Looks names up for the connections of deliveries, and gives only addresses that were checked.

    A name of which one address is refused is refused whole: nobody has a public and an internal one without a purpose.
    """

    def __init__(self, guard: Guard, scheme: str, lookup: Lookup | None = None) -> None:
        self._guard = guard
        self._scheme = scheme
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="webhook-lookup")
        self._lookup = lookup or self._system

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        """The addresses of a name; AddressRefusedError where one is refused, OSError where there is none in time."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                texts = await self._lookup(host, port)
        except TimeoutError:
            raise OSError(f"the name was not looked up within {LOOKUP_SECONDS:g} s") from None
        addresses = [ip_address(text.partition("%")[0]) for text in texts]
        for address in addresses:
            try:
                self._guard.check_address(address, self._scheme, port)
            except SettingsError as error:
                raise AddressRefusedError(str(error)) from None
        if not addresses:
            raise OSError("the name has no address")
        return [_result(host, port, address) for address in addresses if family in (socket.AF_UNSPEC, _family(address))]

    async def close(self) -> None:
        """Let go of the threads; a look-up that hangs in one is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _system(self, host: str, port: int) -> Sequence[str]:
        def look_up() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
            return list(dict.fromkeys(str(one[4][0]) for one in found))

        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6


def _result(host: str, port: int, address: Address) -> ResolveResult:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=str(address), port=port, family=_family(address), proto=0, flags=flags)
