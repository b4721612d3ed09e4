"""What a worker writes into its log: one line of JSON an event, each with time, level, event and action.

Lines of ours are written by structlog on standard output. Lines of libraries go through ``logging`` to standard error; they have the action
``library`` and are thinned out: a client whose server is away says the same a hundred times a second. Their errors may quote a customer's
data, so of an exception only its class and its places are written.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

log: FilteringBoundLogger = structlog.get_logger("streamer")

AGAIN_SECONDS: Final = 60.0  # between two lines that say the same
DIFFERENT_MAX: Final = 20  # lines of one logger within that time, whatever they say
KINDS_MAX: Final = 1_000  # remembered at once: some libraries put the values into the text, so that no two are the same
FRAMES: Final = 8


def configure_logging(level: str) -> None:
    """Write lines from ``level`` (debug, info, warning, error) on; of libraries only warnings and worse."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    handler.addFilter(Thinning())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    logging.getLogger("faust.agents.actor").setLevel(logging.CRITICAL)  # it reports its own cancellation at every stop as an error
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper(), logging.INFO)),
        logger_factory=structlog.PrintLoggerFactory(),
    )
    sys.excepthook = _say_what_broke
    threading.excepthook = _say_what_ended


def _say_what_broke(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    """The last line of a process that ends by an error nobody foresaw."""
    log.critical("broken", action="end", error=kind.__name__, where=_places(error))


def _say_what_ended(ended: threading.ExceptHookArgs) -> None:
    """A thread of a library has ended by an error; those of its clients do while the process stops."""
    where = _places(ended.exc_value) if ended.exc_value is not None else []
    log.warning("a thread ended", action="thread", error=ended.exc_type.__name__, where=where)


class JsonLines(logging.Formatter):
    """A library's record as one line of JSON, whatever is in it."""

    def format(self, record: logging.LogRecord) -> str:
        """``repeated`` says how often the same came since its last line."""
        found: dict[str, object] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "action": "library",
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        repeated = getattr(record, "repeated", 0)
        if repeated:
            found["repeated"] = repeated
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            found["event"] = record.getMessage().partition("\n")[0]  # asyncio repeats the error's text on the next line
            found |= {"error": type(error).__name__, "where": _places(error)}
        return json.dumps(found)


def _places(error: BaseException) -> list[str]:
    """The innermost places of a traceback, outermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]


@dataclass(slots=True)
class _LastLine:
    at: float
    more: int = 0


class Thinning(logging.Filter):
    """Lets one line of a kind through a minute; the next one has the number of those that it stands for as ``repeated``.

    A kind is a logger and its text before the values are put in. Of one logger at most ``DIFFERENT_MAX`` lines a minute come through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dropped = 0
        self._kinds: dict[tuple[str, str], _LastLine] = {}
        self._loggers: dict[str, _LastLine] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        if len(self._kinds) >= KINDS_MAX:
            self._kinds.clear()
        kind = (record.name, str(record.msg))
        said = self._kinds.get(kind)
        if said is not None and record.created - said.at < AGAIN_SECONDS:
            said.more += 1
        elif self._has_room(record):
            self._kinds[kind] = _LastLine(record.created)
            record.repeated = said.more if said is not None else 0
            return True
        self.dropped += 1
        return False

    def _has_room(self, record: logging.LogRecord) -> bool:
        minute = self._loggers.get(record.name)
        if minute is None or record.created - minute.at >= AGAIN_SECONDS:
            minute = self._loggers[record.name] = _LastLine(record.created)
        minute.more += 1
        return minute.more <= DIFFERENT_MAX


__all__ = ["JsonLines", "Thinning", "configure_logging"]
