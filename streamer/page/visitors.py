"""Who looks at the page, and what they may: nobody but this machine where there are no tokens, else the holder of a token, or whom a proxy
has let in.

The cookie of a visitor is their token, or, where none is needed, a text drawn at random. Nothing is kept of a visit, so any number of
servers may answer one visitor, and a token that is taken out of the file ends its visits at once. Scripts cannot read the cookie, and no
other site's request carries it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address
from secrets import token_urlsafe
from typing import Final, NamedTuple

from aiohttp import web

from streamer.server.tokens import ROLES, TOKEN_CHARS_MAX, Role, Tokens

COOKIE: Final = "streamer_visit"
USER_CHARS_MAX: Final = 200
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]{16,256}")


class PageVisitor(NamedTuple):
    """Somebody at the page. ``name`` is that of the token, or what the proxy calls them; empty: nobody asked. ``secret`` is their cookie,
    and ``is_new`` says that they have not got it yet."""

    name: str
    roles: frozenset[Role]
    secret: str
    is_new: bool = False

    @property
    def form_key(self) -> str:
        """What every form of theirs has, and nobody else can know."""
        return hmac.new(self.secret.encode(), b"form of the page", sha256).hexdigest()

    def may(self, role: Role | None) -> bool:
        """Whether they may do what needs this role."""
        return role is None or role in self.roles


class ProxyTrust(NamedTuple):
    """Whose word is taken for who somebody is: a proxy at one of these addresses says it in a header, and all whom it lets in may this."""

    peers: Sequence[IPv4Network | IPv6Network] = ()
    header: str = ""
    roles: frozenset[Role] = frozenset({"read"})

    def name_of(self, request: web.BaseRequest) -> str:
        """The user whom a trusted proxy names; empty where there is none, or the request does not come from such a proxy."""
        if not self.header or not self._is_peer(request.remote or ""):
            return ""
        names = request.headers.getall(self.header, [])
        return names[0][:USER_CHARS_MAX] if len(names) == 1 else ""

    def _is_peer(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in self.peers)


def visitor_of(request: web.BaseRequest, tokens: Tokens, proxy: ProxyTrust) -> PageVisitor:
    """Who asks."""
    cookie = request.cookies.get(COOKIE, "")
    cookie = cookie if _PLAIN.fullmatch(cookie) else ""
    secret, is_new = cookie or token_urlsafe(32), not cookie
    if tokens.is_open:
        return PageVisitor("", frozenset(ROLES), secret, is_new)
    if name := proxy.name_of(request):
        return PageVisitor(name, proxy.roles, secret, is_new)
    token = tokens.find(cookie) if cookie else None
    if token is not None:
        return PageVisitor(token.name, frozenset(token.roles), secret)
    return PageVisitor("", frozenset(), secret, is_new)


def is_own_form(request: web.BaseRequest, visitor: PageVisitor, given: str) -> bool:
    """Whether a form was on a page of ours that this visitor saw, and is sent from there."""
    if visitor.is_new or request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    return hmac.compare_digest(visitor.form_key.encode(), given.encode(errors="surrogatepass"))


def keep_visit(response: web.StreamResponse, secret: str, *, is_safe: bool) -> None:
    """Give a visitor their cookie, until they close the browser. ``is_safe``: they came by https."""
    response.set_cookie(COOKIE, secret, path="/", httponly=True, samesite="Strict", secure=is_safe)


def end_visit(response: web.StreamResponse) -> None:
    """Take the cookie back."""
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")


__all__ = ["COOKIE", "TOKEN_CHARS_MAX", "PageVisitor", "ProxyTrust", "end_visit", "is_own_form", "keep_visit", "visitor_of"]
