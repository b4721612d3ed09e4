"""``streamer segments``: check, preview and publish definitions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.errors import DefinitionError
from streamer.flow.catalog import compile_plan
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, load_definitions
from streamer.language.lint.linter import lint

from . import EXIT_CODES, EXIT_NO
from .event_source import numbered
from .segment_preview import ALL, Paths, ShareOption, preview, print_difference
from .terminal import echo, echo_json
from .worker import Create

if TYPE_CHECKING:
    from .template_check import TemplateFault


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Check segments and messages, look at whom they would catch, and publish them to the workers.",
        no_args_is_help=True,
        epilog=EXIT_CODES,
        rich_markup_mode=None,
    )
    group.command("check", epilog=EXIT_CODES, short_help="Say what is wrong with definitions, and what is suspicious.")(check)
    group.command("preview", epilog=EXIT_CODES, short_help="Say whom segments would catch, before they are published.")(preview)
    group.command("publish", epilog=EXIT_CODES, short_help="Make the workers use these definitions.")(publish)
    app.add_typer(group, name="segments")


def check(
    paths: Paths,
    templates: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="the templates of messages: is each there, and has its message the facts that it needs?"),
    ] = None,
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
    compile_plan(definitions, Rules())
    for message, text, hint in faults:
        _print("error", message.file, message.line, 0, f"message {message.name}: {text}", hint, as_json=as_json)
    findings = lint(definitions)
    for finding in findings:
        _print("suspicious", finding.file, finding.line, 0, f"{finding.about}: {finding.message}", "", as_json=as_json)
    if not as_json:
        echo(f"{contents_of(definitions)}, {len(findings)} suspicious")
    if faults:
        raise typer.Exit(EXIT_NO)


def _faults(definitions: Definitions, templates: Path | None) -> list[TemplateFault]:
    if templates is None:
        return []
    from .template_check import template_faults

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


def publish(
    paths: Paths,
    create: Create = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="write nothing: say how many would enter and leave, by segment")] = False,
    share: ShareOption = ALL,
) -> None:
    """Make the workers use these definitions. They replace all that hold now.

    Each shard switches at one position of its log. Who no longer qualifies leaves, with that cause; a clause that looks further back than
    what is remembered is marked as warming until its window has been seen. The topics of a new log are made, which is said; where the
    cluster has another log already, only with --create. What is in force already is not published again. Where STREAMER_TEMPLATES names a
    folder, each message must have its template there, and the facts that it needs.

    With --dry-run the log is told anew in memory, as `streamer segments preview` does, and compared with who is in which segment now; with
    --share on a part of the customers.
    """
    if dry_run:
        print_difference(load_definitions(*paths), share)
        return
    if share != ALL:
        raise typer.BadParameter("only --dry-run looks at a part of the customers", param_hint="--share")
    echo(asyncio.run(_publish(paths, create=create)))


async def _publish(paths: list[Path], *, create: bool) -> str:
    from streamer.deployment.connecting import starting
    from streamer.deployment.publishing import publish_definitions
    from streamer.settings import load_settings

    settings = load_settings(**({"create": True} if create else {}))
    definitions = load_definitions(*paths)
    for message, text, hint in _faults(definitions, settings.templates):
        raise DefinitionError(f"the message {message.name!r} {text}", file=message.file, line=message.line, hint=hint)
    async with starting(settings, made=_say_topics) as (client, store):
        found, is_new = await publish_definitions(settings, client, store, *paths)
    if not is_new:
        return f"already in force as version {found.version} ({found.digest}): nothing was published"
    return f"published version {found.version} ({found.digest}) to {settings.shards} shards: {contents_of(definitions)}"


def _say_topics(names: list[str]) -> None:
    echo(f"a new log begins: made the topics {', '.join(names)}", err=True)
