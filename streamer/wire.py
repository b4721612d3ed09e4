"""The names and shapes that everyone on the wire agrees on: topics, shards, control records, positions.

Changing anything here changes what a running deployment reads and writes.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Sequence
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from .errors import RefusedError

EVENTS: Final = "events"  # topic suffixes, behind the prefix of the deployment
CHANGES: Final = "segment-changes"
DEAD_LETTERS: Final = "dead-letters"
EXAMPLES: Final = "examples"  # what models learn from
ALERTS: Final = "alerts"  # what the learner has to say to people; one partition
COMMANDS: Final = "commands"  # what people ask of the workers; see ``commands``
ANSWERS: Final = "answers"  # what became of it
MESSAGES: Final = "messages"  # what was decided of messages, with what sending one needs: addresses, so it is not kept long
LEDGER: Final = "ledger"  # the same without addresses and facts, kept long
SENDS: Final = "sends"  # what senders wrote down of their attempts; a partition a shard, made by the first of them
HISTORY: Final = "history"  # what was imported once the log had begun; a partition a shard, made by the first import
AMENDMENTS: Final = "amendments"  # what people and faults decided about places of the log
DEFINITIONS: Final = "definitions"  # the manifest, and everything that was published; one partition, kept for ever
SUBSCRIPTIONS: Final = "subscriptions"  # who gets changes by webhook; compacted, key = name
WEBHOOK_LOG: Final = "webhook-log"  # attempts of the last days
WEBHOOK_DEAD: Final = "webhook-dead"  # changes that could not be delivered
TOPICS: Final = (EVENTS, CHANGES, DEAD_LETTERS, EXAMPLES, MESSAGES, LEDGER, AMENDMENTS)  # one partition a shard
SINGLE_TOPICS: Final = (ALERTS, COMMANDS, ANSWERS, DEFINITIONS)
WEBHOOK_TOPICS: Final = (SUBSCRIPTIONS, WEBHOOK_LOG, WEBHOOK_DEAD)  # one partition; made when webhooks are first used
OUTPUTS: Final = (CHANGES, DEAD_LETTERS, EXAMPLES, MESSAGES, LEDGER)  # those that a relay goes on in behind what stands there

CONTROL_HEADER: Final = "streamer-control"  # a record with it is ours; producers' records have no business carrying it
POSITION_HEADER: Final = "streamer-position"  # "generation-offset-ordinal" of an output, so that a relay finds where it stopped
FORWARD_HEADER: Final = "streamer-forward"  # where a record comes from that another shard sent on; see ``flow.forwards``
NO_LINK_HEADER: Final = "streamer-no-link"  # the ids of this event may not be linked: it comes from where nobody vouches for them
LANE_HEADER: Final = "streamer-lane"  # for which version of the definitions a lane has said this example; see ``flow.past_examples``
ARRIVED_HEADER: Final = "streamer-arrived"  # "milliseconds-import": when a record of history arrived, and what brought it; see ``imports``
COMPARED_HEADER: Final = "streamer-compared"  # a record of history that was compared with the log, which does not have it otherwise
CONTENT_TYPE: Final = ("content-type", b"application/cloudevents+json; charset=UTF-8")

CONTROL_BYTES_MAX: Final = 1_000_000  # one Kafka record
CUSTOMER_CHARS_MAX: Final = 256
DEFINITIONS_BYTES_MAX: Final = 16_000_000  # unpacked; a small record must not become all of memory


Instant = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$")]
"""A moment as every output writes it: UTC, with milliseconds."""


Headers = tuple[tuple[str, bytes], ...]


class LogRecord(NamedTuple):
    """One record of a shard as the log hands it over.

    ``arrival_ms`` is the broker's time; where ``broker_time`` is false it is the producer's, as a topic with ``CreateTime`` has it.
    ``control`` is whether it carries our header; ``key`` and ``headers`` are as they were written.
    """

    offset: int
    arrival_ms: int
    value: bytes
    control: bool = False
    key: bytes = b""
    headers: Headers = ()
    broker_time: bool = True


class Output(NamedTuple):
    """One thing to say, and where in the story: outputs are ordered by (offset, ordinal) within a shard.

    ``topic`` is a suffix; ``partition`` the shard, but for forwarded records, which go to another shard of the events. ``headers`` stand
    beside its position.
    """

    topic: str
    partition: int
    offset: int
    ordinal: int
    key: bytes
    value: bytes
    headers: Headers = ()


def arrived_text(at_ms: int, brought_by: str) -> bytes:
    """What stands in the header of a record of history. ``brought_by`` names the import: 16 hexadecimal digits."""
    return f"{at_ms}-{brought_by}".encode()


def read_arrived(headers: Headers) -> tuple[int, str] | None:
    """When a record of history counts as arrived, and the import that brought it; None for any other record.

    >>> read_arrived(((ARRIVED_HEADER, arrived_text(17, "00ff00ff00ff00ff")),)), read_arrived(())
    ((17, '00ff00ff00ff00ff'), None)
    """
    for name, value in headers:
        if name == ARRIVED_HEADER and (found := _ARRIVED.fullmatch(value)) is not None:
            return int(found[1]), found[2].decode()
    return None


def arrival_of(headers: Headers, broker_ms: int) -> int:
    """When a record arrived that a broker took at ``broker_ms``. History arrived when it happened.

    Whoever writes the header moves time neither way: a shard's time never goes back, and this is no moment behind the broker's.
    """
    found = read_arrived(headers) if headers else None
    return broker_ms if found is None else min(broker_ms, found[0])


def lane_headers(version: int) -> Headers:
    """What an example carries that a lane says, on its way to definitions of this version."""
    return ((LANE_HEADER, b"%d" % version),)


def lane_of(headers: Headers) -> int:
    """The version for which a lane has said an example; 0 where the shard itself has.

    >>> lane_of(lane_headers(7)), lane_of(())
    (7, 0)
    """
    return next((int(value) for name, value in headers if name == LANE_HEADER and _NUMBER.fullmatch(value)), 0)


def position_text(generation: int, offset: int, ordinal: int) -> bytes:
    """What stands in the position header of an output. ``generation`` is the log's."""
    return b"%d-%d-%d" % (generation, offset, ordinal)


