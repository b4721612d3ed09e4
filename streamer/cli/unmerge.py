"""``streamer customers unmerge``: two who were joined by mistake are two customers again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.commands import UnmergeIds
from streamer.customers.state import State
from streamer.errors import RefusedError, SettingsError, StreamerError
from streamer.flow.catalog import Plans
from streamer.flow.checkpoint import CheckpointBody
from streamer.flow.own_past import OwnPast, told_of
from streamer.flow.step import Step
from streamer.segments.plan.plan import Plan
from streamer.stores.base import Store
from streamer.values import time_text
from streamer.wire import CUSTOMER_CHARS_MAX, is_customer, shard_of

from .asking import WAIT_SECONDS, Wait, ask_worker
from .terminal import echo

if TYPE_CHECKING:
    from streamer.deployment.unmerging import Parting
    from streamer.settings import Settings


def unmerge(
    old: Annotated[str, typer.Argument(metavar="OLD", help="an id that was joined into another one, and is to be a customer again")],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="the reason, for whoever reads the command later")] = "",
    survivor: Annotated[
        str | None, typer.Option("--from", metavar="ID", help="who OLD goes by; where it is somebody else, nothing is done")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would happen, and do nothing")] = False,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Take a merge back: OLD is a customer again, as if it had never been joined, and so is who it went by.

    Both are told anew by what was said of each: what came with their own ids, before the merge and after it. Ids that were joined into OLD
    before stay with it. Both may enter and leave segments then, with the cause `unmerge`; no message begins by that.
    What was sent to the two, and the examples that models have learned from, stay as they are.

    From then on a login that names both ids does not join them again; an `alias` does, and so does `streamer customers merge`.

    The logs of all shards are read twice to say what comes of it, twice more to do it, and must reach back to their beginnings. It is
    refused where the two have more than 20,000 events or more than fit into one record of 1 MB packed, for a device of several people, and
    while imported history is being brought in. History that is a part of the past is told with the rest; once somebody was parted no more
    is brought in, since they would not have it.

    \b
      streamer customers unmerge an-17 --dry-run
      streamer customers unmerge u-18 --from u-17 --why "two people behind one mail address"
    """
    from streamer.settings import load_settings

    for id_ in (old, *([] if survivor is None else [survivor])):
        if not is_customer(id_):
            raise SettingsError(
                f"no customer has the id {id_!r}: expected 1 to {CUSTOMER_CHARS_MAX} characters of UTF-8, none that controls"
            )
    settings = load_settings()
    goes_by, lines = asyncio.run(_foreseen(old, survivor, settings))
    for line in lines:
        echo(line, err=not dry_run)
    if dry_run:
        return
    answer = ask_worker(settings, UnmergeIds(old, goes_by, why), wait)
    echo(f"{answer.text}; `streamer customers show {old}` has the result within a second or two")


async def _foreseen(old: str, survivor: str | None, settings: Settings) -> tuple[str, list[str]]:
    """Who ``old`` goes by, and what the two are now and then."""
    from aiokafka.errors import KafkaError

    from streamer.deployment.unmerging import control_of, tell_apart

    store = settings.open_store()
    try:
        parting = await tell_apart(settings, store, old, survivor)
        control_of(parting)  # it may be too large
        return parting.survivor, await _lines(parting, store, settings)
    except (KafkaError, TimeoutError, OSError) as error:
        raise SettingsError(f"STREAMER_KAFKA: {settings.kafka} did not do its part ({type(error).__name__}); try again") from None
    finally:
        await store.close()


async def _lines(parting: Parting, store: Store, settings: Settings) -> list[str]:
    view, state, plans = parting.found.view, parting.found.state, Plans(store, settings.rules)
    assert view.body is not None, "a shard that has customers has a checkpoint"
    assert state is not None, "who is not known was refused"
    plan = await plans.get(view.body.digest, view.shard)
    scorers = await plans.scorers.in_force(view.body, view.shard)

    def then(customer: str, past: OwnPast) -> list[str]:
        step = Step(shard_of(customer, settings.shards), settings.rules, CheckpointBody(), b"", plan, scorers=scorers)
        return _described(plan, past, _told(step, customer, past, settings, view.log_time_ms))

    before = [f"  in {name} since {since}" for name, since in memberships(plan, state).items()]
    return [
        f"{parting.survivor} now, with {parting.old}",
        *(before or ["  in no segment"]),
        f"{parting.survivor} then",
        *then(parting.survivor, parting.own),
        f"{parting.old} then",
        *then(parting.old, parting.past),
    ]


def _told(step: Step, customer: str, past: OwnPast, settings: Settings, now_ms: int) -> State | None:
    try:
        return step.retold(customer, told_of(past, customer, frozenset(settings.rules.placeholder_ids)), now_ms)
    except RefusedError as error:
        raise StreamerError(f"an event that counted cannot be read any more: {error}") from None


def _described(plan: Plan, past: OwnPast, state: State | None) -> list[str]:
    others = [f"  also {id_}" for id_ in past.ids[1:]]
    if state is None:
        return ["  unknown: nothing that was said of them counts", *others]
    inside = [f"  in {name} since {since}" for name, since in memberships(plan, state).items()]
    return [f"  {len(past.events):,} event{'s' * (len(past.events) != 1)}", *(inside or ["  in no segment"]), *others]


def memberships(plan: Plan, state: State) -> dict[str, str]:
    """The segments that a customer is in, by name, and since when."""
    numbers = plan.known_numbers
    since = {name: state.members[number].at_ms + state.origin_ms for name, number in numbers.items() if state.is_inside(number)}
    return {name: time_text(at_ms) for name, at_ms in sorted(since.items())}


__all__ = ["memberships", "unmerge"]
