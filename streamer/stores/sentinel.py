"""Redis behind Sentinel: an address that names sentinels and a service, and connections to whatever server is its primary now.

Every new connection asks the sentinels first. A connection to a primary that was demoted answers READONLY to the first write: it is closed,
and the next one leads to the new primary.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")
FORM: Final = "redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/NUMBER"
PORT: Final = 26_379
ASK_SECONDS: Final = 1.0  # for one sentinel to answer: the next one is asked then


class SentinelAddress(NamedTuple):
    """What an address says. ``username`` and ``password`` are for the servers of the service, not for the sentinels."""

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int
    is_tls: bool
    username: str | None
    password: str | None


def is_sentinel(url: str) -> bool:
    """Whether an address is of this kind."""
    return url.partition("://")[0] in SCHEMES


def read_address(url: str) -> SentinelAddress:
    """The parts of an address. ValueError, which says nothing of it, when it has another form than ``FORM``.

    >>> read_address("redis+sentinel://a:1,b/shop/2")[:3]
    ((('a', 1), ('b', 26379)), 'shop', 2)
    """
    scheme, _, rest = url.partition("://")
    before, _, path = rest.rpartition("@")
    hosts, _, path = path.partition("/")
    service, _, database = path.partition("/")
    user, _, password = before.partition(":")
    sentinels = tuple(_host(text) for text in hosts.split(","))
    if not service or not all(host for host, _ in sentinels) or not (database or "0").isdecimal():
        raise ValueError(FORM)
    number = int(database or 0)
    return SentinelAddress(sentinels, unquote(service), number, scheme == SCHEMES[1], unquote(user) or None, unquote(password) or None)


def _host(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):  # an IPv6 address without a port has colons of its own
        return text.strip("[]"), PORT
    return host.strip("[]"), int(port)


def sentinel_pool(url: str, **given: Any) -> SentinelConnectionPool:
    """Connections to the primary of the service at an address. ``given`` are redis-py's arguments of a connection; what the address says
    comes first. ValueError as ``read_address``."""
    address = read_address(url)
    tls: dict[str, Any] = {name: value for name, value in given.items() if name.startswith("ssl_")}
    if address.is_tls:
        tls["ssl"] = True
    own = {"username": address.username, "password": address.password}
    asked: dict[str, Any] = {"socket_timeout": ASK_SECONDS, "socket_connect_timeout": ASK_SECONDS, "retry": Retry(NoBackoff(), 0), **tls}
    sentinels = Sentinel(address.sentinels, sentinel_kwargs=asked)
    more: dict[str, Any] = {**given, **tls, **{name: value for name, value in own.items() if value is not None}}
    return SentinelConnectionPool(address.service, sentinels, db=address.database, **more)
