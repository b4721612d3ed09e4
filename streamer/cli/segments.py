"""``streamer segments``: definitions checked, previewed, published, and followed on their way into the shards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.errors import DefinitionError
from streamer.flow.catalog import compile_plan
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, load_definitions
from streamer.language.lint.linter import lint
from streamer.values import time_text

from . import EXIT_CODES, EXIT_NO, segment_cost, segment_members
from .checks.finding import shard_numbers
from .event_source import numbered
from .segment_preview import ALL, Paths, ShareOption, preview, print_difference
from .terminal import echo, echo_json
from .worker import Create

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

    from streamer.deployment.publishing import Proposal
    from streamer.segments.plan.plan import Plan
    from streamer.sender.template_check import TemplateFault
    from streamer.settings import Settings
    from streamer.stores.base import Store


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Check, preview and publish segments and messages.",
        no_args_is_help=True,
        epilog=EXIT_CODES,
        rich_markup_mode=None,
    )
    group.command("check", epilog=EXIT_CODES, short_help="Say what is wrong with definitions, and what is suspicious.")(check)
    group.command("preview", epilog=EXIT_CODES, short_help="Say whom segments would catch, before they are published.")(preview)
    group.command("publish", epilog=EXIT_CODES, short_help="Make the workers use these definitions.")(publish)
    group.command("sizes", epilog=EXIT_CODES, short_help="Say how large segments are, and who came and went.")(sizes)
    segment_cost.register(group)
    group.command("status", epilog=EXIT_CODES, short_help="Say which version holds where, and how far the next one is.")(status)
    group.command("diff", epilog=EXIT_CODES, short_help="Say who would enter and leave by the version in shadow.")(diff)
    group.command("cut-over", epilog=EXIT_CODES, short_help="Make the workers use the version that is in shadow.")(cut_over)
    group.command("rollback", epilog=EXIT_CODES, short_help="Go back to the version that held before.")(rollback)
    group.command("cancel", epilog=EXIT_CODES, short_help="Give up a version that is in shadow, or on its way.")(cancel)
    segment_members.register(group)
    app.add_typer(group, name="segments")


def check(
    paths: Paths,
    templates: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="the templates of messages: is each there, and has its message the facts that it needs?"),
    ] = None,
    log: Annotated[
        bool, typer.Option("--log", help="ask the deployment how far its log reaches: which clauses look further back?")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a finding")] = False,
) -> None:
    """Say what is wrong with definitions, and what is suspicious.

    Wrong is what cannot be loaded: the place (file, line, column), what was expected, what was found. Suspicious is what loads and hardly
    means what it says: never true, always true, never left; a message that nobody gets, or that begins itself. Exit code 1 when something
    is wrong; suspicions alone are 0.
    """
    try:
        definitions = load_definitions(*paths)
        faults = _faults(definitions, templates)
    except DefinitionError as error:
        _print("error", error.file, error.line, error.column, error.message, error.hint, as_json=as_json)
        raise typer.Exit(EXIT_NO) from None
    plan = compile_plan(definitions, Rules())
    for message, text, hint in faults:
        _print("error", message.file, message.line, 0, f"message {message.name}: {text}", hint, as_json=as_json)
    findings = lint(definitions)
    for finding in findings:
        _print("suspicious", finding.file, finding.line, 0, f"{finding.about}: {finding.message}", "", as_json=as_json)
    if log:
        _print_beyond(plan, as_json=as_json)
    if not as_json:
        echo(f"{contents_of(definitions)}, {len(findings)} suspicious")
    if faults:
        raise typer.Exit(EXIT_NO)


def _print_beyond(plan: Plan, *, as_json: bool) -> None:
    """The clauses that look further back than the deployment's log reaches: they know what came since then, and no more."""
    from streamer.previews.reach import beyond, log_reach_ms
    from streamer.settings import load_settings

    reach_ms = asyncio.run(log_reach_ms(load_settings()))
    if reach_ms is None:
        return
    for segment, clause in beyond(plan, reach_ms, int(time() * 1_000)):
        text = f"{segment}: {clause} looks further back than the log reaches, which has events since {time_text(reach_ms)}"
        _print("warming", "", 0, 0, text, "", as_json=as_json)


def _faults(definitions: Definitions, templates: Path | None) -> list[TemplateFault]:
    if templates is None:
        return []
    from streamer.sender.template_check import template_faults

    return list(template_faults(definitions, templates))