def read_position(text: bytes) -> tuple[int, int, int] | None:
    """Generation, offset and ordinal; None for what no relay has written.

    >>> read_position(position_text(1, 1042, 0)), read_position(b"1042-0"), read_position(b"1-x-0")
    ((1, 1042, 0), None, None)
    """
    found = _POSITION.fullmatch(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found is not None else None


_NUMBER: Final = re.compile(rb"[0-9]{1,18}")
_ARRIVED: Final = re.compile(rb"([0-9]{1,15})-([0-9a-f]{16})")
_POSITION: Final = re.compile(rb"([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,18})")
_outputs_decoder = msgspec.msgpack.Decoder(list[Output])
encode_outputs: Final = msgspec.msgpack.Encoder().encode
decode_outputs: Final = _outputs_decoder.decode


class Control(msgspec.Struct, omit_defaults=True):
    """A record of ours in the log.

    ``tick``: time passes. ``definitions``: from here on version ``version`` holds, ``packed`` is its zlib-compressed canonical JSON in
    base64 and ``digest`` its name; ``shadow``: not yet, it is only to be folded beside what holds (in the topic of definitions alone);
    ``history``: by shard, the offset in the topic of history below which everything is part of the past (empty: as before); ``seen``: up to
    which offset of the topic of definitions whoever published had read it (-1: that is not asked); ``gives_up``: the version that this
    overtakes before a shard with a past obeyed it (0: none). See ``flow.published``.
    ``model``: from here on version ``version`` of the model ``model`` scores, ``packed`` and ``digest``
    are those of its scorer. ``withdraw``: from here on no version of ``model`` up to ``version`` scores. ``erase``: forget ``customer``.
    ``unmerge``: ``customer`` and ``old`` are two again; ``packed`` is what was said of the former, ``past`` what was said of the latter,
    see ``flow.own_past``; ``history``: which history is in them.
    ``pause``: from here on nothing is sent of ``message`` (``*``: of any), until a ``resume`` of the same.
    ``keys``: from here on these keys hold, their check values by their ids; see ``signing``. ``pin`` and ``unpin`` are for the learner,
    among the examples: the model stays at ``version`` whatever is learned. Where no keys hold a repeated one is harmless; where some do
    it is refused.
    """

    control: Literal["tick", "definitions", "model", "withdraw", "erase", "keys", "pin", "unpin", "pause", "resume", "unmerge"]
    version: int = 0
    digest: str = ""
    packed: str = ""
    customer: str = ""
    model: str = ""
    message: str = ""
    keys: dict[str, str] = {}
    shadow: bool = False
    old: str = ""
    past: str = ""
    history: list[int] = []
    seen: int = -1
    gives_up: int = 0


encode_control: Final = msgspec.json.Encoder().encode
_control_decoder = msgspec.json.Decoder(Control)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}")
KEY_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
KEYS_MAX: Final = 16  # that hold at a time
OFFSET_MAX: Final = (1 << 53) - 1
_KEY_CHECK: Final = re.compile(r"[0-9a-f]{16}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # a name is written into logs, and as UTF-8
TIME_PASSES: Final = Control("tick")
TICK: Final = encode_control(TIME_PASSES)


def decode_control(raw: bytes) -> Control:
    """A control record, or RefusedError."""
    if len(raw) > CONTROL_BYTES_MAX:
        raise RefusedError("too_large", detail=f"{len(raw)} bytes, at most {CONTROL_BYTES_MAX}")
    try:
        control = _control_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError("bad_control", detail=f"{error}"[:200]) from None
    for key, says in _needed(control):
        if not says:
            raise RefusedError("bad_control", path=f"$.{key}", detail=f"{control.control} needs it, and it says nothing usable")
    return control


def _needed(control: Control) -> tuple[tuple[str, bool], ...]:
    """What a record of its kind must say, and whether it does."""
    match control.control:
        case "definitions" | "model":
            packed = _is_packed(control.packed)
            named = (("model", _NAME.fullmatch(control.model) is not None),) if control.control == "model" else ()
            history = all(0 <= end <= OFFSET_MAX for end in control.history)
            return *named, ("version", control.version >= 1), ("digest", bool(control.digest)), ("packed", packed), ("history", history)
        case "pin" | "withdraw":
            return ("model", _NAME.fullmatch(control.model) is not None), ("version", control.version >= 1)
        case "unpin":
            return (("model", _NAME.fullmatch(control.model) is not None),)
        case "pause" | "resume":
            return (("message", control.message == "*" or _NAME.fullmatch(control.message) is not None),)
        case "keys":
            return (("keys", _are_keys(control.keys)),)
        case "erase":
            return (("customer", is_customer(control.customer)),)
        case "unmerge":
            two = (("customer", is_customer(control.customer)), ("old", is_customer(control.old) and control.old != control.customer))
            return *two, ("packed", _is_packed(control.packed)), ("past", _is_packed(control.past))
        case _:
            return ()


def _is_packed(text: str) -> bool:
    return bool(text) and _BASE64.fullmatch(text) is not None


def _are_keys(keys: dict[str, str]) -> bool:
    return 0 < len(keys) <= KEYS_MAX and all(KEY_ID.fullmatch(key) and _KEY_CHECK.fullmatch(check) for key, check in keys.items())


def is_customer(name: str) -> bool:
    """Whether a customer can have this id."""
    return 0 < len(name) <= CUSTOMER_CHARS_MAX and _UNSAFE.search(name) is None


def definitions_control(
    content: bytes, digest: str, version: int, *, shadow: bool = False, history: Sequence[int] = (), seen: int = -1, gives_up: int = 0
) -> bytes:
    """The record that switches a shard to these definitions, and to a past with this ``history``; with ``shadow`` the one that only
    proposes them. ``seen`` and ``gives_up``: see ``Control``."""
    control = Control("definitions", version=version, digest=digest, shadow=shadow, history=list(history), seen=seen, gives_up=gives_up)
    return _packed(control, content)


def model_control(model: str, content: bytes, digest: str, version: int) -> bytes:
    """The record that switches a shard to this version of a model's scorer."""
    return _packed(Control("model", version=version, digest=digest, model=model), content)


def withdraw_control(model: str, version: int) -> bytes:
    """The record after which a model that served up to this version has nothing to say."""
    return encode_control(Control("withdraw", version=version, model=model))


def unmerge_control(customer: str, own: bytes, old: str, past: bytes, *, history: Sequence[int] = ()) -> bytes:
    """The record after which ``old`` is a customer again, and no other id of ``customer``; ``history`` is among what it says of both.
    RefusedError where it is too large."""
    return _checked(Control("unmerge", customer=customer, packed=pack(own), old=old, past=pack(past), history=list(history)))


def _packed(control: Control, content: bytes) -> bytes:
    control.packed = pack(content)
    return _checked(control)


def _checked(control: Control) -> bytes:
    raw = encode_control(control)
    if len(raw) > CONTROL_BYTES_MAX:
        raise RefusedError("too_large", detail=f"{control.control} of {len(raw)} bytes packed, at most {CONTROL_BYTES_MAX}")
    return raw


def pack(content: bytes) -> str:
    """As a record carries it: zlib, base64."""
    return base64.b64encode(zlib.compress(content, 9)).decode()


def unpack(control: Control) -> bytes:
    """The canonical JSON inside a ``definitions`` or ``model`` record; RefusedError when it is damaged or would grow too large."""
    return unpacked(control.packed)


def unpacked(packed: str) -> bytes:
    """What was packed; RefusedError when it is damaged or would grow too large."""
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(packed, validate=True), DEFINITIONS_BYTES_MAX)
    except (zlib.error, binascii.Error) as error:
        raise RefusedError("bad_control", path="$.packed", detail=str(error)) from None
    if unpacker.unconsumed_tail:
        raise RefusedError("too_large", path="$.packed", detail=f"more than {DEFINITIONS_BYTES_MAX} bytes unpacked")
    return content


