"""Commands and answers as records: read strictly, signed for a place of their own, and counted once."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest

from streamer.commands import (
    COMMAND_PLACE,
    VALID_MS_MAX,
    Action,
    Answer,
    AnswerLog,
    BoundArrival,
    Command,
    Erase,
    LetterFilter,
    MergeIds,
    Outcome,
    PauseMessages,
    Pin,
    Rebuild,
    Redrive,
    Resume,
    ResumeMessages,
    Skip,
    Unpin,
    check_command,
    decode_command,
    encode_answer,
    encode_command,
)
from streamer.errors import RefusedError
from streamer.signing import CONTROL, Keyring, SignedPlace, Signer, Trust
from streamer.wire import EVENTS

ID = "0123456789abcdef0123456789abcdef"
AT = "2026-11-29T00:00:00.000Z"
ACTIONS: list[Action] = [
    Erase("c-17"),
    PauseMessages("cart_reminder"),
    ResumeMessages("*"),
    MergeIds("an-1", "u-1"),
    Pin("churn", 3),
    Unpin("churn"),
    Redrive(LetterFilter(reason="late", shard=2)),
    Redrive(LetterFilter()),
    Resume(3, 50_000, "retention"),
    BoundArrival(3, 1_767_225_600_000, "clock"),
    Skip(3, "poison"),
    Rebuild(3, ""),
]
SCHEMAS = Path(__file__).parents[2] / "schemas"
HELD = Keyring("shop", {"k1": b"1" * 32})
TRUST = Trust({"k1": HELD.check_value("k1")})


def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: type(action).__name__)
def test_every_action_comes_back_as_it_was_asked_for_and_is_as_its_schema_says(action: Action) -> None:
    """A tool in another language has only the schema."""
    command = Command(ID, 1_000, 2_000, action, "ops@shop")
    raw = encode_command(command)
    assert decode_command(raw) == command
    validator("command.v1").validate(json.loads(raw))


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "bad_command"),
        (b"\xff", "bad_command"),
        (b"[" * 5_000, "bad_command"),
        (b"{}", "bad_command"),
        (b" " * 20_000, "too_large"),
        (encode_command(Command(ID, 0, VALID_MS_MAX + 1, Unpin("m"))), "expires_ms"),
        (encode_command(Command(ID, 0, 1, Erase(""))), "no customer"),
        (encode_command(Command(ID, 0, 1, Erase("mila\n"))), "no customer"),
        (encode_command(Command(ID, 0, 1, MergeIds("an-1", ""))), "one of the two"),
        (encode_command(Command(ID, 0, 1, Resume(-1, 5, ""))), "do.shard"),
        (encode_command(Command("../etc", 0, 1, Unpin("m"))), "id"),
        (encode_command(Command(ID, 0, 1, Unpin("m"))).replace(b"unpin", b"drop"), "drop"),
    ],
)
def test_what_is_no_command_is_refused_with_its_reason(raw: bytes, says: str) -> None:
    """It lies in a topic that more people can write to than should."""
    with pytest.raises(RefusedError, match=says):
        decode_command(raw)


def test_once_keys_hold_a_command_counts_only_with_a_signature_of_its_own() -> None:
    """That of a control record, which lies in the log for everybody to read, is none for a command."""
    raw = encode_command(Command(ID, 1_000, 2_000, Erase("c-17")))
    by = Signer(HELD, "k1", "a1", lambda: 5)
    check_command(Trust(), HELD, (), raw)
    check_command(TRUST, HELD, by.sign(COMMAND_PLACE, raw), raw)
    for headers in ((), by.sign(SignedPlace(CONTROL, EVENTS, 0), raw), by.sign(COMMAND_PLACE, raw + b" ")):
        with pytest.raises(RefusedError, match="bad_signature"):
            check_command(TRUST, HELD, headers, raw)


def _answer(outcome: Outcome, *, at: str = AT) -> bytes:
    return encode_answer(Answer(ID, outcome, "a sentence", "shop-1:17", at))


def test_the_answers_say_what_was_begun_and_what_is_settled() -> None:
    """Whoever takes over the topic knows from them what is left to do."""
    known = AnswerLog()
    for offset, raw in enumerate((_answer("begun"), b"noise", _answer("begun"))):
        known.take(offset, raw)
    known.take(2, _answer("begun"))  # read before
    assert (known.begun(ID), known.final(ID), known.end) == (2, None, 3)
    known.take(3, _answer("done"))
    known.take(4, _answer("failed"))
    found = known.final(ID)
    assert found is not None
    assert (found.outcome, known.begun(ID)) == ("done", 0)
    known.forget(1_700_000_000_000)
    assert known.final(ID) is not None
    known.forget(1_900_000_000_000)
    assert known.final(ID) is None


def test_every_answer_is_as_its_schema_says() -> None:
    """Tools wait for it."""
    for outcome in ("begun", "done", "refused", "failed", "expired"):
        validator("answer.v1").validate(json.loads(_answer(outcome)))
    validator("answer.v1").validate(json.loads(encode_answer(Answer(ID, "done", "x", "w", AT, ["one"]))))
