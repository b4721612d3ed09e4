"""``streamer webhooks``: who gets changes by HTTP, and the process that sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from secrets import token_hex
from time import time
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from streamer.errors import SettingsError

from . import EXIT_CODES, EXIT_NO
from .terminal import echo, echo_json

if TYPE_CHECKING:
    from streamer.settings import Settings
    from streamer.webhooks.records import DeliveryLine
    from streamer.webhooks.resending import ResendCount
    from streamer.webhooks.subscription import ChangeType, Start, Status, Subscription

T = TypeVar("T")
PERCENT: Final = 100  # ten-thousandths

Name = Annotated[str, typer.Argument(metavar="NAME", help="the subscription's name")]
LinesOption = Annotated[bool, typer.Option("--json", help="one JSON object a line")]
FromOption = Annotated[
    str, typer.Option("--from", metavar="now|beginning|TIME", help="the first change: from now on, all that are kept, or from a time on")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Send segment changes by HTTP, and say to whom.",
        no_args_is_help=True,
        epilog=EXIT_CODES,
        rich_markup_mode=None,
    )
    group.command("run", epilog=EXIT_CODES, short_help="Deliver; as many of these may run as you like.")(run)
    group.command("add", epilog=EXIT_CODES, short_help="Make a subscription, or replace the one of that name.")(add)
    group.command("list", epilog=EXIT_CODES, short_help="One line a subscription.")(list_all)
    group.command("show", epilog=EXIT_CODES, short_help="One subscription, and how far it is.")(show)
    group.command("pause", epilog=EXIT_CODES, short_help="Deliver nothing to it until it is resumed.")(pause)
    group.command("resume", epilog=EXIT_CODES, short_help="Go on where it was paused or disabled.")(resume)
    group.command("test", epilog=EXIT_CODES, short_help="Send an example, signed, and say what came back.")(test)
    group.command("replay", epilog=EXIT_CODES, short_help="Deliver again from a time or a place on, under the same ids.")(replay)
    group.command("log", epilog=EXIT_CODES, short_help="The attempts of the last seven days.")(show_log)
    group.command("remove", epilog=EXIT_CODES, short_help="End a subscription.")(remove)
    group.command("secret", epilog=EXIT_CODES, short_help="Draw a new secret.")(secret)
    app.add_typer(group, name="webhooks")


def run(
    web_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="where /metrics, /livez and /readyz are; also STREAMER_WEBHOOK_WEB_PORT")
    ] = None,
) -> None:
    """Deliver the changes of all active subscriptions, until Ctrl-C or SIGTERM; it ends within ten seconds.

    Each subscription is a consumer group, so further processes share its shards. The changes of one customer go out in their order, one
    after the other; one that fails holds up its own customer, and those who share one of 64 lanes of the shard. An answer of 2xx is a
    success. Anything else is tried again after 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h; then it goes to the topic webhook-dead.
    Where ten changes in a row fail, an endpoint gets only probes until one succeeds; after five days of nothing but failures, or an
    answer 410, the subscription is disabled. After a crash some are delivered again, under the same webhook-id.
    """
    from streamer.stopping import Stopping

    with Stopping() as stopping:  # before anything is imported that takes its time
        from streamer.settings import load_settings
        from streamer.telemetry.log_lines import configure_logging
        from streamer.webhooks.process import run_webhooks

        settings = load_settings(**({"webhook_web_port": web_port} if web_port is not None else {}))
        configure_logging(settings.log_level)
        asyncio.run(run_webhooks(settings, stopping))


def add(
    name: Name,
    url: Annotated[str, typer.Option(metavar="URL", help="where to; https, and no internal address")],
    secrets: Annotated[
        list[str],
        typer.Option(
            "--secret",
            metavar="env:NAME|file:PATH",
            help="where each deliverer finds the secret; while it is changed, the new one and then the old one",
        ),
    ],
    segments: Annotated[
        list[str] | None, typer.Option("--segment", metavar="NAME", help="only changes of this segment; may be repeated")
    ] = None,
    on: Annotated[
        list[str] | None, typer.Option("--on", metavar="entered|exited|merged|unmerged", help="only these; by default entered, exited")
    ] = None,
    sample: Annotated[float, typer.Option(metavar="PERCENT", help="of the customers, always the same ones", min=0.01, max=100)] = 100,
    begin: FromOption = "now",
    in_flight: Annotated[int, typer.Option(metavar="NUMBER", help="requests at a time, of one process", min=1, max=256)] = 16,
) -> None:
    """Make a subscription, or replace what the one of that name wants; it keeps its position then, and --from says nothing.

    Secrets are not stored: --secret says in which variable or file each deliverer has it. `streamer webhooks secret` draws one. The
    address is looked up here and refused if it is internal; each delivery looks again.
    """
    from streamer.webhooks.subscription import SHARES, TYPES, Filter, Subscription

    kinds: dict[str, ChangeType] = {one.partition(".")[2]: one for one in TYPES}
    unknown = next((one for one in on or () if one not in kinds), None)
    if unknown is not None:
        raise SettingsError(f"--on: expected {', '.join(kinds)}, found {unknown!r}")
    wants = Filter(
        segments=tuple(dict.fromkeys(segments or ())),
        types=tuple(kinds[one] for one in dict.fromkeys(on or ("entered", "exited"))),
        sample=min(SHARES, max(1, round(sample * PERCENT))),
    )
    fresh = Subscription(name=name, id=token_hex(4), url=url, secrets=tuple(secrets), start=_start(begin), wants=wants, in_flight=in_flight)
    _check_words(fresh)
    saved = _run(lambda settings: _add(settings, fresh))
    echo(f"{saved.name}: {'made' if saved.id == fresh.id else 'replaced'}; {_summary(saved)}")


def list_all(as_json: LinesOption = False) -> None:
    """One line a subscription. Exit code 1 when there is none."""
    from streamer.webhooks.subscriptions import read_subscriptions

    found = _run(read_subscriptions)
    for one in found.values():
        echo_json(one) if as_json else echo(f"{one.name}  {_summary(one)}")
    if not found:
        raise typer.Exit(EXIT_NO)


def show(name: Name) -> None:
    """One subscription as its topic has it, and how many records of each shard are not done, None where nothing was read yet."""
    from streamer.webhooks.administration import positions_of

    async def look(settings: Settings) -> tuple[Subscription, dict[int, int | None]]:
        one = await _existing(settings, name)
        return one, await positions_of(settings, one)

    one, behind = _run(look)
    echo_json(one)
    echo_json({"behind": behind})


def pause(name: Name) -> None:
    """Deliver nothing to it until it is resumed. It keeps its position; what Kafka keeps of the changes is delivered then."""
    _change_status(name, "paused")


def resume(name: Name) -> None:
    """Go on where a subscription was paused, or disabled because its endpoint was gone or failed for five days."""
    _change_status(name, "active")


def remove(name: Name) -> None:
    """End a subscription. One that is made again under the name begins anew, with other webhook-ids."""

    async def end(settings: Settings) -> None:
        await _existing(settings, name)
        await _write(settings, name, None)

    _run(end)
    echo(f"{name}: removed")


def replay(
    name: Name,
    begin: Annotated[
        str, typer.Option("--from", metavar="beginning|TIME|SHARD:OFFSET", help="where to begin; of one shard: its number, and an offset")
    ],
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME|SHARD:OFFSET", help="end before it; sent now, from here, beside what is delivered")
    ] = None,
    customer: Annotated[
        str | None, typer.Option(metavar="ID", help="only what was said of this id; sent now, from here, beside what is delivered")
    ] = None,
) -> None:
    """Deliver again from a time on, or in one shard from an offset of the topic segment-changes on; the other shards go on then.

    Everything from there on goes out in order, under the same webhook-ids: a receiver that knows an id passes it over.

    With --to or --customer this process sends the stretch itself, once, with the secrets that it has, and the position of the subscription
    stays where it is. Each change is tried three times within seconds; behind one that is refused nothing more of its customer is sent.
    Exit code 1 where not everything was taken.
    """
    if end is not None or customer is not None:
        _resend(name, begin, end, customer)
        return
    from streamer.webhooks.administration import replayed

    place = _place(begin)
    start = None if place is not None else _start(begin)

    async def again(settings: Settings) -> Subscription:
        one = await replayed(settings, await _existing(settings, name), start=start, place=place)
        await _write(settings, name, one)
        return one

    echo(f"{name}: round {_run(again).round}, from {begin}")


def _resend(name: str, begin: str, end: str | None, customer: str | None) -> None:
    from streamer.webhooks.administration import resend
    from streamer.webhooks.resending import ResendBound

    def bound(text: str) -> ResendBound:
        place = _place(text)
        return ResendBound(place=place) if place is not None else ResendBound(_start(text).at_ms)

    bounds = bound(begin), bound(end) if end is not None else None

    async def send(settings: Settings) -> ResendCount:
        return await resend(settings, await _existing(settings, name), *bounds, customer)

    count = _run(send)
    echo(f"{name}: {count.delivered:,} delivered, {count.refused:,} refused, {count.held:,} not sent behind those")
    if count.refused or count.held:
        raise typer.Exit(EXIT_NO)


def test(name: Name) -> None:
    """Send an example, signed, from this machine, with the secrets that it has; say what came back. Exit code 1 unless that is 2xx.

    Its webhook-id begins with "test-", and the customer is "example".
    """
    from streamer.webhooks.administration import send_example

    async def send(settings: Settings) -> str:
        attempt = await send_example(settings, await _existing(settings, name))
        said = f"status {attempt.status}" if attempt.status is not None else attempt.problem
        echo(f"{name}: {attempt.verdict}, {said}, {attempt.milliseconds} ms")
        if attempt.excerpt:
            echo(attempt.excerpt.decode(errors="replace"))
        return attempt.verdict

    if _run(send) != "delivered":
        raise typer.Exit(EXIT_NO)


def show_log(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="only of this subscription")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="only attempts that were not answered with 2xx")] = False,
    dead: Annotated[bool, typer.Option("--dead", help="changes that were given up instead, of the last thirty days")] = False,
    as_json: LinesOption = False,
) -> None:
    """One line an attempt, oldest first: when, what, the how manieth, what came back. Exit code 1 when there is none."""
    from streamer.webhooks.administration import read_dead, read_log

    def is_wanted(line: DeliveryLine) -> bool:
        return name in (None, line.subscription) and not (failed and line.verdict == "delivered")

    if dead:
        found = [one for one in _run(read_dead) if is_wanted(one.last)]
        for one in found:
            echo_json(one) if as_json else echo(f"{_line(one.last)}  shard {one.shard} offset {one.offset}")
    else:
        found = [line for line in _run(read_log) if is_wanted(line)]
        for line in found:
            echo_json(line) if as_json else echo(_line(line))
    if not found:
        raise typer.Exit(EXIT_NO)


def secret() -> None:
    """Draw a secret and print it. It belongs into a variable or a file of each deliverer, and to whoever verifies."""
    from streamer.webhooks.signatures import new_secret

    echo(new_secret())


def _run(work: Callable[[Settings], Awaitable[T]]) -> T:
    """Do it on the topics of the settings, which are made where they are missing."""
    from aiokafka.errors import KafkaError

    from streamer.errors import RefusedError
    from streamer.settings import load_settings
    from streamer.transports.kafka.topics import ensure_webhook_topics

    settings = load_settings()

    async def on_topics() -> T:
        await ensure_webhook_topics(settings)
        return await work(settings)

    try:
        return asyncio.run(on_topics())
    except RefusedError as error:
        raise SettingsError(error.detail) from None
    except (KafkaError, TimeoutError, OSError) as error:
        raise SettingsError(f"STREAMER_KAFKA: cannot use the topics of webhooks at {settings.kafka} ({type(error).__name__})") from None


async def _add(settings: Settings, fresh: Subscription) -> Subscription:
    from streamer.webhooks.administration import check_subscription, merged
    from streamer.webhooks.subscriptions import read_subscriptions

    await check_subscription(settings, fresh)
    saved = merged((await read_subscriptions(settings)).get(fresh.name), fresh)
    await _write(settings, saved.name, saved)
    return saved


def _check_words(one: Subscription) -> None:
    """SettingsError where it could not be read back; a secret that was given instead of its place is not repeated."""
    from streamer.errors import RefusedError
    from streamer.webhooks.subscription import decode_subscription, encode_subscription

    expected = {
        "$.name": "NAME: expected a-z, 0-9, - and _, at most 64 characters",
        "$.url": "--url: expected at most 2,048 characters",
        "$.secrets": "--secret: expected one or two of env:NAME or file:/PATH, the place of a secret and not the secret",
        "$.wants.segments": "--segment: expected the name of a segment",
    }
    try:
        decode_subscription(encode_subscription(one))
    except RefusedError as error:
        raise SettingsError(next((said for path, said in expected.items() if path in error.detail), error.detail)) from None


async def _existing(settings: Settings, name: str) -> Subscription:
    from streamer.suggest import did_you_mean
    from streamer.webhooks.subscriptions import read_subscriptions

    found = await read_subscriptions(settings)
    if name not in found:
        hint = did_you_mean(name, list(found))
        raise SettingsError(f"there is no subscription {name!r}{f' ({hint})' if hint else ''}")
    return found[name]


async def _write(settings: Settings, name: str, subscription: Subscription | None) -> None:
    from streamer.transports.kafka.clients import producer
    from streamer.webhooks.subscriptions import write_subscription

    async with producer(settings) as client:
        await write_subscription(settings, client, name, subscription)


def _change_status(name: str, status: Status) -> None:
    from streamer.webhooks.administration import with_status

    async def change(settings: Settings) -> Subscription:
        one = with_status(await _existing(settings, name), status)
        await _write(settings, name, one)
        return one

    echo(f"{name}: {_run(change).status}")


def _start(text: str) -> Start:
    from streamer.events.codec import moment_ms
    from streamer.webhooks.subscription import Start

    if text == "beginning":
        return Start()
    return Start(at_ms=int(time() * 1_000) if text == "now" else moment_ms(text, path="--from"))


def _place(text: str) -> tuple[int, int] | None:
    """Shard and offset of ``7:1042``; None for something else."""
    shard, separator, offset = text.partition(":")
    return (int(shard), int(offset)) if separator and shard.isdecimal() and offset.isdecimal() else None


def _summary(one: Subscription) -> str:
    wanted = ", ".join(one.wants.segments) or "all segments"
    kinds = ", ".join(kind.partition(".")[2] for kind in one.wants.types)
    why = f" ({one.why})" if one.why else ""
    return f"{one.status}{why}: {kinds} of {wanted} to {one.url}"


def _line(line: DeliveryLine) -> str:
    from streamer.values import time_text

    came = f"status {line.status}" if line.status is not None else line.problem
    result = f"{line.verdict}, {came}, {line.milliseconds} ms"
    return f"{time_text(line.at_ms)}  {line.subscription}  {line.webhook_id}  attempt {line.attempt}: {result}"
