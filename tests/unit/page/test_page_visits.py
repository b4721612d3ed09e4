"""Who may look and who may do: tokens, cookies, forms, a proxy's word."""

from __future__ import annotations

import hashlib
from ipaddress import ip_network
from pathlib import Path

import pytest

from streamer.errors import SettingsError
from streamer.page.assembly import proxy_trust
from streamer.page.forms import local_path
from streamer.page.visitors import COOKIE, ProxyTrust
from streamer.server.tokens import Tokens, read_tokens
from streamer.settings import load_settings
from streamer.web.secret_tables import hash_of
from tests.unit.flow.persons import segments

from .desk import PAGES, PageDesk, looking

RULES = segments(seen='did("A")')
READER, ERASER = "st_reader_of_the_page", "st_eraser_of_the_page"
TOKENS = read_tokens(
    f'[tokens.shop]\nhash = "{hash_of(READER)}"\nroles = ["read"]\n[tokens.office]\nhash = "{hash_of(ERASER)}"\nroles = ["erase"]', "tokens"
)
PROXY = ProxyTrust((ip_network("127.0.0.0/8"),), "X-Forwarded-Email", frozenset({"read"}))


async def log_in(desk: PageDesk, token: str, to: str = "/segments") -> int:
    """Send the form as a browser does; the status of the answer."""
    form_key = (await desk.look("/login")).form_key
    return (await desk.ask("POST", "/login", form={"form_key": form_key, "token": token, "next": to})).status


@pytest.mark.parametrize("path", [*PAGES, "/customers/c-1", "/segments/seen"])
async def test_a_view_leads_to_the_login_and_from_there_back(path: str) -> None:
    """Whoever follows a link that a colleague sent logs in and is where they wanted to be; before that they see nothing."""
    async with looking(RULES, tokens=TOKENS) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.settle()
        found = await desk.look(path)
        assert (found.status, found.html) == (303, "")
        assert found.headers["Location"] == f"/login?next={path.replace('/', '%2F')}"
        assert await log_in(desk, READER, path) == 303
        assert (await desk.look(path)).status == 200


async def test_the_live_stream_needs_the_role_too() -> None:
    """It has the same figures."""
    async with looking(RULES, tokens=TOKENS) as desk:
        assert (await desk.look("/live/")).status == 403
        assert (await desk.look("/live/segments")).status == 403


async def test_a_token_that_is_not_known_is_refused_and_not_repeated() -> None:
    """What somebody pasted by mistake may be another password of theirs."""
    async with looking(RULES, tokens=TOKENS) as desk:
        form_key = (await desk.look("/login")).form_key
        found = await desk.ask("POST", "/login", form={"form_key": form_key, "token": "my-other-password", "next": "/"})
        assert found.status == 403
        assert "not known here" in found.text
        assert "my-other-password" not in found.html


async def test_a_role_that_a_token_has_not_is_named() -> None:
    """Who may only forget people is told so, and not sent to the login again and again."""
    async with looking(RULES, tokens=TOKENS) as desk:
        assert await log_in(desk, ERASER) == 303
        found = await desk.look("/segments")
        assert found.status == 403
        assert "role read" in found.text


async def test_a_token_that_is_taken_away_ends_the_visit_at_once() -> None:
    """Nobody must wait for a session to run out to keep somebody out."""
    async with looking(RULES, tokens=TOKENS) as desk:
        await desk.settle()
        await log_in(desk, READER)
        assert (await desk.look("/workers")).status == 200
        desk.server.use_tokens(Tokens(tuple(token for token in TOKENS.all if token.name != "shop")))
        assert (await desk.look("/workers")).status == 303


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites() -> None:
    """It lets in whoever has it."""
    async with looking(RULES, tokens=TOKENS) as desk:
        form_key = (await desk.look("/login")).form_key
        answer = await desk.ask("POST", "/login", form={"form_key": form_key, "token": READER, "next": "/"})
        [cookie] = answer.headers.getall("Set-Cookie")
        assert cookie.startswith(f"{COOKIE}={READER};")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        page = await desk.look("/workers")
        assert READER not in page.html
        assert hashlib.sha256(READER.encode()).hexdigest() not in page.html


