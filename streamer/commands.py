"""Commands to a running deployment and their answers, as records of two topics.

Whoever operates a deployment writes a command into ``PREFIX.commands``; a worker does it and says so in ``PREFIX.answers``. A command
counts once: its id is known from the answers, which are kept for longer than any command is valid. It is valid for a limited time, so that
what was asked for last week, while no worker ran, does not happen today.

Where keys hold, a command is signed as control records are, for a place of its own: a signature of a command is good for nothing else.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from .errors import RefusedError
from .signing import COMMAND, Keyring, SignedPlace, Trust, check_signed
from .units import WEEK_MS
from .values import time_text
from .wire import COMMANDS, Headers, Instant, is_customer

COMMAND_BYTES_MAX: Final = 10_000
VALID_MS_MAX: Final = WEEK_MS  # an id is remembered for as long as its command is valid
ANSWERS_KEPT_MS: Final = 2 * VALID_MS_MAX  # so long a command and its answer lie in their topics
BEGINS_MAX: Final = 3  # workers that began a command and did not finish it: what it does to them it does to the next one

COMMAND_PLACE: Final = SignedPlace(COMMAND, COMMANDS, 0)

_WholeNumber = Annotated[int, msgspec.Meta(ge=0)]
_ModelName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_MessageName = Annotated[str, msgspec.Meta(pattern=r"^([a-z][a-z0-9_]{0,63}|\*)$")]
_Why = Annotated[str, msgspec.Meta(max_length=1_000)]


class Erase(msgspec.Struct, frozen=True, tag="erase", tag_field="action"):
    """Make a customer leave every segment, and forget them."""

    customer: str


class MergeIds(msgspec.Struct, frozen=True, tag="merge", tag_field="action"):
    """Say by an event that ``old`` and ``new`` are one person, who goes by ``new`` from now on."""

    old: str
    new: str


class UnmergeIds(msgspec.Struct, frozen=True, tag="unmerge", tag_field="action"):
    """Have ``old``, which was joined into ``survivor``, be a customer of its own again."""

    old: str
    survivor: str
    why: _Why


class Pin(msgspec.Struct, frozen=True, tag="pin", tag_field="action"):
    """Keep a model at a version, which is there."""

    model: _ModelName
    version: Annotated[int, msgspec.Meta(ge=1)]


class Unpin(msgspec.Struct, frozen=True, tag="unpin", tag_field="action"):
    """Let a model go on as it learns."""

    model: _ModelName


class LetterFilter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which dead letters; None where it does not matter. Times are UTC milliseconds of log time."""

    reason: str | None = None
    since_ms: int | None = None
    before_ms: int | None = None
    shard: _WholeNumber | None = None
    offset: _WholeNumber | None = None


class Redrive(msgspec.Struct, frozen=True, tag="redrive", tag_field="action"):
    """Send refused records through the log again."""

    letters: LetterFilter


class Resume(msgspec.Struct, frozen=True, tag="resume", tag_field="action"):
    """Have a shard go on at an offset."""

    shard: _WholeNumber
    to: _WholeNumber
    why: _Why


class BoundArrival(msgspec.Struct, frozen=True, tag="bound_arrival", tag_field="action"):
    """What the log of a shard has, and the shard has not read, counts as arrived at ``arrival_ms`` (UTC milliseconds) at the latest."""

    shard: _WholeNumber
    arrival_ms: int
    why: _Why


class Skip(msgspec.Struct, frozen=True, tag="skip", tag_field="action"):
    """Have a shard pass over the first record at or behind its position."""

    shard: _WholeNumber
    why: _Why


class Rebuild(msgspec.Struct, frozen=True, tag="rebuild", tag_field="action"):
    """Have a shard told anew from its log."""

    shard: _WholeNumber
    why: _Why


class PauseMessages(msgspec.Struct, frozen=True, tag="pause_messages", tag_field="action"):
    """Send nothing of a message, or of any (``*``), until it is resumed."""

    message: _MessageName


class ResumeMessages(msgspec.Struct, frozen=True, tag="resume_messages", tag_field="action"):
    """Send of a message again; ``*`` takes back the pause of all."""

    message: _MessageName


Action = PauseMessages | ResumeMessages | Erase | MergeIds | UnmergeIds | Pin | Unpin | Redrive | Resume | BoundArrival | Skip | Rebuild


