"""Who may ask: tokens, their roles, and what is answered to whom without any."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest

from streamer.errors import SettingsError
from streamer.server import tokens as tokens_module
from streamer.server.limits import LIMITS
from streamer.server.tokens import Tokens, load_tokens, new_token, read_tokens
from streamer.settings import load_settings
from streamer.web.secret_tables import hash_of
from tests.unit.flow.persons import segments

from .desk import reading

RULES = segments(seen='did("A")')
READER, WRITER = "st_reader", "st_writer"
FILE = f"""
[tokens.shop]
hash = "{hash_of(READER)}"
roles = ["read"]

[tokens.office]
hash = "{hash_of(WRITER)}"
roles = ["write", "erase"]
"""
PATHS = ("/v1/customers/c-1", "/v1/segments", "/v1/segments/seen/members")


@pytest.mark.parametrize("path", PATHS)
async def test_a_path_about_customers_needs_a_token_with_the_role(path: str) -> None:
    """Who knows the address of the server does not know a token."""
    async with reading(RULES, tokens=read_tokens(FILE, "tokens.toml")) as desk:
        desk.shop.write("A", userId="c-1")
        await desk.shop.settle()
        for header, status, code in (
            ("", 401, "missing_token"),
            ("Basic c3Q6", 401, "missing_token"),
            ("Bearer", 401, "missing_token"),
            ("Bearer st_other", 401, "unknown_token"),
            (f"Bearer {hash_of(READER)}", 401, "unknown_token"),
            ("Bearer " + "x" * 5_000, 401, "unknown_token"),
            (f"Bearer {WRITER}", 403, "role_missing"),
        ):
            found = await desk.get(path, **({"Authorization": header} if header else {}))
            assert (found.status, found.body["code"]) == (status, code), header
        assert (await desk.get(path, Authorization=f"Bearer {READER}")).status == 200
        assert (await desk.get("/v1/openapi.json")).status == 200, "the description says nothing of customers"


async def test_without_tokens_a_page_of_somebody_else_is_not_answered() -> None:
    """A site may have its name point at 127.0.0.1, and then its scripts ask as if they were ours."""
    async with reading(RULES) as desk:
        found = await desk.get("/v1/segments", Host="evil.example:8090")
        assert (found.status, found.body["code"]) == (403, "host_not_allowed")


async def test_every_token_is_compared_whole_whichever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that an answer takes tells nothing of how much of a token was right, or which it was."""
    compared: list[tuple[str, str]] = []
    monkeypatch.setattr(tokens_module.hmac, "compare_digest", lambda one, other: compared.append((one, other)) or one == other)
    assert hmac.compare_digest is tokens_module.hmac.compare_digest
    tokens = read_tokens(FILE, "tokens.toml")
    for secret in (READER, WRITER, "st_other"):
        compared.clear()
        found = tokens.find(secret)
        assert (found.name if found is not None else None) == {READER: "shop", WRITER: "office"}.get(secret)
        assert compared == [(token.hash, hash_of(secret)) for token in tokens.all]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "tokens.toml"),
        ("[keys.a]", "expected tables [tokens.NAME]"),
        ("tokens = 1", "something else under tokens"),
        ('[tokens.A]\nhash = "x"\nroles = ["read"]', "a-z, 0-9"),
        ('[tokens.a]\nhash = "st_secret"\nroles = ["read"]', "sha256:"),
        (f'[tokens.a]\nhash = "{hash_of("x")}"\nroles = ["reed"]', "reed"),
        (f'[tokens.a]\nhash = "{hash_of("x")}"\nroles = []', "at least one of read, write, erase"),
        (f'[tokens.a]\nhash = "{hash_of("x")}"\nroles = ["read"]\nname = "b"', "the table's name"),
        (f'[tokens.a]\nhash = "{hash_of("x")}"\nroles = ["read"]\nrole = 1', "role"),
        (FILE + FILE.replace("tokens.shop", "tokens.s2").replace("tokens.office", "tokens.o2"), "the same hash"),
    ],
)
def test_a_file_of_tokens_that_is_not_as_it_must_be_is_refused_with_the_place(text: str, says: str) -> None:
    """A token that silently does not count is found by whoever is locked out, or is not."""
    with pytest.raises(SettingsError) as error:
        read_tokens(text, "tokens.toml")
    assert says in str(error.value)
    assert "st_secret" not in str(error.value), "somebody put the token itself there"


def test_elsewhere_than_on_this_machine_tokens_are_needed(tmp_path: Path) -> None:
    """Nobody opens customers' data to a network by forgetting a file."""
    with pytest.raises(SettingsError, match="this machine alone"):
        load_tokens(load_settings(serve_host="0.0.0.0"))  # noqa: S104
    file = tmp_path / "tokens.toml"
    file.write_text("")
    with pytest.raises(SettingsError, match="has no token"):
        load_tokens(load_settings(serve_tokens=file))
    secret, table = new_token(("read", "erase"))
    file.write_text(table)
    found = load_tokens(load_settings(serve_host="0.0.0.0", serve_tokens=file)).find(secret)  # noqa: S104
    assert found is not None
    assert found.roles == ("read", "erase")
    assert load_tokens(load_settings()).is_open


async def test_more_at_once_than_is_answered_is_sent_away() -> None:
    """Memory is bounded whatever comes."""
    async with reading(RULES, limits=LIMITS._replace(requests=0)) as desk:
        found = await desk.get("/v1/segments")
        assert (found.status, found.body["code"]) == (503, "overloaded")
    assert Tokens().is_open
