"""Who may only write events can rule nothing: neither definitions nor erasures, nor what shards say to each other."""

from __future__ import annotations

import json
from itertools import count

import pytest

from streamer.errors import HaltError
from streamer.events.dead_letter import read_dead_letter
from streamer.flow.catalog import Plans
from streamer.flow.forwards import Forward
from streamer.flow.relay import Relay
from streamer.flow.rules import Rules
from streamer.flow.shard import Shard
from streamer.language.definitions import parse_definitions
from streamer.signing import NO_KEYS, SIGNATURE_HEADER, SIGNERS_MAX, Keyring, Signer
from streamer.stores.memory import MemoryStore
from streamer.transports.memory import CONTROL, MemoryLog, MemorySink
from streamer.wire import DEAD_LETTERS, EVENTS, TICK, Control, Headers, definitions_control, encode_control, shard_of, withdraw_control

SHARDS = 2
RULES = Rules(shards=SHARDS)
START_MS = 1_767_225_600_000
ANNA = next(f"anna-{number}" for number in range(99) if shard_of(f"anna-{number}", SHARDS) == 1)
ONCE = parse_definitions({"segments": {"once": {"for": "x", "when": 'did("A")'}}})
DEFINE = definitions_control(ONCE.content(), ONCE.digest, 1)
ERASE = encode_control(Control("erase", customer=ANNA))
RING = Keyring("shop", {"old": b"o" * 32, "new": b"n" * 32})


class Shop:
    """Two shards over a log in memory, and people who sign or do not."""

    def __init__(self, keyring: Keyring = RING) -> None:
        self.keyring = keyring
        self.log = MemoryLog(SHARDS, lambda: START_MS)
        self.stores = [MemoryStore() for _ in range(SHARDS)]
        self.old, self.new = self.signer("old"), self.signer("new")

    @staticmethod
    def signer(key: str, name: str = "", ring: Keyring = RING, start: int = 1_000) -> Signer:
        numbers = count(start)
        return Signer(ring, key, name or {"old": "a1", "new": "b2"}[key], lambda: next(numbers))

    def keys(self, *ids: str, by: Signer | None) -> None:
        """From here on these hold."""
        self.log.send_control(encode_control(Control("keys", keys={key: RING.check_value(key) for key in ids})), signer=by)

    def write(self, shard: int, message_id: str, *, headers: Headers = ()) -> None:
        event = {"event": "A", "messageId": message_id, "userId": ANNA, "timestamp": START_MS}
        self.log.append(EVENTS, shard, json.dumps(event).encode(), key=ANNA.encode(), headers=headers)

    async def catch_up(self, number: int, *, signer: Signer | None = None) -> Shard:
        store = self.stores[number]
        shard = await Shard.acquire(number, store, Plans(store, RULES), RULES, pause=_never, keyring=self.keyring)
        relay = Relay(number, store, MemorySink(self.log, signer=signer))
        await relay.start()
        while records := self.log.fetch(number, shard.position.offset, 3):
            relay.add(await shard.process(records))
        while await relay.turn():
            pass
        return shard

    def refused(self, shard: int) -> list[str]:
        return [read_dead_letter(record.value).reason for record in self.log.records(DEAD_LETTERS, shard)]


async def _never(_seconds: float) -> None:
    raise AssertionError("a store in memory does not come and go")


async def test_before_the_first_keys_nothing_is_looked_at() -> None:
    """A shop that has no keys works as ever; a signature that is there all the same does no harm."""
    shop = Shop(NO_KEYS)
    shop.log.send_control(DEFINE)
    shop.write(1, "m1")
    shop.log.send_control(ERASE, signer=shop.old)
    shard = await shop.catch_up(1)
    assert shard.body.counts == {"accepted": 1, "erased": 1}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(DEFINE, id="definitions"),
        pytest.param(ERASE, id="erase"),
        pytest.param(withdraw_control("m", 1), id="withdraw"),
        pytest.param(encode_control(Control("keys", keys={"old": RING.check_value("old")})), id="keys"),
    ],
)
async def test_what_is_not_signed_rules_nothing_once_keys_hold(raw: bytes) -> None:
    """Anybody who can write an event can write the header of a control record."""
    shop = Shop()
    shop.keys("new", by=shop.new)
    shop.write(1, "m1")
    shop.log.send_control(raw)
    shard = await shop.catch_up(1)
    assert shop.refused(1) == ["bad_signature"]
    assert (shard.body.version, shard.body.counts) == (0, {"accepted": 1, "bad_signature": 1})
    assert list(shard.body.trust.keys) == ["new"]


async def test_what_is_signed_by_a_key_that_holds_counts() -> None:
    """Definitions, an erasure; and ticks, which need no signature."""
    shop = Shop()
    shop.keys("new", by=shop.new)
    shop.log.send_control(DEFINE, signer=shop.new)
    shop.write(1, "m1")
    shop.log.send_control(TICK)
    shop.log.send_control(ERASE, signer=shop.new)
    shard = await shop.catch_up(1)
    assert shop.refused(1) == []
    assert (shard.body.version, shard.body.counts) == (1, {"accepted": 1, "erased": 1})


async def test_a_captured_record_does_nothing_a_second_time() -> None:
    """Whoever may read the log and write events can copy an erasure, for ever; and into another shard."""
    shop = Shop()
    shop.keys("new", by=shop.new)
    shop.log.send_control(ERASE, [1], signer=shop.new)
    captured = shop.log.records(EVENTS, 1)[-1]
    shop.log.append(EVENTS, 1, captured.value, headers=captured.headers)
    shop.log.append(EVENTS, 0, captured.value, headers=captured.headers)
    await shop.catch_up(0)
    await shop.catch_up(1)
    assert (shop.refused(1), shop.refused(0)) == (["replayed"], ["bad_signature"])


