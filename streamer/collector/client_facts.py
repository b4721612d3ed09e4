"""What a request itself says of who sent it: address, browser, program or person, whether they object. It fills what events lack."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, NamedTuple

import msgspec

from streamer.events.event import Event
from streamer.settings import PrivacySignal, Settings

Keep = Literal["truncated", "full", "none"]

BOT: Final = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|headless|phantomjs|lighthouse|pingdom|uptime|curl/|wget/|python-|facebookexternalhit", re.IGNORECASE
)
IP_FIELD: Final = re.compile(rb'("(?:ip|ip_override)"\s*:\s*")([0-9A-Fa-f:.]{2,45})(?=")')
USER_AGENT_CHARS_MAX: Final = 512
NETWORK_BITS: Final = {4: 24, 6: 48}  # what is kept of an address
RATE_BITS: Final = {4: 32, 6: 64}  # one line of a provider has a whole network of IPv6


class ClientFacts(NamedTuple):
    """``context`` is what the events of the request get where they do not say it themselves; ``is_dropped``: nothing of it is kept."""

    address: str
    context: Mapping[str, object]
    is_dropped: bool
    keep_ip: Keep


class FactReader:
    """Reads facts as an installation is set up."""

    def __init__(self, settings: Settings) -> None:
        self._proxies: Sequence[IPv4Network | IPv6Network] = settings.collect_proxies
        self._keep: Keep = settings.collect_ip
        self._signals: tuple[tuple[str, str, PrivacySignal], ...] = (
            ("Sec-GPC", "gpc", settings.collect_gpc),
            ("DNT", "dnt", settings.collect_dnt),
        )

    def read(self, peer: str, headers: Mapping[str, str], *, of_customer: bool) -> ClientFacts:
        """``peer`` is the address of the connection. ``of_customer``: the request comes from a customer's own browser or device; a server's
        address and program are nobody's."""
        address = self._address(peer, headers)
        context: dict[str, object] = {}
        is_dropped = False
        if of_customer:
            if (kept := kept_ip(address, self._keep)) is not None:
                context["ip"] = kept
            if agent := headers.get("User-Agent", "")[:USER_AGENT_CHARS_MAX]:
                context["userAgent"] = agent
                if is_bot(agent):
                    context["bot"] = True
        for header, mark, wish in self._signals:
            if wish != "ignore" and headers.get(header) == "1":
                is_dropped = is_dropped or wish == "drop"
                context[mark] = True
        return ClientFacts(rate_network(address), context, is_dropped, self._keep)

    def _address(self, peer: str, headers: Mapping[str, str]) -> str:
        """The peer; behind proxies that are believed, the last address that is none of theirs."""
        if not self._proxies or not self._is_proxy(peer):
            return peer
        for text in reversed(headers.get("X-Forwarded-For", "").split(",")):
            if (address := _parsed(text.strip())) is None:
                break
            peer = str(address)
            if not self._is_proxy(peer):
                break
        return peer

    def _is_proxy(self, text: str) -> bool:
        address = _parsed(text)
        return address is not None and any(address in network for network in self._proxies)


def fill(event: Event, facts: ClientFacts) -> Event:
    """The same event with what the request says of its sender, and no more of an address than is to be kept."""
    context: dict[str, object] = event.context or {}
    told = context.get("ip")
    if not facts.context and (told is None or facts.keep_ip == "full"):
        return event
    filled = {**facts.context, **context}
    if told is not None and facts.keep_ip != "full":
        kept = kept_ip(told, facts.keep_ip) if isinstance(told, str) else None
        if kept is None:
            del filled["ip"]
        else:
            filled["ip"] = kept
    return msgspec.structs.replace(event, context=filled or None)


def with_kept_ips(raw: bytes, keep: Keep) -> bytes:
    """What was refused, and may be no JSON at all, with no more of the addresses in it than is to be kept.

    >>> with_kept_ips(b'{"context": {"ip": "203.0.113.77"', "truncated")
    b'{"context": {"ip": "203.0.113.0"'
    """
    return raw if keep == "full" else IP_FIELD.sub(lambda found: found[1] + (kept_ip(found[2].decode(), keep) or "").encode(), raw)


@lru_cache(maxsize=10_000)
def kept_ip(text: str, keep: Keep) -> str | None:
    """What is kept of an address; None for nothing, as for what is none.

    >>> kept_ip("203.0.113.77", "truncated"), kept_ip("2001:db8:1:2::3", "truncated"), kept_ip("somewhere", "full")
    ('203.0.113.0', '2001:db8:1::', None)
    """
    address = _parsed(text)
    if address is None or keep == "none":
        return None
    return str(address) if keep == "full" else str(ip_network((address, NETWORK_BITS[address.version]), strict=False).network_address)


@lru_cache(maxsize=10_000)
def rate_network(text: str) -> str:
    """The name under which what an address sends is counted."""
    address = _parsed(text)
    return text if address is None else str(ip_network((address, RATE_BITS[address.version]), strict=False))


@lru_cache(maxsize=4_096)
def is_bot(agent: str) -> bool:
    """Whether a program says of itself that it is no person's browser."""
    return BOT.search(agent) is not None


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
