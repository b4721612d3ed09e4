"""``streamer explain`` and ``streamer erase``."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from streamer.commands import Erase
from streamer.customers.state import State
from streamer.errors import SettingsError, UnansweredError
from streamer.events.admission import TEXT_MAX
from streamer.events.codec import UNSAFE
from streamer.events.json_limits import is_whole_text
from streamer.flow.catalog import Plans
from streamer.flow.committed import CommittedCustomers
from streamer.flow.folding import FoldError
from streamer.flow.replay import Replay
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, load_definitions
from streamer.messages.explain import explain_message
from streamer.messages.planned import MessagePlan
from streamer.segments.explain import Explanation, explain
from streamer.segments.library import library_path
from streamer.segments.plan.plan import Plan
from streamer.stores.memory import MemoryStore
from streamer.suggest import nearest
from streamer.values import time_text

from . import EXIT_CODES
from .asking import WAIT_SECONDS, Wait, ask_worker
from .event_names import suggest_event_names, suggest_trait_names
from .event_source import (
    AHEAD,
    LATENESS,
    OWN,
    AheadOption,
    EventSource,
    FirstRefused,
    FormatName,
    LatenessOption,
    MappingName,
    SegmentsOption,
    SortOption,
    UntilOption,
    begin_ms,
    end_ms,
    length_ms,
)
from .explanation_text import explanation_lines
from .message_text import message_lines
from .terminal import echo, echo_json

if TYPE_CHECKING:
    from streamer.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("explain", epilog=EXIT_CODES, short_help="Say why a customer is in a segment or not, and until when.")(explain_customer)
    app.command("erase", epilog=EXIT_CODES, short_help="Forget a customer.")(erase)


def explain_customer(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="the customer's id")],
    segment: Annotated[str | None, typer.Option(metavar="NAME", help="only this segment")] = None,
    message: Annotated[
        str | None, typer.Option(metavar="NAME", help="this message instead of segments: all its tests, and when it is sent")
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="explain from a replay of this file, not from the store; may be repeated, - is standard input"),
    ] = None,
    segments: SegmentsOption = None,
    mapping: MappingName = None,
    format_name: FormatName = OWN,
    sort: SortOption = False,
    until: UntilOption = None,
    lateness: LatenessOption = LATENESS,
    ahead: AheadOption = AHEAD,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="as of then: a moment such as 2026-01-31T12:00:00Z, or a length such as 2h for so long ago"),
    ] = None,
    whole: Annotated[bool, typer.Option("--all", help="all segments, also the many that nothing but an event would change")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a segment, all of them, or one of the message")] = False,
) -> None:
    """Why a customer is in a segment, or what is missing, and when that turns if nothing happens. With --message, why they get a message
    or not: every test in its order with what it looked at, and what is decided when if nothing happens.

    First the segments they are in, then those that time alone will change and those whose way in is barred, then the rest. Each clause
    says yes or no and its value; where a value was cut, capped ("3 or more") or folded it says so.

    A customer has one answer, whichever of their ids is given: after a login a visitor's id leads to the user's.

    Asks the store, where workers keep what they know (see `streamer config`); with --events it replays files instead and needs no server.
    The options below --events are those of `streamer replay` and mean something only with it.

    With --at it says what held at a moment of the past: the customer is told anew from their own records in the log, under the definitions
    and models of then. An id that leads to another by now is who it was then; of somebody who was erased nothing is said. Of a time at
    which nothing was known of them, what was imported since says who they were, under the definitions in force now. The log must still
    have all their records, and workers must have noted where these lie (STREAMER_RECORD_OFFSETS).

    \b
      streamer explain c-17
      streamer explain c-17 --at 2h
      streamer explain c-17 --message cart_reminder
      streamer explain c-17 --segment cart_left --events events.ndjson --segments my_segments.yaml
    """
    if at is not None and events:
        raise typer.BadParameter("with --events it is --until that says when", param_hint="--at")
    if events:
        source = EventSource(events, mapping, format_name, sort, length_ms(ahead, option="--ahead"))
        rules = Rules(shards=1, lateness_ms=length_ms(lateness, option="--lateness"), placeholder_ids=source.placeholder_ids)
        definitions = load_definitions(*([Path(path) for path in segments or ()] or [library_path()]))
        answer = asyncio.run(_from_files(customer, source, definitions, rules, until))
    else:
        if segments or mapping or sort or until or format_name != OWN or lateness != LATENESS or ahead != AHEAD:
            raise typer.BadParameter(
                "without --events the answer comes from the store, and these say nothing", param_hint="options of a replay"
            )
        from streamer.settings import load_settings

        _check_id(customer)
        settings = load_settings()
        asking = _from_store(customer, settings) if at is None else _from_past(customer, settings, begin_ms(at, option="--at"))
        answer = asyncio.run(asking)
    for line in _about(customer, answer):
        echo(line, err=as_json)
    if message is not None:
        _print_message(answer, message, as_json=as_json)
        return
    found = answer.segments
    if segment is not None:
        known = [item.segment for item in found]
        found = [item for item in found if item.segment == segment]
        if not found:
            close = nearest(segment, known)
            raise SettingsError(f"there is no segment {segment!r}{f', did you mean {close!r}?' if close is not None else ''}")
    if as_json:
        for item in found:
            echo_json(item)
    else:
        for line in explanation_lines(answer.customer, found, answer.now_ms, whole=whole):
            echo(line)


def _about(customer: str, answer: _Explained) -> list[str]:
    """Of whom it is, and from where it is known, as far as that is not as expected."""
    verb = f"went by the id {answer.customer} then" if answer.is_past else f"goes by the id {answer.customer} by now"
    lines = [f"{customer} {verb}"] if answer.customer != customer else []
    if answer.is_of_history:
        lines.append("nothing was known of them then: imported history says it, under the definitions in force now")
    return lines


def _print_message(answer: _Explained, name: str, *, as_json: bool) -> None:
    plan = MessagePlan(answer.plan)
    number = plan.numbers.get(name)
    if number is None:
        close = nearest(name, list(plan.numbers))
        raise SettingsError(f"there is no message {name!r}{f', did you mean {close!r}?' if close is not None else ''}")
    found = explain_message(plan, answer.customer, answer.state, plan.messages[number], answer.now_ms, answer.paused)
    if as_json:
        echo_json(found)
    else:
        for line in message_lines(answer.customer, found, answer.now_ms):
            echo(line)


def _check_id(customer: str) -> None:
    """Refuse what no event can carry as an id, before anybody is asked about it or it gets into the log."""
    if not 0 < len(customer) <= TEXT_MAX or not is_whole_text(customer) or UNSAFE.search(customer):
        raise SettingsError(f"no customer has the id {customer!r}: expected 1 to {TEXT_MAX} characters, none of them a control character")


class _Explained(NamedTuple):
    """By which id the customer goes, their segments, and the moment for which all of it holds; ``is_past``: by which id they went then."""

    customer: str
    segments: list[Explanation]
    now_ms: int
    plan: Plan
    state: State
    paused: Sequence[str]
    is_past: bool = False
    is_of_history: bool = False


async def _from_store(asked: str, settings: Settings) -> _Explained:
    store = settings.open_store()
    try:
        customers = CommittedCustomers(store, settings.rules, Plans(store, settings.rules))
        found = await customers.look_up(asked)
        if found.view.body is None:
            raise SettingsError(f"shard {found.view.shard} has no checkpoint at {settings.shown()['store']}; has a worker run?")
        state = _known(found.state, found.customer, found.passed)
        # Time goes on while nobody writes: what is shown holds now, not at the last record.
        log_time_ms = found.view.log_time_ms
        now = max(log_time_ms, min(int(time() * 1_000), log_time_ms + settings.tick))
        segments, plan = await customers.explain(found, now), await customers.plan_of(found)
        return _Explained(found.customer, segments, now, plan, state, found.view.body.paused)
    finally:
        await store.close()


async def _from_past(asked: str, settings: Settings, at_ms: int) -> _Explained:
    """As of a moment, told anew from the customer's own records."""
    from streamer.deployment.past import PastCustomers

    store = settings.open_store()
    plans = Plans(store, settings.rules)
    pasts = PastCustomers.over(settings, store, plans)
    try:
        found = await CommittedCustomers(store, settings.rules, plans).look_up(asked)
        _known(found.state, found.customer, found.passed)
        then = await pasts.at(found, at_ms)
        if then is None:
            raise SettingsError(f"nothing was known of a customer {asked!r} at {time_text(at_ms)}")
        return _Explained(
            then.customer, then.explain(), at_ms, then.plan, then.state, then.body.paused, is_past=True, is_of_history=then.is_of_history
        )
    except FoldError as error:
        raise SettingsError(f"--at: {error}") from None
    except UnansweredError as error:
        raise SettingsError(f"STREAMER_KAFKA: {settings.kafka}: {error}") from None
    finally:
        await pasts.stop()
        await store.close()


