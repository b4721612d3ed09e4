"""The command line. Each command is a file; exit codes are here.

0 done · 1 the answer is no (definitions wrong, doctor found something) · 2 wrong use · 3 settings or connection · 4 halted, a person must
look
"""

from __future__ import annotations

import sys
from typing import Final, NoReturn

import typer

from streamer.errors import DefinitionError, HaltError, SettingsError, StoreError, StreamerError

EXIT_NO: Final = 1
EXIT_SETTINGS: Final = 3
EXIT_HALTED: Final = 4

app = typer.Typer(
    name="streamer",
    help="A real-time customer segmenter: exact in time, one story whatever crashes, a reason for each change.",
    epilog="Exit codes: 0 done, 1 the answer is no, 2 wrong use, 3 settings or connection, 4 halted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def main() -> NoReturn:
    """Run the command line; known errors become one line and an exit code."""
    from . import customer, demo, doctor, files, segments, worker

    for module in (worker, files, segments, customer, doctor, demo):
        module.register(app)
    try:
        app()
    except DefinitionError as error:
        _stop(f"definitions: {error}", EXIT_NO)
    except (SettingsError, StoreError) as error:
        _stop(f"settings: {error}", EXIT_SETTINGS)
    except HaltError as error:
        _stop(f"halted: {error}", EXIT_HALTED)
    except StreamerError as error:
        _stop(str(error), EXIT_NO)
    sys.exit(0)


def _stop(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    sys.exit(code)