class Command(msgspec.Struct, frozen=True):
    """What somebody asks a deployment to do.

    ``id`` is drawn at random. ``issued_ms`` and ``expires_ms`` are UTC milliseconds by the clock of whoever asks: a worker that has not
    begun by ``expires_ms`` does not begin. ``who`` asks, for people who read an amendment or an answer later.
    """

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]
    issued_ms: _WholeNumber
    expires_ms: _WholeNumber
    do: Action
    who: Annotated[str, msgspec.Meta(max_length=256)] = ""


Outcome = Literal["begun", "done", "refused", "failed", "expired"]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a command; it names no customer.

    ``begun``: a worker does it, and another answer follows, perhaps of the worker after it. ``done``. ``refused``: it cannot be done as it
    was asked for. ``failed``: Kafka, the store or our own code did not do their part. ``expired``: no worker had begun in time. Where it is
    neither ``done`` nor ``begun``, nothing was done, or what was done is harmless when it is asked for again.

    ``text`` is a sentence, ``notes`` are further lines; ``at`` is of the worker's clock.
    """

    id: str
    outcome: Outcome
    text: str
    worker: str
    at: Instant
    notes: list[str] = []


encode_command: Final = msgspec.json.Encoder().encode
encode_answer: Final = msgspec.json.Encoder().encode
_command_decoder: Final = msgspec.json.Decoder(Command)
_answer_decoder: Final = msgspec.json.Decoder(Answer)


def decode_command(raw: bytes) -> Command:
    """A command, or RefusedError."""
    if len(raw) > COMMAND_BYTES_MAX:
        raise RefusedError("too_large", detail=f"{len(raw)} bytes, at most {COMMAND_BYTES_MAX}")
    try:
        command = _command_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_command", detail=f"{error}"[:200]) from None
    if command.expires_ms - command.issued_ms > VALID_MS_MAX:
        raise RefusedError("bad_command", path="$.expires_ms", detail=f"it is valid for more than {VALID_MS_MAX} ms")
    if isinstance(command.do, Erase) and not is_customer(command.do.customer):
        raise RefusedError("bad_command", path="$.do.customer", detail="no customer has such an id")
    if isinstance(command.do, MergeIds) and not (is_customer(command.do.old) and is_customer(command.do.new)):
        raise RefusedError("bad_command", path="$.do", detail="one of the two ids can be no customer's")
    if isinstance(command.do, UnmergeIds) and not (is_customer(command.do.old) and is_customer(command.do.survivor)):
        raise RefusedError("bad_command", path="$.do", detail="one of the two ids can be no customer's")
    return command


def decode_answer(raw: bytes) -> Answer:
    """An answer, or RefusedError."""
    try:
        return _answer_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_command", detail=f"{error}"[:200]) from None


def check_command(trust: Trust, keyring: Keyring, headers: Headers, raw: bytes) -> None:
    """RefusedError unless a command is signed by a key that holds, where some do. HaltError when this process lacks that key."""
    check_signed(trust, keyring, headers, COMMAND_PLACE, raw)


class AnswerLog:
    """What is known of commands from the topic of answers, as far as it was read."""

    def __init__(self) -> None:
        self.end = 0  # the offset of the next record to take
        self._final: dict[str, Answer] = {}
        self._begun: dict[str, int] = {}

    def take(self, offset: int, raw: bytes) -> None:
        """The next record of the topic; what is no answer is passed over."""
        if offset < self.end:
            return
        self.end = offset + 1
        try:
            answer = decode_answer(raw)
        except RefusedError:
            return
        if answer.outcome == "begun":
            self._begun[answer.id] = self._begun.get(answer.id, 0) + 1
        else:
            self._final.setdefault(answer.id, answer)
            self._begun.pop(answer.id, None)

    def final(self, command_id: str) -> Answer | None:
        """The last word on a command; None where none was said."""
        return self._final.get(command_id)

    def begun(self, command_id: str) -> int:
        """How many times a worker has begun a command that nobody finished."""
        return self._begun.get(command_id, 0)

    def forget(self, before_ms: int) -> None:
        """Drop final answers of before ``before_ms``: their commands are not valid any more."""
        limit = time_text(before_ms)
        self._final = {key: answer for key, answer in self._final.items() if answer.at >= limit}


__all__ = [
    "Action",
    "Answer",
    "AnswerLog",
    "BoundArrival",
    "Command",
    "Erase",
    "LetterFilter",
    "MergeIds",
    "Outcome",
    "Pin",
    "Rebuild",
    "Redrive",
    "Resume",
    "Skip",
    "UnmergeIds",
    "Unpin",
    "check_command",
    "decode_answer",
    "decode_command",
    "encode_answer",
    "encode_command",
]
