"""Who may say what: signatures on the records that rule a log, and which keys hold there.

Whoever may write events may write anything into their topic; Kafka's access control cannot tell our records from a producer's. So each
record of ours carries a keyed signature (HMAC-SHA256) over where it lies and what it says. A ``keys`` record, signed by a key that holds,
says which keys hold from there on; before the first one nothing is looked at. What holds is part of the story (``Trust``), so every replay
judges the same; the secrets themselves (``Keyring``) are settings, and a worker that lacks one halts rather than judging otherwise.

A tick is not signed: it lets no more time pass than any event does.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from .errors import HaltError, RefusedError, SettingsError
from .wire import KEY_ID, Control, Headers, LogRecord

SIGNATURE_HEADER: Final = "streamer-signature"
SECRET_BYTES_MIN: Final = 32  # as many as the digest has
SIGNERS_MAX: Final = 64  # whose newest number is remembered; a process is one signer
CONTROL: Final = "control"  # what a signature can be for: one for a control record is none for a forwarded event
FORWARD: Final = "forward"
AMENDMENT: Final = "amendment"
COMMAND: Final = "command"

_FORM: Final = re.compile(rb"([a-z0-9][a-z0-9_-]{0,31});([0-9a-f]{1,32});([0-9]{1,18});([0-9a-f]{64})")


class Signature(NamedTuple):
    """By which key, by which process, the how manieth (its time in microseconds, always rising), and the code itself in hex."""

    key: str
    signer: str
    number: int
    code: str


class SignedPlace(NamedTuple):
    """What is signed for, and where it lies: ``topic`` is a suffix."""

    what: str
    topic: str
    shard: int


class Trust(msgspec.Struct, array_like=True):
    """What holds at a position of a log.

    ``keys``: the check value of each key that holds, by its id; none before the first ``keys`` record. ``signers``: the highest number
    seen, by signer; ``floor`` is that of whoever was dropped from them, and what any other must be above.
    """

    keys: dict[str, str] = {}
    signers: dict[str, int] = {}
    floor: int = 0


@dataclass(frozen=True, slots=True)
class Keyring:
    """The secrets that a process has, by key id, and the prefix of the topics for which they sign."""

    prefix: str = ""
    secrets: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)

    def code(self, key: str, place: SignedPlace, signer: str, number: int, *content: bytes) -> str:
        """The signature's code. Each part is preceded by its length, so that no two contents read the same."""
        parts = (b"streamer-1", self.prefix.encode(), place.what.encode(), place.topic.encode(), b"%d" % place.shard)
        parts += (key.encode(), signer.encode(), b"%d" % number, *content)
        return hmac.digest(self.secrets[key], b"".join(b"%d:%b" % (len(part), part) for part in parts), "sha256").hex()

    def check_value(self, key: str) -> str:
        """What tells a secret from another under the same id, and nothing about it."""
        return hmac.digest(self.secrets[key], b"streamer-check", "sha256").hex()[:16]

    def refusal(self, keys: Mapping[str, str]) -> str:
        """Why a log in which these keys hold refuses what this process signs, by the first of its keys; empty where it does not."""
        first = next(iter(self.secrets), "")
        if not keys or (first in keys and self.check_value(first) == keys[first]):
            return ""
        held = ", ".join(repr(key) for key in keys)
        if not first:
            return f"the log obeys only what is signed with {held}, and there is no key here; set STREAMER_SIGNING_KEYS"
        what = "that key has another secret" if first in keys else f"{held} would have to stand first"
        return f"the log obeys only what is signed with {held}, and STREAMER_SIGNING_KEYS signs with {first!r}: {what}"

    def require(self, keys: Mapping[str, str]) -> None:
        """HaltError unless every one of these keys is held: without it records would be judged otherwise than by other workers."""
        for key, check in keys.items():
            if key not in self.secrets:
                raise HaltError(f"the log is signed with the key {key!r}, which is not in STREAMER_SIGNING_KEYS")
            if self.check_value(key) != check:
                raise HaltError(f"the key {key!r} in STREAMER_SIGNING_KEYS is not the one of that id that the log names")

    def verifies(self, signature: Signature, place: SignedPlace, *content: bytes) -> bool:
        """Whether a signature by a key that is held is right."""
        found = self.code(signature.key, place, signature.signer, signature.number, *content)
        return hmac.compare_digest(found, signature.code)


NO_KEYS: Final = Keyring()


