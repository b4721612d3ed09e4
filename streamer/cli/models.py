"""``streamer models``: what the learner has learned, how good it is, and which version serves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from streamer.commands import Pin, Unpin
from streamer.errors import SettingsError
from streamer.flow.learner_checkpoint import LearnerCheckpoint, card_of, read_learner
from streamer.flow.replay import Replay
from streamer.flow.rules import Rules
from streamer.language.definitions import Definitions, load_definitions
from streamer.learning.reports.model_card import Card
from streamer.settings import Settings, load_settings
from streamer.stores.base import Store
from streamer.stores.documents import published_scorer_document
from streamer.stores.memory import MemoryStore
from streamer.values import time_text

from . import EXIT_CODES, EXIT_NO
from .asking import WAIT_SECONDS, Wait, ask_worker
from .event_source import OWN, EventSource, FilesArgument, FirstRefused, FormatName, MappingName, SortOption
from .terminal import echo, echo_json

AsJson = Annotated[bool, typer.Option("--json", help="one JSON object a model")]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="the model's name in the definitions")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Say what models have learned, and which version serves.", no_args_is_help=True, epilog=EXIT_CODES, rich_markup_mode=None
    )
    for command, short_help in (
        (list_models, "One line a model: is it ready, and how good."),
        (show, "Everything known of one model."),
        (pin, "Keep a model at a version."),
        (rollback, "Go back to the version before."),
        (unpin, "Let a pinned model go on."),
        (evaluate, "Learn from files, and say how good the models were."),
    ):
        group.command(command.__name__.removesuffix("_models"), epilog=EXIT_CODES, short_help=short_help)(command)
    app.add_typer(group, name="models")


def list_models(as_json: AsJson = False) -> None:
    """One line a model: ready or not, the version that serves, and how good it is on outcomes that came after the score."""
    body = asyncio.run(_read_body(load_settings()))
    if body.target and not as_json:
        done = sum(map(min, body.offsets, body.target))
        echo(f"relearning: {done:,} of {sum(body.target):,} examples; until then the versions that serve stay")
    _print(list(body.cards.values()), body, as_json=as_json, whole=False)


def show(name: ModelArgument, as_json: AsJson = False) -> None:
    """Everything known of one model: figures, calibration by decile, champion and challengers, and why it is not ready."""
    body = asyncio.run(_read_body(load_settings()))
    _print([card_of(body, name)], body, as_json=as_json, whole=True)


def pin(
    name: ModelArgument,
    version: Annotated[int, typer.Argument(metavar="VERSION", help="the version to keep", min=1)],
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Keep a model at a version. Learning goes on, and nothing newer serves before `streamer models unpin`."""
    echo(ask_worker(load_settings(), Pin(name, version), wait).text)


def rollback(name: ModelArgument, wait: Wait = WAIT_SECONDS) -> None:
    """Go back to the version before the one that serves, and stay there until `streamer models unpin`."""
    settings = load_settings()
    version = asyncio.run(_before_serving(settings, name))
    echo(ask_worker(settings, Pin(name, version), wait).text)


def unpin(name: ModelArgument, wait: Wait = WAIT_SECONDS) -> None:
    """Let a model go on: the newest version that was held back serves within a minute of log time."""
    echo(ask_worker(load_settings(), Unpin(name), wait).text)


def evaluate(
    files: FilesArgument,
    segments: Annotated[
        list[Path],
        typer.Option(metavar="PATH", help="definitions with models: a YAML file or a folder of them, may be repeated", show_default=False),
    ],
    mapping: MappingName = None,
    format_name: FormatName = OWN,
    sort: SortOption = False,
    as_json: AsJson = False,
) -> None:
    """Replay files, learn on the way, and say how good the models were on outcomes that came after the scores. Needs no server.

    Exit code 1: there was nothing to learn from. A model that is not ready is told with its reason, and 0.

    \b
      streamer models evaluate shop.csv.gz --mapping online_retail --segments my_models.yaml
    """
    definitions = load_definitions(*segments)
    if not definitions.models:
        raise SettingsError("the definitions name no model; write some under `models:`")
    cards = asyncio.run(_evaluated(EventSource(files, mapping, format_name, sort), definitions))
    if not cards:
        echo("nothing was learned: there are no events, or too few to make one example", err=True)
        raise typer.Exit(EXIT_NO)
    _print(cards, None, as_json=as_json, whole=True)


