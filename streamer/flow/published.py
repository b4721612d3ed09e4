"""What the topic of definitions says: with what the log was begun, and which definitions have which number.

A publication is a proposal: a shard obeys it from its own ``definitions`` record on, which its owner writes. One that was published as a
shadow is no proposal before the same definitions are published without that word; it keeps its number then. Whatever is published behind
a shadow overtakes it.

A publication may also bring history: what was imported becomes part of the past from the shard's record on. Whatever is published behind it
has that past too.

The topic has one partition and is kept for ever. Its first record is the manifest; each one after that publishes definitions, or is the
manifest of the next generation of the log, whose topic of events was made anew. The order of
the topic numbers them, and whoever reads it comes to the same: 1, 2, 3, also where the third has the content of the first. What is
published was decided by what the topic said before, so a record says up to where that was read: of two who publish at the same moment the
second counts for nothing, and is told so. A record also says whether it overtakes a version before any shard obeyed it: nobody goes back
to that one. The store has nothing of this that cannot be read here again.

Keys hold there as they do in the log: from a ``keys`` record on, what is not signed has no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import zip_longest
from typing import Final, NamedTuple, Protocol

import msgspec

from streamer.errors import RefusedError
from streamer.language.definitions import content_digest
from streamer.signing import CONTROL, NO_KEYS, Keyring, SignedPlace, Trust, check_control, check_signed
from streamer.wire import DEFINITIONS, EVENTS, Control, LogRecord, decode_control, unpack

from .rules import STORY, Rules

PLACE: Final = SignedPlace(CONTROL, DEFINITIONS, 0)  # for what a record of the topic is signed
REFUSED_KEPT: Final = 100


class Manifest(msgspec.Struct, frozen=True, tag="manifest", tag_field="control"):
    """What can never change under a running log: a worker with another one does not start.

    ``story`` is the version of the step, see ``flow.rules.STORY``; ``rules`` are all of the ``Rules``. ``namespace`` is
    where in the store its state was begun: no part of the story, and kept so that a slip in it does not begin a second state in silence.
    """

    topic: str
    rules: Rules
    story: int = STORY
    namespace: str = ""

    def differences(self, other: Manifest) -> list[str]:
        """What ``other`` has otherwise, in words."""
        mine, theirs = ({"topic": one.topic, "story": one.story, **asdict(one.rules)} for one in (self, other))
        return [f"{name} was {mine[name]}, is {theirs[name]}" for name in mine if mine[name] != theirs[name]]

    def follows(self, before: Manifest) -> bool:
        """Whether this is ``before`` with the next generation of the log: its topic of events was made anew."""
        raised = msgspec.structs.replace(before, rules=replace(before.rules, log_generation=before.rules.log_generation + 1))
        return not raised.differences(self) and raised.namespace == self.namespace


def manifest_of(prefix: str, rules: Rules, namespace: str = "") -> Manifest:
    """The manifest of a log under these rules, whose topics begin with ``prefix`` and whose state is under ``namespace``."""
    return Manifest(f"{prefix}.{EVENTS}", rules, namespace=namespace)


encode_manifest = msgspec.json.Encoder().encode
_manifests = msgspec.json.Decoder(Manifest)


class Publication(NamedTuple):
    """Definitions under their number, and the past under which they hold.

    ``offset`` is where in the topic they stand; ``is_shadow``: they are not to hold, or not yet. ``history``: by shard, the offset in the
    topic of history below which everything is part of the past; empty where nothing was imported.
    """

    version: int
    digest: str
    offset: int
    is_shadow: bool = False
    history: tuple[int, ...] = ()


class Published:
    """The topic of definitions as far as it was read, by whoever has these keys."""

    def __init__(self, keyring: Keyring = NO_KEYS) -> None:
        self.manifest: Manifest | None = None
        self.end = 0  # the offset of the next record to take
        self.unreadable = 0
        self.refused: dict[int, RefusedError] = {}  # by offset, why a record does not count: the newest of them
        self.overtaken = set[int]()  # the offsets of records that do not count, since something else was published at the same moment
        self._keyring = keyring
        self._trust = Trust()
        self._changed = -1  # the offset of the newest record that changed what holds
        self._publications: list[Publication] = []
        self._given_up = set[int]()  # versions that were overtaken before any shard obeyed them

    def take(self, record: LogRecord) -> None:
        """The next record of the topic. One that nobody can read is counted and has no number. HaltError when this process lacks a key."""
        if record.offset < self.end:
            return
        try:
            found = _manifests.decode(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._take_control(record)
        else:
            self._take_manifest(found, record)
        self.end = record.offset + 1

    def _take_manifest(self, found: Manifest, record: LogRecord) -> None:
        """Of two who began the log at the same time the first counts; behind it only that of the next generation does."""
        if self.manifest is not None:
            if not found.follows(self.manifest):
                return
            try:
                check_signed(self._trust, self._keyring, record.headers, PLACE, record.value)
            except RefusedError as error:
                self._refuse(record.offset, error)
                return
        self.manifest = found

    def _take_control(self, record: LogRecord) -> None:
        try:
            control = _readable(record)
        except RefusedError:
            self.unreadable += 1
            return
        try:
            self._trust = check_control(self._trust, self._keyring, control, record, PLACE)
        except RefusedError as error:
            self._refuse(record.offset, error)
            return
        if control.control == "definitions":
            self._publish(control, record)

    def _refuse(self, offset: int, error: RefusedError) -> None:
        self.refused[offset] = error
        if len(self.refused) > REFUSED_KEPT:
            self.refused.pop(min(self.refused))

    def _publish(self, control: Control, record: LogRecord) -> None:
        last = self.last
        before = last.history if last is not None else ()
        history = tuple(max(ends) for ends in zip_longest(before, control.history, fillvalue=0))
        if last is None or last.digest != control.digest or history != before:
            if self._is_overtaken(control, record.offset):
                return
            number = max(control.version, last.version + 1 if last is not None else 1)
            self._publications.append(Publication(number, control.digest, record.offset, control.shadow, history))
            self._changed = record.offset
        elif last.is_shadow and not control.shadow and not self._is_overtaken(control, record.offset):
            self._publications[-1] = last._replace(is_shadow=False)
            self._changed = record.offset
        if self._changed == record.offset:  # else it was sent again, or two published the same at one moment
            self._given_up.add(control.gives_up)

    def _is_overtaken(self, control: Control, offset: int) -> bool:
        if not 0 <= control.seen <= self._changed:
            return False
        self.overtaken.add(offset)
        if len(self.overtaken) > REFUSED_KEPT:
            self.overtaken.remove(min(self.overtaken))
        return True

    @property
    def trust(self) -> Trust:
        """Which keys hold behind the last record that was taken."""
        return self._trust

    @property
    def keys(self) -> list[str]:
        """The ids of the keys that hold; empty where none do."""
        return list(self._trust.keys)

    @property
    def last(self) -> Publication | None:
        """What was published last, to hold or as a shadow; None when nothing was yet."""
        return self._publications[-1] if self._publications else None

    @property
    def newest(self) -> Publication | None:
        """What is to hold; None when nothing was published yet but for shadows."""
        return next((one for one in reversed(self._publications) if not one.is_shadow), None)

    @property
    def former(self) -> Publication | None:
        """What held before ``newest``, and is not the same definitions; None where nothing did. What was given up held nowhere."""
        newest = self.newest
        others = (one for one in reversed(self._publications) if newest is not None and one.digest != newest.digest)
        return next((one for one in others if not one.is_shadow and one.version not in self._given_up), None)

    @property
    def shadow(self) -> Publication | None:
        """What is folded beside what holds, and can be cut over to; None where nothing is."""
        return self.last if self.last is not None and self.last.is_shadow else None

    def at(self, version: int) -> Publication | None:
        """The publication of this number."""
        return next((one for one in self._publications if one.version == version), None)

    def upto(self, offset: int) -> Publication:
        """What had been published last once the record at ``offset`` was written. There must have been something."""
        return next(one for one in reversed(self._publications) if one.offset <= offset)


def _readable(record: LogRecord) -> Control:
    """Definitions that are whole, or keys; RefusedError for anything else."""
    control = decode_control(record.value)
    if control.control != "keys" and (control.control != "definitions" or content_digest(unpack(control)) != control.digest):
        raise RefusedError("bad_control", detail="no definitions")
    return control


def definitions_in(record: LogRecord) -> bytes:
    """The content of a record that ``Published`` has given a number."""
    return unpack(decode_control(record.value))


class Versions(Protocol):
    """Where the content of definitions is found by their number."""

    async def content(self, version: int) -> bytes | None:
        """The canonical JSON; None where no definitions have this number."""
        ...


class GivenVersions:
    """Versions in memory: of a replay, which has one, and for tests."""

    def __init__(self, contents: Mapping[int, bytes]) -> None:
        self.contents = dict(contents)

    async def content(self, version: int) -> bytes | None:
        """See ``Versions``."""
        return self.contents.get(version)
