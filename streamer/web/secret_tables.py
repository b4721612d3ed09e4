"""Files with a table a secret: write keys of a collector, tokens of a server. The file has hashes, so whoever reads it can use none."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import cast

from streamer.errors import SettingsError


def hash_of(secret: str) -> str:
    """What a file has of a secret."""
    return f"sha256:{hashlib.sha256(secret.encode(errors='surrogatepass')).hexdigest()}"


def secrets_text(file: Path, setting: str) -> str:
    """What stands in the file that a setting names; SettingsError where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting}: cannot read {file} ({type(error).__name__})") from None


def secret_tables(text: str, of: str, where: str) -> dict[str, object]:
    """The tables ``[of.NAME]`` of a TOML text by name; SettingsError where anything else stands there."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: {error}") from None
    unknown = sorted(set(tables) - {of})
    found: object = tables.get(of, {})
    if unknown or not isinstance(found, dict):
        raise SettingsError(f"{where}: expected tables [{of}.NAME], found {unknown[0] if unknown else f'something else under {of}'}")
    return cast("dict[str, object]", found)
