"""``streamer shards retell``: what an audit found, told again without any server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from streamer.errors import SettingsError
from streamer.flow.folding import FoldError
from streamer.flow.mismatch import Mismatch, decode_mismatch, differences, retell

from . import EXIT_NO
from .terminal import echo

MismatchFile = Annotated[Path, typer.Argument(metavar="FILE", help="a file mismatch-SHARD-OFFSET-….json of STREAMER_AUDIT_FOLDER")]


def tell_again(file: MismatchFile) -> None:
    """Tell a customer anew from what the audit wrote when the store had something else of them than the log says.

    Needs no Kafka and no store. Says whether this program comes to what the worker came to, and what differs from the store, by name:
    no value of the customer is shown. The file has their events: it is for the eyes of its owner, and to be deleted afterwards.

    Exit code 1 unless it comes to what the store had.
    """
    mismatch = _read(file)
    try:
        told = retell(mismatch)
    except FoldError as error:
        raise SettingsError(f"{file}: {error}") from None
    echo(f"shard {mismatch.shard} up to offset {mismatch.offset:,}: one customer, {len(mismatch.records):,} records")
    if told.state == mismatch.stored:
        echo("this program comes to what the store had: the fault is not here any more")
        return
    echo(
        "this program comes to what the worker was told"
        if told.state == mismatch.folded
        else "this program comes to something else than both"
    )
    for name in differences(mismatch.stored, told.state, told.plan):
        echo(f"  differs: {name}")
    raise typer.Exit(EXIT_NO)


def _read(file: Path) -> Mismatch:
    try:
        return decode_mismatch(file.read_bytes())
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise SettingsError(f"{file}: expected a file that an audit of this version wrote") from None
