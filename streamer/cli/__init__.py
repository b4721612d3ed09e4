"""The command line. Each command is a file; what they share is here: exit codes, and how errors become one line.

0 done · 1 the answer is no (definitions wrong, nothing accepted, doctor found something) · 2 wrong use · 3 settings, files or connection ·
4 halted, a person must look · 5 no worker answered
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any, Final, NoReturn

import typer
import typer.core

from streamer.errors import (
    DefinitionError,
    HaltError,
    MappingError,
    SettingsError,
    StoreError,
    StoreUnavailableError,
    StreamerError,
    UnansweredError,
)
from streamer.printable import printable

from .terminal import echo

EXIT_NO: Final = 1
EXIT_SETTINGS: Final = 3
EXIT_HALTED: Final = 4
EXIT_UNANSWERED: Final = 5
EXIT_INTERRUPTED: Final = 130  # as a shell has it for Ctrl-C

EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 the answer is no; 2 wrong use; 3 a setting, a file or a connection; 4 halted, a person must look; "
    "5 no worker answered."
)


_UsageError: Final[Any] = next(found for found in typer.BadParameter.__mro__ if found.__name__ == "UsageError")


@contextmanager
def _safe_usage() -> Generator[None]:
    """What the library says of wrong use repeats what was typed, or pasted, and is printed by the library."""
    try:
        yield
    except _UsageError as error:
        error.message = "\n".join(map(printable, error.message.split("\n")))
        raise


class Commands(typer.core.TyperGroup):
    """Known errors become one line on standard error and an exit code; whoever stops reading our output is no error."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options that stand before a command."""
        with _safe_usage():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # click's context, which Typer has as its own class or not, by version
        """Run the command."""
        try:
            with _safe_usage():
                return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except StreamerError as error:
            for line in f"{_KIND.get(type(error), '')}{error}".split("\n"):
                echo(line, err=True)
            raise typer.Exit(_code(error)) from None


_KIND: Final[dict[type[StreamerError], str]] = {
    DefinitionError: "definitions: ",
    MappingError: "mapping: ",
    HaltError: "halted: ",
    StoreUnavailableError: "STREAMER_STORE: no answer: ",
}


def _code(error: StreamerError) -> int:
    if isinstance(error, (SettingsError, StoreError)):
        return EXIT_SETTINGS
    if isinstance(error, UnansweredError):
        return EXIT_UNANSWERED
    return EXIT_HALTED if isinstance(error, HaltError) else EXIT_NO


# In the order in which a newcomer meets them: files, and the first words that need no other. A file imports what its commands need, and
# all together take half a second.
HOMES: Final[dict[str, tuple[str, ...]]] = {
    "demo": ("demo", "--version"),
    "replay": ("replay",),
    "customer": ("explain", "erase"),
    "customers": ("customers",),
    "segments": ("segments",),
    "messages": ("messages",),
    "models": ("models",),
    "keys": ("keys",),
    "worker": ("worker", "config"),
    "collect": ("collect",),
    "ingest": ("ingest",),
    "import_history": ("import",),
    "webhooks": ("webhooks",),
    "send": ("send",),
    "serve": ("serve",),
    "doctor": ("doctor",),
    "shards": ("shards",),
    "dead_letters": ("dead-letters",),
}


def command_line(first_word: str = "") -> typer.Typer:
    """All commands; only those of one file where the first word says that no other is needed."""
    app = typer.Typer(
        name="streamer",
        cls=Commands,
        epilog=EXIT_CODES,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_streamer)
    for home in [home for home, words in HOMES.items() if first_word in words] or HOMES:
        import_module(f".{home}", __package__).register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        echo(version("streamer"))
        raise typer.Exit


def _streamer(
    _version: Annotated[bool, typer.Option("--version", help="print the version", is_eager=True, callback=_print_version)] = False,
) -> None:
    """Put customers into segments the moment an event, or nothing but time, makes it so; and say why.

    Segments are rules over what customers did ("left a cart half an hour ago and has not bought since"), written in YAML files. To begin,
    without any server of your own:

    \b
      streamer demo
      streamer segments check my_segments.yaml
      streamer replay events.ndjson --segments my_segments.yaml --members
      streamer explain CUSTOMER --events events.ndjson --segments my_segments.yaml

    Live, from Kafka, with a store: `streamer config` shows the settings, `streamer doctor` what is amiss, `streamer worker` runs.
    """


def main() -> NoReturn:
    """Run the command line."""
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # errors are ours to tell; a worker's log has a handler of its own
    command_line(next(iter(sys.argv[1:]), ""))()
    sys.exit(0)