async def _evaluated(source: EventSource, definitions: Definitions) -> list[Card]:
    run = await Replay.begin(definitions, MemoryStore(), Rules(shards=1, placeholder_ids=source.placeholder_ids), batch=1_000)
    refused = FirstRefused()
    async for said in run.feed(source.log(refused), batch=1_000):
        refused.take(said)
    for hint in refused.hints():
        echo(f"hint: {hint}", err=True)
    return list(run.cards.values())


async def _read_body(settings: Settings) -> LearnerCheckpoint:
    store = settings.open_store()
    try:
        return await read_learner(store)
    finally:
        await store.close()


async def _before_serving(settings: Settings, name: str) -> int:
    """The version before the one that serves. It is named in the command, so that a command that comes twice goes back once."""
    store = settings.open_store()
    try:
        body = await read_learner(store)
        card_of(body, name)
        return await _before(store, name, body.current.get(name, (0, ""))[0])
    finally:
        await store.close()


async def _before(store: Store, name: str, serving: int) -> int:
    for version in range(serving - 1, 0, -1):
        if await store.get_document(published_scorer_document(name, version)) is not None:
            return version
    raise SettingsError(f"{name} has no version before {serving}")


# printing -------------------------------------------------------------------------------------------------------------


def _print(cards: list[Card], body: LearnerCheckpoint | None, *, as_json: bool, whole: bool) -> None:
    for card in cards:
        if as_json:
            echo_json(card)
            continue
        for line in _lines(card, body) if whole else [_line(card, body)]:
            echo(line)


def _line(card: Card, body: LearnerCheckpoint | None) -> str:
    serving = body.current.get(card.model, (card.version, ""))[0] if body is not None else card.version
    state = f"ready, version {serving}" if card.state == "ready" else f"not ready: {card.why}"
    return f"{card.model:<20} {card.kind:<10} {state}; learned {card.learned:,}, judged {card.judged:,}{_figures(card)}"


def _history(from_ms: int, joined_ms: int) -> str:
    before = f"; what lies before {time_text(joined_ms)}, when it was published, from the log" if joined_ms else ""
    return f"learned from customers as they were since {time_text(from_ms)}{before}"


def _figures(card: Card) -> str:
    named = (("log loss", card.log_loss), ("of the base rate's", card.entropy), ("AUC", card.auc), ("scores/outcomes", card.ratio))
    return "".join(f", {name} {value:.4g}" for name, value in named if value is not None)


def _lines(card: Card, body: LearnerCheckpoint | None) -> list[str]:
    lines = [_line(card, body)]
    if card.published_ms is not None:
        lines.append(f"  published {time_text(card.published_ms)}, log time of its newest example {time_text(card.at_ms)}")
    if card.from_ms is not None:
        lines.append(f"  {_history(card.from_ms, card.joined_ms)}")
    if card.base_rate is not None:
        served = f"scores were served for {(card.coverage or 0):.0%} of what was judged"
        lines.append(f"  base rate {card.base_rate:.4f}, {card.positives:,} positives; {served}")
    lines += [f"  decile {at}: promised {d.scored:.4f}, came {d.came:.4f} ({d.count:,})" for at, d in enumerate(card.deciles, 1)]
    for one in card.roster:
        auc = f", AUC {one.auc:.4f}" if one.auc is not None else ""
        bound = f" (surely above {one.gain_low:.5f})" if one.gain_low is not None else ""
        lines.append(f"  {one.name}: log loss {one.log_loss:.5f}{auc} over {one.count:,}; saves {one.gain:.5f}{bound} {one.why}".rstrip())
    return lines + [f"  {name}: {value:.6g}" for name, value in sorted(card.figures.items())]