async def test_a_form_of_another_site_does_nothing() -> None:
    """A page of anybody's may send a form here with the visitor's own browser."""
    async with looking(RULES, tokens=TOKENS) as desk:
        await log_in(desk, READER)
        own = (await desk.look("/workers")).form_key
        for form, headers in (
            ({}, {}),
            ({"form_key": "0" * 64}, {}),
            ({"form_key": "é"}, {}),
            ({"form_key": own}, {"Sec-Fetch-Site": "cross-site"}),
            ({"form_key": own}, {"Sec-Fetch-Site": "same-site"}),
        ):
            found = await desk.ask("POST", "/logout", form=form, headers=headers)
            assert found.status == 403, (form, headers)
        assert (await desk.look("/workers")).status == 200, "the visit goes on"
        assert (await desk.ask("POST", "/logout", form={"form_key": own}, headers={"Sec-Fetch-Site": "same-origin"})).status == 303
        assert desk.cookie == ""
        assert (await desk.look("/workers")).status == 303


async def test_two_visitors_have_forms_of_their_own() -> None:
    """The key of one is worth nothing with the cookie of another."""
    async with looking(RULES) as one, looking(RULES) as other:
        keys = {(await desk.look("/login")).form_key for desk in (one, other)}
        assert len(keys) == 2
        assert one.cookie != other.cookie


async def test_without_tokens_a_name_of_somebody_else_is_not_answered() -> None:
    """A site may have its name point at 127.0.0.1, and then its scripts read the page as if it were theirs."""
    async with looking(RULES) as desk:
        assert (await desk.look("/", Host="evil.example:8090")).status == 403
        assert (await desk.look("/", Host="localhost:8090")).status == 200


async def test_a_trusted_proxy_says_who_it_is_and_nobody_else_can() -> None:
    """A header is written by anybody; what counts is from which address it comes."""
    async with looking(RULES, tokens=TOKENS, proxy=PROXY) as desk:
        await desk.settle()
        found = await desk.look("/workers", X_Forwarded_Email="ada@shop.example")
        assert found.status == 200
        assert "ada@shop.example" in found.text
        assert (await desk.look("/workers")).status == 303
    async with looking(RULES, tokens=TOKENS, proxy=PROXY._replace(peers=(ip_network("10.0.0.0/8"),))) as desk:
        assert (await desk.look("/workers", X_Forwarded_Email="ada@shop.example")).status == 303


def test_a_proxy_is_only_believed_where_it_is_set_up_whole(tmp_path: Path) -> None:
    """Half of it would let everybody in, or nobody."""
    tokens = tmp_path / "tokens.toml"
    assert proxy_trust(load_settings()) == ProxyTrust()
    with pytest.raises(SettingsError, match="STREAMER_SERVE_PROXIES"):
        proxy_trust(load_settings(serve_proxy_user="X-Forwarded-Email"))
    with pytest.raises(SettingsError, match="STREAMER_SERVE_TOKENS"):
        proxy_trust(load_settings(serve_proxy_user="X-Forwarded-Email", serve_proxies="10.0.0.0/8"))
    found = proxy_trust(
        load_settings(serve_proxy_user="X-User", serve_proxies="10.0.0.0/8", serve_tokens=tokens, serve_proxy_roles="read,write")
    )
    assert found == ProxyTrust((ip_network("10.0.0.0/8"),), "X-User", frozenset({"read", "write"}))


@pytest.mark.parametrize(
    "text", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/a\r\nSet-Cookie: x", ""]
)
def test_a_login_leads_nowhere_else(text: str) -> None:
    """A link to our login that ends at somebody else's page would be believed."""
    assert local_path(text) == "/"
