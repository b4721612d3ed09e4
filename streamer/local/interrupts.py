"""A signal that ends a program in the foreground becomes KeyboardInterrupt, so that what it has started is ended in order."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Generator

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_as_interrupts() -> Generator[None]:
    """The first of the signals raises KeyboardInterrupt, further ones are ignored; what handled them before does so again afterwards.

    Call it from the main thread: Python gives signals to no other.
    """
    before = {number: signal.signal(number, _interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """From now on no signal interrupts: whoever presses Ctrl-C twice wants it to end, not to be left with half of it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(*_: object) -> NoReturn:
    ignore_signals()
    raise KeyboardInterrupt