def contents_of(definitions: Definitions) -> str:
    """How many segments and messages: ``3 segments, 1 message``. Messages are named where there are any."""
    segments = numbered(len(definitions.segments), "segment")
    return f"{segments}, {numbered(len(definitions.messages), 'message')}" if definitions.messages else segments


def _print(level: str, file: str, line: int, column: int, message: str, hint: str, *, as_json: bool) -> None:
    if as_json:
        found = {"level": level, "file": file, "line": line, "column": column, "message": message, "hint": hint}
        echo_json(found)
        return
    place = ":".join(str(part) for part in (file, line or "", column or "") if part)
    text = f"{level}: {message}{f' ({hint})' if hint else ''}"
    echo(f"{place}: {text}" if place else text)


WaitOption = Annotated[bool, typer.Option("--wait", help="return when every shard obeys; how far they are goes to standard error")]
ShadowOption = Annotated[bool, typer.Option("--shadow", help="fold them beside what holds, and say nothing of them before cut-over")]


DryRunOption = Annotated[bool, typer.Option("--dry-run", help="write nothing: say how many would enter and leave, by segment")]


def publish(
    paths: Paths,
    create: Create = False,
    wait: WaitOption = False,
    shadow: ShadowOption = False,
    dry_run: DryRunOption = False,
    share: ShareOption = ALL,
) -> None:
    """Make the workers use these definitions. They replace all that hold now.

    It is a proposal: the worker of each shard folds the past for what is new, beside the events that come, and the shard switches at one
    position of its log then, from there on with 250 customers a second. `streamer segments status` says how far that is, and `cancel`
    ends it. Without a worker it waits for one. Who no longer qualifies leaves, with that cause; a clause that looks further back than the
    log reaches is marked as warming until its window has been seen. With --shadow nothing is said and nobody switches before
    `streamer segments cut-over`.

    The topics of a new log are made, which is said; where the cluster has another log already, only with --create. What is to hold already
    is not published again. Where STREAMER_TEMPLATES names a folder, each message must have its template there, and the facts that it needs.

    With --dry-run the log is told anew in memory, as `streamer segments preview` does, and compared with who is in which segment now; with
    --share on a part of the customers.
    """
    from .segment_status import follow

    if dry_run:
        print_difference(load_definitions(*paths), share)
        return
    if share != ALL:
        raise typer.BadParameter("only --dry-run looks at a part of the customers", param_hint="--share")

    settings, proposal, definitions = asyncio.run(_publish(paths, create=create, shadow=shadow))
    _say_proposal(settings, proposal, contents_of(definitions))
    if wait and not shadow:
        asyncio.run(follow(settings, proposal.publication.version))


async def _publish(paths: list[Path], *, create: bool, shadow: bool) -> tuple[Settings, Proposal, Definitions]:
    from streamer.deployment.connecting import starting
    from streamer.deployment.publishing import publish_definitions
    from streamer.settings import load_settings

    settings = load_settings(**({"create": True} if create else {}))
    definitions = load_definitions(*paths)
    for message, text, hint in _faults(definitions, settings.templates):
        raise DefinitionError(f"the message {message.name!r} {text}", file=message.file, line=message.line, hint=hint)
    async with starting(settings, made=_say_topics) as (client, store):
        return settings, await publish_definitions(settings, client, store, *paths, shadow=shadow), definitions


def _say_proposal(settings: Settings, proposal: Proposal, contents: str) -> None:
    found = proposal.publication
    name = f"version {found.version} ({found.digest})"
    if not proposal.is_new:
        already = "in shadow" if found.is_shadow else "published"
        echo(f"already {already} as {name}: nothing was published")
        return
    if found.is_shadow:
        echo(f"published {name} in shadow: {contents}; `streamer segments diff` compares it, `streamer segments cut-over` makes it hold")
        return
    echo(f"published {name} to {settings.shards} shards: {contents}")
    if proposal.waiting:
        from .segment_status import words_on_waiting

        echo(asyncio.run(words_on_waiting(settings, proposal.waiting)), err=True)


def _say_topics(names: list[str]) -> None:
    echo(f"a new log begins: made the topics {', '.join(names)}", err=True)


