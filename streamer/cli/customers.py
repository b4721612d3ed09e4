"""``streamer customers``: who somebody is, by whatever id one asks, and that two ids are one person's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from streamer.commands import MergeIds
from streamer.errors import SettingsError
from streamer.flow.catalog import Plans
from streamer.flow.committed import CommittedCustomers
from streamer.flow.lookup import look_up
from streamer.values import time_text
from streamer.wire import CUSTOMER_CHARS_MAX, is_customer

from . import EXIT_CODES, customer_export, erasure_proof
from .asking import WAIT_SECONDS, Wait, ask_worker
from .terminal import echo, echo_json
from .unmerge import memberships, unmerge

if TYPE_CHECKING:
    from streamer.settings import Settings

CustomerId = Annotated[str, typer.Argument(metavar="CUSTOMER", help="any id of theirs")]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Say who customers are and what is known; join and part them.",
        no_args_is_help=True,
        epilog=EXIT_CODES,
        rich_markup_mode=None,
    )
    group.command("show", epilog=EXIT_CODES, short_help="The segments a customer is in, and their other ids.")(show)
    group.command("links", epilog=EXIT_CODES, short_help="The ids of a person, and since when they are linked.")(show_links)
    customer_export.register(group)
    erasure_proof.register(group)
    group.command("merge", epilog=EXIT_CODES, short_help="Say that two ids are one person's.")(merge)
    group.command("unmerge", epilog=EXIT_CODES, short_help="Have an id that was joined into another be a customer again.")(unmerge)
    app.add_typer(group, name="customers")


class KnownCustomer(msgspec.Struct, omit_defaults=True):
    """Who somebody is. ``passed``: the ids that led from the one that was asked for to ``customer``. Times are log time."""

    customer: str
    segments: dict[str, str]  # by name, since when
    links: dict[str, str]  # by id, since when; empty: it came to light while ids pointed at each other in a circle
    passed: list[str] = []


def show(customer: CustomerId, as_json: JsonOption = False) -> None:
    """The segments a customer is in and since when, and the ids under which they were known.

    An old id is followed to who they are now. `streamer explain` says why they are in a segment, and until when.
    """
    found = _asked(customer)
    if as_json:
        echo_json(found)
        return
    _echo_passed(found)
    echo(found.customer)
    for name, since in found.segments.items():
        echo(f"  in {name} since {since}")
    if not found.segments:
        echo("  in no segment")
    for line in _link_lines(found):
        echo(line)


def show_links(customer: CustomerId, as_json: JsonOption = False) -> None:
    """The ids of the person to whom an id belongs, and since when each is linked: the newest 50.

    Older ones still lead here, but are not listed. By which event two ids were linked stands in `customer.merged` under `data.cause`, in
    the topic of segment changes.
    """
    found = _asked(customer)
    if as_json:
        echo_json({"customer": found.customer, "links": found.links, "passed": found.passed})
        return
    _echo_passed(found)
    echo(found.customer)
    for line in _link_lines(found) or ["  no other id"]:
        echo(line)


def _asked(customer: str) -> KnownCustomer:
    from streamer.settings import load_settings

    _check_id(customer)
    return asyncio.run(_look(customer, load_settings()))


def _check_id(customer: str) -> None:
    if not is_customer(customer):
        raise SettingsError(
            f"no customer has the id {customer!r}: expected 1 to {CUSTOMER_CHARS_MAX} characters of UTF-8, none that controls"
        )


def _echo_passed(found: KnownCustomer) -> None:
    for id_ in found.passed:
        echo(f"{id_} goes by another id by now")


def _link_lines(found: KnownCustomer) -> list[str]:
    return [f"  also {id_}{f', linked {since}' if since else ''}" for id_, since in found.links.items()]


async def _look(asked: str, settings: Settings) -> KnownCustomer:
    store = settings.open_store()
    try:
        customers = CommittedCustomers(store, settings.rules, Plans(store, settings.rules))
        found = await customers.look_up(asked)
        if found.state is None:
            raise SettingsError(f"nothing is known of the customer {found.customer!r}")
        segments = memberships(await customers.plan_of(found), found.state)
        links = {id_: time_text(linked_ms) if linked_ms else "" for id_, linked_ms in found.state.links.items()}
        return KnownCustomer(found.customer, segments, links, list(found.passed))
    finally:
        await store.close()


def merge(
    old: Annotated[str, typer.Argument(metavar="OLD", help="an id of the person that they are no longer to go by")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="the id that they go by from now on")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would happen, and do nothing")] = False,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Say that OLD and NEW are one person, who goes by NEW from now on. `streamer customers unmerge` takes it
    back.

    A worker writes an `alias` into the log, as a server of yours may do. Then OLD leaves every segment, NEW has the past of both and enters
    what it is not in, and what comes in under OLD counts for NEW. Where OLD is another id of somebody already, that person is joined. Asked
    for twice, it happens once.
    """
    from streamer.settings import load_settings

    _check_id(old)
    _check_id(new)
    settings = load_settings()
    what = asyncio.run(_foreseen(old, new, settings))
    echo(what.said, err=True)
    if what.is_nothing or dry_run:
        return
    answer = ask_worker(settings, MergeIds(old, new), wait)
    echo(f"{answer.text}; `streamer customers show {new}` has the result within a second or two")


class _Foreseen(msgspec.Struct):
    """What a merge will come to, as the store is now."""

    said: str
    is_nothing: bool = False


async def _foreseen(old: str, new: str, settings: Settings) -> _Foreseen:
    store = settings.open_store()
    try:
        before, after = await look_up(store, old, settings.shards), await look_up(store, new, settings.shards)
    finally:
        await store.close()
    if old == new:
        raise SettingsError("both are the same id; expected two of one person")
    if before.customer == after.customer and old != after.customer:
        return _Foreseen(f"{old} and {new} are one person already, who goes by {after.customer}: nothing is to be done", is_nothing=True)
    loses = "leaves every segment, and its past comes to" if before.state is not None else "is unknown; its later events count for"
    way = f"{old} goes by {before.customer}, who" if before.customer != old else old
    end = f"{new}, who goes by {after.customer}" if after.customer != new else new
    return _Foreseen(f"{way} {loses} {end}")
