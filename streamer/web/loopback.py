"""Whether an address is reached from this machine alone."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether nobody outside this machine reaches an address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def names_loopback(host_header: str) -> bool:
    """Whether a ``Host`` header, with or without a port, names this machine alone.

    A page of anybody's may have its own name point here, and then its scripts ask us as if they were ours; the header gives them away.

    >>> [names_loopback(host) for host in ("localhost:8090", "127.0.0.1", "[::1]:8090", "evil.example:8090", "")]
    [True, True, True, False, False]
    """
    if host_header.startswith("["):
        return is_loopback(host_header[1:].partition("]")[0])
    return is_loopback(host_header.partition(":")[0])
