"""``streamer messages ledger``: every message that was decided, and what became of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Final, get_args

import msgspec
import typer

from streamer.errors import RefusedError, SettingsError
from streamer.suggest import nearest
from streamer.wire import LEDGER, SENDS, shard_of

from . import EXIT_CODES, EXIT_NO
from .terminal import echo, echo_json

if TYPE_CHECKING:
    from streamer.messages.decision import MessageDecision
    from streamer.sender.ledger import SendEntry
    from streamer.settings import Settings

NEWEST: Final = 50


class LedgerRow(msgspec.Struct, omit_defaults=True):
    """One decision, and of a send the newest that a sender wrote down. Times are log time, those of senders by their clocks."""

    at: str
    customer: str
    message: str
    decided: str
    key: str
    reason: str = ""
    detail: str = ""
    until: str = ""
    became: str = ""
    became_at: str = ""
    became_detail: str = ""


def register(group: typer.Typer) -> None:
    """Add the command."""
    group.command("ledger", epilog=EXIT_CODES, short_help="What was decided, what became of it, and why not.")(ledger)


def ledger(
    customer: Annotated[str | None, typer.Option("--customer", metavar="CUSTOMER", help="of this customer alone")] = None,
    message: Annotated[str | None, typer.Option("--message", metavar="MESSAGE", help="of this message alone")] = None,
    reason: Annotated[
        str | None,
        typer.Option(
            "--reason",
            metavar="REASON",
            help="those with this reason alone, of the decision (cap, quiet, …) or of the sender (late, gate, …)",
        ),
    ] = None,
    newest: Annotated[
        int, typer.Option("--newest", metavar="N", help="so many at most, the newest of each shard", min=1, max=10_000)
    ] = NEWEST,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a row")] = False,
) -> None:
    """One row for each decision about a message: sent, held or skipped, with the reason; and of what was to be sent what became of it.

    A row that says attempting was begun by a sender that has not said yet how it ended. Exit code 1: there is no such row.
    """
    from streamer.settings import load_settings

    rows = asyncio.run(_rows(load_settings(), _RowFilter(customer, message, reason), newest))
    for row in rows:
        if as_json:
            echo_json(row)
        else:
            echo(_line(row))
    if not rows:
        echo(f"no such decision{_meant(reason)}", err=True)
        raise typer.Exit(EXIT_NO)


def _meant(reason: str | None) -> str:
    """A hint where the reason is a word that is none."""
    from streamer.messages.decision import REASONS
    from streamer.sender.ledger import SendState
    from streamer.sender.outcomes import FailReason

    known: tuple[str, ...] = (*REASONS, *get_args(FailReason), *get_args(SendState))
    close = None if reason is None or reason in known else nearest(reason, known)
    return "" if close is None else f"; did you mean --reason {close}?"


class _RowFilter(msgspec.Struct):
    customer: str | None
    message: str | None
    reason: str | None

    def takes(self, decision: MessageDecision, became: SendEntry | None) -> bool:
        data = decision.data
        reasons = {data.reason, became.reason, became.state} if became is not None else {data.reason}
        return (
            self.customer in (None, decision.subject)
            and self.message in (None, data.message)
            and (self.reason is None or self.reason in reasons)
        )


async def _rows(settings: Settings, wanted: _RowFilter, newest: int) -> list[LedgerRow]:
    from aiokafka.errors import KafkaError

    shards = range(settings.shards) if wanted.customer is None else [shard_of(wanted.customer, settings.shards)]
    try:
        found = [row for shard in shards for row in await _rows_of(settings, shard, wanted, newest)]
    except (KafkaError, TimeoutError) as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot read the ledger ({type(error).__name__})") from None
    return sorted(found, key=lambda row: (row.at, row.customer, row.message))


async def _rows_of(settings: Settings, shard: int, wanted: _RowFilter, newest: int) -> list[LedgerRow]:
    """What a shard has. Where senders' reasons are asked for their entries are read first, else only those of the rows are kept."""
    entries = await _entries(settings, shard, None) if wanted.reason is not None else {}
    found: deque[MessageDecision] = deque(maxlen=newest)
    async for decision in _decisions(settings, shard):
        if wanted.takes(decision, entries.get(decision.data.key)):
            found.append(decision)
    if wanted.reason is None:
        entries = await _entries(settings, shard, {one.data.key for one in found if one.outcome == "send"})
    return [_row(decision, entries.get(decision.data.key) if decision.outcome == "send" else None) for decision in found]


async def _decisions(settings: Settings, shard: int) -> AsyncIterator[MessageDecision]:
    from streamer.messages.decision import decode_decision
    from streamer.transports.kafka.partition import read_partition

    async with aclosing(read_partition(settings, LEDGER, shard)) as batches:
        async for records in batches:
            for record in records:
                try:
                    yield decode_decision(record.value or b"")
                except (msgspec.DecodeError, UnicodeDecodeError):
                    echo(f"no decision at offset {record.offset} of shard {shard} of the ledger", err=True)


async def _entries(settings: Settings, shard: int, keys: Collection[str] | None) -> dict[str, SendEntry]:
    """The newest entry of each of these messages, all for None; none where no sender has run yet."""
    from aiokafka.errors import UnknownTopicOrPartitionError

    from streamer.sender.ledger import read_entry
    from streamer.transports.kafka.partition import read_partition
    from streamer.transports.kafka.topics import check_topic

    found: dict[str, SendEntry] = {}
    if keys is not None and not keys:
        return found
    try:
        await check_topic(settings, SENDS)
        async with aclosing(read_partition(settings, SENDS, shard)) as batches:
            async for records in batches:
                for record in records:
                    entry = read_entry(record.value or b"")
                    if keys is None or entry.key in keys:
                        found[entry.key] = entry
    except (SettingsError, UnknownTopicOrPartitionError, RefusedError):
        return found
    return found


def _row(decision: MessageDecision, became: SendEntry | None) -> LedgerRow:
    data = decision.data
    row = LedgerRow(
        data.at, decision.subject, data.message, decision.outcome, data.key, data.reason or "", data.detail or "", data.until or ""
    )
    if became is not None:
        row.became, row.became_at = became.state, became.at
        row.became_detail = ", ".join(part for part in (became.reason, became.detail, became.until) if part)
    return row


def _line(row: LedgerRow) -> str:
    why = f" ({', '.join(part for part in (row.reason, row.detail) if part)})" if row.reason else ""
    until = f" until {row.until}" if row.until else ""
    became = f"; {row.became} {row.became_at}{f' ({row.became_detail})' if row.became_detail else ''}" if row.became else ""
    waits = "; no sender has tried it" if row.decided == "send" and not row.became else ""
    return f"{row.at} {row.customer} {row.message}: {row.decided}{why}{until}{became}{waits}"