def murmur2(data: bytes) -> int:
    """The hash by which Java's producer and aiokafka choose a partition, as a positive 31-bit number.

    From Kafka's ``Utils.murmur2``; the figures below are of its own tests.

    >>> murmur2(b"21") - ((-973932308) & 0x7fffffff), murmur2(b"foobar") - ((-790332482) & 0x7fffffff)
    (0, 0)
    """
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    length = len(data)
    h = 0x9747B28C ^ length
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return (h ^ (h >> 15)) & 0x7FFFFFFF


def shard_of(customer: str, shards: int) -> int:
    """The shard in which a customer's events belong."""
    return murmur2(customer.encode()) % shards


class Origin(msgspec.Struct):
    """Where a refused record lay. ``topic`` is a suffix, or the full name of a topic of the shop that an ingest reads; ``generation`` is
    that of the log."""

    topic: Annotated[str, msgspec.Meta(min_length=1)]
    partition: Annotated[int, msgspec.Meta(ge=0)]
    offset: Annotated[int, msgspec.Meta(ge=0)]
    generation: Annotated[int, msgspec.Meta(ge=1)] = 1


class DeadLetter(msgspec.Struct, omit_defaults=True):
    """A record that was refused: why, where the fault is, where it lay, and its bytes in base64 (the first 600,000).

    ``reason`` is a code of ``events.admission.REASONS``. ``origin`` is None where it lay nowhere: a collector refused it. ``producer``
    names the program that wrote it, where that is known. ``format`` is the adapter by which the bytes were read; empty: they are an event
    of ours. The customer is the key of the record that carries it.
    """

    reason: str
    path: Annotated[str, msgspec.Meta(pattern=r"^\$", max_length=256)]
    detail: str
    origin: Origin | None
    raw: Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$")]
    at: Instant
    producer: Annotated[str, msgspec.Meta(max_length=256)] = ""
    format: Annotated[str, msgspec.Meta(max_length=64)] = ""


DEAD_RAW_MAX: Final = 600_000  # in base64 still below one Kafka record
encode_dead_letter: Final = msgspec.json.Encoder().encode


def raw_text(raw: bytes) -> str:
    """Bytes as a dead letter carries them."""
    return base64.b64encode(raw[:DEAD_RAW_MAX]).decode()
