"""Tokens: who may ask, and what.

The file has the hash of a token and not the token. It is drawn at random with 256 bits, so a plain hash is enough.
"""

from __future__ import annotations

import hmac
import re
from secrets import token_urlsafe
from typing import Final, Literal, get_args

import msgspec

from streamer.errors import SettingsError
from streamer.settings import Settings
from streamer.web.loopback import is_loopback
from streamer.web.secret_tables import hash_of, secret_tables, secrets_text

Role = Literal["read", "write", "erase"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
TOKEN_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
TOKEN_CHARS_MAX: Final = 256


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of one token: its hash, and what it may. ``read`` asks, ``write`` changes what is sent and published, ``erase``
    forgets people."""

    hash: str
    roles: tuple[Role, ...]
    name: str = ""


class Tokens:
    """The tokens of a file. Without any, everybody on this machine may do everything."""

    def __init__(self, tokens: tuple[Token, ...] = ()) -> None:
        self.all = tokens

    @property
    def is_open(self) -> bool:
        """Whether no token is needed."""
        return not self.all

    def find(self, secret: str) -> Token | None:
        """The token that this text is; None for none of ours. Takes as long whichever it is, or none."""
        if len(secret) > TOKEN_CHARS_MAX:
            return None
        given, found = hash_of(secret), None
        for token in self.all:
            if hmac.compare_digest(token.hash, given):
                found = token
        return found


def new_token(roles: tuple[Role, ...]) -> tuple[str, str]:
    """A fresh token, and its table for the file."""
    secret = f"st_{token_urlsafe(32)}"
    listed = ", ".join(f'"{role}"' for role in roles)
    return secret, f'[tokens.reader]\nhash = "{hash_of(secret)}"\nroles = [{listed}]'


def load_tokens(settings: Settings) -> Tokens:
    """The tokens of the file in the settings; SettingsError where they cannot be used, or where nobody in the network needs one."""
    file = settings.serve_tokens
    if file is None:
        if not is_loopback(settings.serve_host):
            raise SettingsError(
                f"STREAMER_SERVE_TOKENS: without tokens the server listens on this machine alone, not on {settings.serve_host}: "
                "anybody could read customers' data; `streamer serve --new-token` makes one"
            )
        return Tokens()
    tokens = read_tokens(secrets_text(file, "STREAMER_SERVE_TOKENS"), f"STREAMER_SERVE_TOKENS: {file}")
    if tokens.is_open:
        raise SettingsError(f"STREAMER_SERVE_TOKENS: {file} has no token; `streamer serve --new-token` makes one")
    return tokens


def read_tokens(text: str, where: str) -> Tokens:
    """The tokens of a TOML file; SettingsError, which names the token and the field, for anything that is not as it must be."""
    tokens = tuple(_read_token(name, fields, f"{where}: [tokens.{name}]") for name, fields in secret_tables(text, "tokens", where).items())
    hashes = [token.hash for token in tokens]
    if len(set(hashes)) < len(hashes):
        raise SettingsError(f"{where}: two tokens have the same hash")
    return Tokens(tokens)


def _read_token(name: str, fields: object, where: str) -> Token:
    if TOKEN_NAME.fullmatch(name) is None:
        raise SettingsError(f"{where}: expected a name of a-z, 0-9, - and _, at most 32 characters")
    try:
        token = msgspec.convert(fields, Token, strict=True)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where}: {error}") from None
    if token.name:
        raise SettingsError(f"{where}: name: the table's name is the token's")
    if HASH.fullmatch(token.hash) is None:
        raise SettingsError(f"{where}: hash: expected sha256: and 64 hexadecimal digits, as `streamer serve --new-token` prints it")
    if not token.roles:
        raise SettingsError(f"{where}: roles: expected at least one of {', '.join(ROLES)}")
    return msgspec.structs.replace(token, name=name)
