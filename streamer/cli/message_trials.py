"""``streamer messages preview`` and ``test``: what somebody would read, and a message to oneself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated

import typer

from . import EXIT_CODES, EXIT_SETTINGS
from .terminal import echo, echo_json

if TYPE_CHECKING:
    from streamer.sender.channels import Attempt, Outgoing
    from streamer.settings import Settings

MessageArgument = Annotated[str, typer.Argument(metavar="MESSAGE", help="the name of a message in the definitions in force")]
CustomerArgument = Annotated[str, typer.Argument(metavar="CUSTOMER", help="any id of a customer who is known")]
TemplatesOption = Annotated[Path | None, typer.Option("--templates", metavar="FOLDER", help="folder of templates; also STREAMER_TEMPLATES")]
LanguageOption = Annotated[str | None, typer.Option("--language", metavar="TAG", help="in this language instead of the customer's")]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("preview", epilog=EXIT_CODES, short_help="What a customer would read.")(preview)
    group.command("test", epilog=EXIT_CODES, short_help="Send it to yourself, with a customer's facts.")(send_test)


def preview(
    message: MessageArgument,
    customer: CustomerArgument,
    templates: TemplatesOption = None,
    language: LanguageOption = None,
    html: Annotated[bool, typer.Option("--html", help="the HTML part alone, for a browser")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """What a customer would read if the message were sent now, with what is known of them. Nothing is sent, and nothing is written.

    It does not say whether the message would be sent: `streamer explain CUSTOMER --message MESSAGE` does.
    """
    from streamer.printable import printable
    from streamer.sender.channels.console import page_of

    found = asyncio.run(_made(message, customer, _settings(templates), language))
    content = found.content
    if as_json:
        echo_json({"subject": content.subject, "text": content.text, "html": content.html, "language": content.language})
    elif html:
        for line in content.html.splitlines():
            echo(printable(line))
    else:
        for line in page_of(found):
            echo(line)


def send_test(
    message: MessageArgument,
    customer: CustomerArgument,
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="your own address, and not the customer's")],
    templates: TemplatesOption = None,
    language: LanguageOption = None,
) -> None:
    """Send a message to an address of yours, with a customer's facts, and with [test] before its subject.

    It goes out by the message's channel at once, whatever would hold the message back. No event says so, and it counts for no cap. Its
    link to unsubscribe is left out: it would unsubscribe the customer.
    """
    from streamer.sender.channels import Accepted

    attempt = asyncio.run(_sent(message, customer, to, _settings(templates), language))
    if isinstance(attempt, Accepted):
        echo(f"the server has it: {attempt.detail}" if attempt.detail else "sent")
        return
    echo(f"not sent, or nobody can tell: {attempt.detail}", err=True)
    raise typer.Exit(EXIT_SETTINGS)


def _settings(templates: Path | None) -> Settings:
    from streamer.settings import load_settings

    return load_settings(**({"templates": templates} if templates is not None else {}))


async def _sent(message: str, customer: str, to: str, settings: Settings, language: str | None) -> Attempt:
    from streamer.sender.test_send import send_to

    found = await _made(message, customer, settings, language)
    return await send_to(settings, found, to, echo, lambda: int(time() * 1_000))


async def _made(message: str, customer: str, settings: Settings, language: str | None) -> Outgoing:
    """The message as it would leave now."""
    from streamer.flow.catalog import Plans
    from streamer.flow.committed import CommittedCustomers
    from streamer.sender.channels import Outgoing
    from streamer.sender.preview import content_now, decision_of
    from streamer.sender.process import read_templates

    templates = read_templates(settings)
    store = settings.open_store()
    try:
        committed = CommittedCustomers(store, settings.rules, Plans(store, settings.rules))
        decision = await decision_of(committed, message, customer, settings.log_generation)
    finally:
        await store.close()
    decision, content = content_now(decision, templates, language)
    return Outgoing(decision, decision.data.address or "no address", content)