async def test_one_process_does_not_make_another_ones_records_old() -> None:
    """Clocks of two machines differ by minutes, and both publish."""
    shop = Shop()
    shop.keys("new", by=shop.new)
    fast, slow = shop.signer("new", "f", start=10**9), shop.signer("new", "5", start=2_000)
    for by in (fast, slow, fast, slow):
        shop.log.send_control(ERASE, signer=by)
    await shop.catch_up(1)
    assert shop.refused(1) == []


async def test_what_is_remembered_of_signers_is_bounded() -> None:
    """Each command line is a signer. Who was dropped must be above the floor, so that nothing of theirs can be repeated."""
    shop = Shop()
    shop.keys("new", by=shop.signer("new", "0", start=1))
    for number in range(SIGNERS_MAX + 5):
        shop.log.send_control(ERASE, [1], signer=shop.signer("new", f"{number + 1:x}", start=1_000 + number))
    shard = await shop.catch_up(1)
    assert shop.refused(1) == []
    assert len(shard.body.trust.signers) == SIGNERS_MAX
    assert shard.body.trust.floor == 1_004
    captured = shop.log.records(EVENTS, 1)[3]
    shop.log.append(EVENTS, 1, captured.value, headers=captured.headers)
    await shop.catch_up(1)
    assert shop.refused(1) == ["replayed"]


async def test_keys_are_handed_on_by_those_that_hold() -> None:
    """The old key names both, then the new one itself alone; from there on the old one rules nothing."""
    shop = Shop()
    shop.keys("old", by=shop.old)
    shop.keys("old", "new", by=shop.old)
    shop.keys("new", by=shop.new)
    shop.log.send_control(DEFINE, signer=shop.old)
    shop.keys("old", by=shop.old)
    shard = await shop.catch_up(1)
    assert list(shard.body.trust.keys) == ["new"]
    assert shop.refused(1) == ["bad_signature", "bad_signature"]


async def test_the_first_keys_are_named_by_who_has_one_of_them() -> None:
    """Else a slip of the pen would lock everybody out."""
    shop = Shop()
    shop.keys("new", by=None)
    shop.keys("new", by=shop.old)
    shard = await shop.catch_up(1)
    assert (shard.body.trust.keys, shop.refused(1)) == ({}, ["bad_signature", "bad_signature"])


async def test_a_worker_that_lacks_a_key_halts_and_says_which() -> None:
    """It would judge otherwise than the others; with the key it goes on where it was."""
    shop = Shop(Keyring("shop", {"old": b"o" * 32}))
    shop.keys("new", by=shop.new)
    with pytest.raises(HaltError, match="'new', which is not in STREAMER_SIGNING_KEYS"):
        await shop.catch_up(1)
    shop.keyring = RING
    await shop.catch_up(1)
    shop.keyring = Keyring("shop", {"new": b"x" * 32})
    with pytest.raises(HaltError, match="'new' in STREAMER_SIGNING_KEYS is not the one"):
        await shop.catch_up(1)


async def test_what_shards_send_to_each_other_cannot_be_forged() -> None:
    """A forged one could make all true ones look as if they came again, or a late event timely."""
    shop = Shop()
    shop.keys("new", by=shop.new)
    forged = Forward(1, 0, 10**9, 0, START_MS)
    shop.write(1, "m0", headers=forged.headers)
    shop.write(0, "m1")
    await shop.catch_up(0, signer=shop.new)
    shard = await shop.catch_up(1)
    assert shop.refused(1) == ["bad_signature"]
    assert shard.body.counts == {"accepted": 1, "bad_signature": 1}
    sent = shop.log.records(EVENTS, 1)[-1]
    shop.log.append(EVENTS, 1, sent.value, key=b"somebody else", headers=sent.headers)
    assert (await shop.catch_up(1)).body.counts["bad_signature"] == 2


async def test_a_signature_is_for_one_deployment_and_one_kind() -> None:
    """One Kafka may carry two shops with one key, and an event's bytes may be those of a control record."""
    shop = Shop()
    shop.keys("new", by=shop.new)
    shop.log.send_control(ERASE, signer=shop.signer("new", ring=Keyring("another", RING.secrets)))
    for form in (b"", b"new;a1;5", b"new;a1;99999;" + b"0" * 64, b"\xff"):
        shop.log.append(EVENTS, 1, ERASE, headers=(*CONTROL, (SIGNATURE_HEADER, form)))
    await shop.catch_up(1)
    assert shop.refused(1) == ["bad_signature"] * 5


async def test_a_shard_told_anew_judges_signatures_the_same() -> None:
    """What holds is a function of the log."""
    shop = Shop()
    shop.log.send_control(DEFINE)
    shop.keys("old", by=shop.old)
    shop.log.send_control(ERASE)
    shop.log.send_control(ERASE, signer=shop.old)
    shop.keys("new", "old", by=shop.old)
    shop.write(1, "m1")
    shop.log.send_control(ERASE, signer=shop.new)
    once = await shop.catch_up(1)
    shop.stores[1] = MemoryStore()
    again = await shop.catch_up(1)
    assert (again.checkpoint.output_digest, again.checkpoint.body) == (once.checkpoint.output_digest, once.checkpoint.body)