def sizes(as_json: Annotated[bool, typer.Option("--json", help="one JSON object a segment")] = False) -> None:
    """How large each segment in force is, who entered and left it in the last 24 hours, and who will within the hour by time alone.

    Sizes are those that the shards have committed. Entries and exits are counted from the topic of changes, its newest 100,000 at most.
    Who will enter or leave is known from timers, of 2,000 customers at most: where there are more, a + stands behind the number.
    """
    from streamer.settings import load_settings

    from .segment_sizes import read_sizes, size_text

    for line in asyncio.run(read_sizes(load_settings())):
        if as_json:
            echo_json(line)
        else:
            echo(size_text(line))


def status(as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False, wait: WaitOption = False) -> None:
    """Which version of the definitions holds in which shards, how far the next one is, and which clauses are warming.

    A clause is warming where the log does not reach as far back as it looks; it says since when events are known. With --wait that is said
    when every shard obeys what was published last. Exit code 1 while a shard does not.
    """
    from streamer.settings import load_settings

    from .segment_status import follow, read_status, say_status

    settings = load_settings()
    found = asyncio.run(read_status(settings))
    if wait and found.newest is not None and not found.is_obeyed:
        asyncio.run(follow(settings, found.newest.version))
        found = asyncio.run(read_status(settings))
    if as_json:
        echo_json(found)
    else:
        say_status(found)
    if not found.is_obeyed:
        raise typer.Exit(EXIT_NO)


def diff(as_json: Annotated[bool, typer.Option("--json", help="one JSON object a segment")] = False) -> None:
    """Who would enter and leave by the version that is in shadow: of each segment that is new, changed or gone how many are inside now and
    would be, and some of those who come and go.

    It compares what the workers have folded with what holds. A shard whose lane has not come to the end of the log, or that is on its way
    to other definitions, is left out, which is said: exit code 1 then; `streamer segments status` says how far it is. Segments that ask a
    new model, or refer to one that does, begin as they are: what that model would have said is not known before the cut-over.
    """
    from streamer.settings import load_settings

    from .segment_difference import read_difference, say_difference

    found = asyncio.run(read_difference(load_settings()))
    if as_json:
        for one in found.segments:
            echo_json(one)
    else:
        say_difference(found)
    if found.left_out:
        echo(f"left out: {shard_numbers(found.left_out)}; see `streamer segments status`", err=True)
        raise typer.Exit(EXIT_NO)


def cut_over(wait: WaitOption = False) -> None:
    """Make the workers use the version that is in shadow: each shard switches at one position of its log, at once."""
    from streamer.deployment import publishing

    _publish_again(publishing.cut_over, wait=wait)


def rollback(wait: WaitOption = False) -> None:
    """Go back to the version that held before the newest one. It gets a number of its own, as numbers only rise.

    A version that was given up, or overtaken, before any shard obeyed it is passed over.
    """
    from streamer.deployment import publishing

    _publish_again(publishing.roll_back, wait=wait)


def cancel(wait: WaitOption = False) -> None:
    """Give up the version that is in shadow; where none is, the newest one while a shard does not obey it yet.

    What held before is published once more, under a new number. Refused while some shards have switched already and others have not: those
    wait for these. Exit code 1 where every shard obeys the newest version: `streamer segments rollback` goes back then.
    """
    from streamer.deployment import publishing
    from streamer.settings import load_settings

    from .segment_status import read_status

    found = asyncio.run(read_status(load_settings()))
    if found.shadow is None and found.is_obeyed:
        echo("every shard obeys what was published last, so there is nothing to cancel; `streamer segments rollback` goes back", err=True)
        raise typer.Exit(EXIT_NO)
    _publish_again(publishing.cancel, wait=wait)


PublishAgain = Callable[["Settings", "AIOKafkaProducer", "Store"], Awaitable["Proposal"]]


def _publish_again(again: PublishAgain, *, wait: bool) -> None:
    """Publish once more what was published before, and say so."""
    from streamer.deployment.connecting import starting
    from streamer.settings import load_settings

    from .segment_status import follow

    settings = load_settings()

    async def run() -> Proposal:
        async with starting(settings, may_begin=False) as (client, store):
            return await again(settings, client, store)

    proposal = asyncio.run(run())
    _say_proposal(settings, proposal, "as it was published before")
    if wait:
        asyncio.run(follow(settings, proposal.publication.version))
