"""Reading what was refused: for whoever corrects records and sends them again, in another process than the one that refused them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec

from streamer.errors import RefusedError
from streamer.events.admission import REASONS
from streamer.wire import DeadLetter

if TYPE_CHECKING:
    from typing import Final

_decoder = msgspec.json.Decoder(DeadLetter)
NO_FAULT: Final = "skipped"  # the mapping of a file wanted it passed over: counted, never a dead letter


def read_dead_letter(raw: bytes) -> DeadLetter:
    """A dead letter as ``schemas/dead-letter.v1.json`` has it; ``RefusedError`` for anything else."""
    try:
        letter = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("wrong_type", detail=f"{error}"[:200]) from None
    if letter.reason not in REASONS or letter.reason == NO_FAULT:
        raise RefusedError("wrong_type", path="$.reason", detail="no reason for which a record is refused")
    return letter


def raw_of(letter: DeadLetter) -> bytes:
    """The bytes of the record as they lay in the log; of one larger than 600,000 bytes the first."""
    return base64.b64decode(letter.raw)