async def _from_files(asked: str, source: EventSource, definitions: Definitions, rules: Rules, until: str | None) -> _Explained:
    run = await Replay.begin(definitions, MemoryStore(), rules, batch=1_000)
    refused = FirstRefused()
    async for said in run.feed(source.log(refused), batch=1_000):
        refused.take(said)
    if until is not None:
        async for _ in run.until(end_ms(until, run.body.log_time_ms)):
            pass
    names = (*suggest_event_names(definitions, source.names), *suggest_trait_names(definitions, source.traits))
    for hint in (*refused.hints(), *names):
        echo(f"hint: {hint}", err=True)
    now = run.body.log_time_ms
    found, state = await run.look_up(asked)
    known = _known(state, found.customer, found.passed)
    return _Explained(found.customer, explain(run.plan, known, now, reasons=run.in_words), now, run.plan, known, run.body.paused)


def _known(state: State | None, customer: str, passed: Sequence[str]) -> State:
    """The state; SettingsError when there is none."""
    if state is not None:
        return state
    if customer in passed:
        raise SettingsError(f"the ids of {customer!r} are being joined at this moment; ask again")
    by = f", by whom {passed[0]!r} goes" if passed else ""
    raise SettingsError(f"nothing is known of the customer {customer!r}{by}")


def erase(customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="the customer's id")], wait: Wait = WAIT_SECONDS) -> None:
    """Make the customer leave every segment, and forget them: the person, under every id, of which any may be given.

    A worker writes the erasure into the log of the customer's shard. Where none runs this ends with exit code 5, and the first one to be
    started within a week does it.

    From then on the store holds nothing of them but a hash of the id, for twice STREAMER_LATENESS: by it, events from before the erasure
    that arrive after it are dropped (counted as of_erased) and bring nobody back. An event with a later timestamp is that of a new
    customer. A shard keeps 10,000 such hashes; of more erasures within that time the oldest are forgotten. A rebuild of the log comes to
    the same erasure. Their ids are those that the log ties together by then: erase each that only imported history ties to them, too.

    What remains, and what ends it:

    \b
      the events           in PREFIX.events, until its retention.ms or retention.bytes (made by us: for ever)
      imported history     in PREFIX.history, with the id; likewise
      segment changes      in PREFIX.segment-changes, with the id; likewise. Your readers' copies are yours
      decisions            in PREFIX.messages, with id and address; for 37 days. In PREFIX.ledger, with the id; for ever
      refused events       in PREFIX.dead-letters, as raw bytes; likewise
      training examples    in PREFIX.examples, figures without the id; likewise
      the command          in PREFIX.commands, with the id; for two weeks
      Redis on disk        in its append-only file until that is rewritten (BGREWRITEAOF), in dumps and in backups

    A log must be kept for as long as an empty store is to be filled from it again: retention ends that, too.
    """
    from streamer.settings import load_settings

    _check_id(customer)
    ask_worker(load_settings(), Erase(customer), wait)
    what = f"erasure of {customer} is in the log, and erases the person under every id"
    echo(f"{what}; `streamer erase --help` says what remains of them, and what ends it")