class Signer:
    """Signs for one process. ``now_us`` gives UTC microseconds; ``name`` is drawn at random and stands in each signature."""

    def __init__(self, keyring: Keyring, key: str, name: str, now_us: Callable[[], int]) -> None:
        self._keyring = keyring
        self._key = key
        self._name = name
        self._now_us = now_us
        self._number = 0

    def sign(self, place: SignedPlace, *content: bytes) -> Headers:
        """The header that says who wrote this. Numbers rise, also where the clock does not."""
        self._number = max(self._number + 1, self._now_us())
        code = self._keyring.code(self._key, place, self._name, self._number, *content)
        return ((SIGNATURE_HEADER, f"{self._key};{self._name};{self._number};{code}".encode()),)


def signature_of(headers: Headers) -> Signature | None:
    """The signature among headers; None when there is none that can be read."""
    for name, value in headers:
        if name == SIGNATURE_HEADER and (found := _FORM.fullmatch(value)) is not None:
            key, signer, number, code = (part.decode() for part in found.groups())
            return Signature(key, signer, int(number), code)
    return None


def check_signed(trust: Trust, keyring: Keyring, headers: Headers, place: SignedPlace, *content: bytes) -> Signature | None:
    """The signature of a record, None where none is asked for yet. RefusedError (``bad_signature``) when it is not right, HaltError when
    this process cannot tell."""
    if not trust.keys:
        return None
    signature = signature_of(headers)
    if signature is None:
        raise RefusedError("bad_signature", detail="it is not signed, and keys hold in this log")
    if signature.key not in trust.keys:
        raise RefusedError("bad_signature", detail=f"the key {signature.key!r} does not hold here")
    keyring.require({signature.key: trust.keys[signature.key]})
    if not keyring.verifies(signature, place, *content):
        raise RefusedError("bad_signature", detail=f"the signature by the key {signature.key!r} is not of this record at this place")
    return signature


def check_control(trust: Trust, keyring: Keyring, control: Control, record: LogRecord, place: SignedPlace) -> Trust:
    """What holds after a control record that may say what it says.

    Raises RefusedError: ``bad_signature``, or ``replayed`` for a captured record that is written again. HaltError when this process lacks a
    key that it names.
    """
    if control.control == "tick":
        return trust
    if control.control == "keys":
        keyring.require(control.keys)
    first = Trust(control.keys, trust.signers, trust.floor) if control.control == "keys" and not trust.keys else trust
    signature = check_signed(first, keyring, record.headers, place, record.value)
    if signature is None:
        return trust
    signers, floor = _numbered(trust, signature)
    return Trust(control.keys if control.control == "keys" else trust.keys, signers, floor)


def check_numbered(trust: Trust, keyring: Keyring, record: LogRecord, place: SignedPlace) -> Trust:
    """What holds after a record of ours that is no control record and counts once. Raises as ``check_control``."""
    signature = check_signed(trust, keyring, record.headers, place, record.value)
    return trust if signature is None else Trust(trust.keys, *_numbered(trust, signature))


def _numbered(trust: Trust, signature: Signature) -> tuple[dict[str, int], int]:
    """Signers and floor after this number; RefusedError when it does not rise."""
    if signature.number <= trust.signers.get(signature.signer, trust.floor):
        raise RefusedError("replayed", detail="a record with this number or a higher one by the same process came before")
    signers, floor = {**trust.signers, signature.signer: signature.number}, trust.floor
    if len(signers) > SIGNERS_MAX:
        oldest = min(signers, key=lambda name: (signers[name], name))
        floor = max(floor, signers.pop(oldest))
    return signers, floor


def read_keys(text: str, setting: str = "STREAMER_SIGNING_KEYS") -> dict[str, bytes]:
    """Secrets by key id, from ``id:base64`` items separated by commas, spaces or lines; SettingsError names the item, never the secret."""
    found: dict[str, bytes] = {}
    for number, item in enumerate(text.replace(",", " ").split(), 1):
        key, _, secret = item.partition(":")
        if KEY_ID.fullmatch(key) is None or key in found:
            raise SettingsError(f"{setting}: item {number}: expected id:base64 with an id of its own, such as 2026-11:…")
        try:
            found[key] = base64.b64decode(secret, validate=True)
        except binascii.Error:
            raise SettingsError(f"{setting}: the key {key!r} is not base64") from None
        if len(found[key]) < SECRET_BYTES_MIN:
            raise SettingsError(f"{setting}: the key {key!r} is shorter than {SECRET_BYTES_MIN} bytes; see `streamer keys new`")
    return found
