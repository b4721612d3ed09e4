"""The learner's order and its checkpoint: whatever falls how, the same is learned."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_shop import CART, DEFINITIONS, HOUR, SHARDS, T0, command, in_order, learner, logs, versions, with_command

from streamer.customers.features import FEATURES
from streamer.errors import FencedError, HaltError, RefusedError
from streamer.examples import MARK_MS, Example
from streamer.flow import learner_source as training_module
from streamer.flow.learner_checkpoint import LearnerCheckpoint, decode_learner
from streamer.flow.published import GivenVersions
from streamer.flow.training import TrainingLog
from streamer.flow.training_order import MinuteOrder, TrainingRecord, read_training_record
from streamer.learning.learner import Learner
from streamer.learning.reports.outputs import LearnerOutput, ModelWithdrawn
from streamer.signing import NO_KEYS, Keyring, Signer
from streamer.stores.documents import LEARNER_SHARD, published_scorer_document
from streamer.stores.memory import MemoryStore
from streamer.transports.signed import control_headers
from streamer.wire import EXAMPLES, Control, LogRecord, decode_control, encode_control, unpack

# the order --------------------------------------------------------------------------------------------------------------


@st.composite
def shards(draw: st.DrawFn) -> list[list[TrainingRecord]]:
    """A log for each of three shards: times that never fall, commands and records that are refused in between."""
    found: list[list[TrainingRecord]] = []
    for shard in range(SHARDS):
        at_ms, log = 0, list[TrainingRecord]()
        for offset, (step, kind) in enumerate(
            draw(st.lists(st.tuples(st.sampled_from([0, 1, 59_999, 60_000, 180_000]), st.sampled_from("eeec?"))))
        ):
            at_ms += step
            what = {"e": Example("mark", shard, offset, 0, at_ms), "c": Control("unpin", model="m"), "?": RefusedError("bad_example")}[kind]
            log.append(TrainingRecord(shard, LogRecord(offset, 0, b""), what))
        found.append(log)
    return found


@given(shards(), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_how_fetches_fell(found: list[list[TrainingRecord]], draw: random.Random) -> None:
    """A learner that saw the same examples in another order would be another learner."""
    whole, pieces = MinuteOrder(SHARDS), MinuteOrder(SHARDS)
    for log in found:
        whole.add(log)
    expected, heard, at = whole.ready(), list[TrainingRecord](), [0] * SHARDS
    while any(at[shard] < len(found[shard]) for shard in range(SHARDS)):
        shard = draw.randrange(SHARDS)
        end = at[shard] + draw.randrange(4)
        pieces.add(found[shard][at[shard] : end])
        at[shard] = min(end, len(found[shard]))
        heard += pieces.ready()
    assert heard == expected
    assert pieces.waiting == whole.waiting == sum(map(len, found)) - len(expected)
    for shard in range(SHARDS):
        mine = [item.record.offset for item in heard if item.shard == shard]
        assert mine == list(range(len(mine))), "each shard's in its own order, none left out"
    minutes = [item.what.at_ms // MARK_MS for item in heard if isinstance(item.what, Example)]
    assert minutes == sorted(minutes)


@given(shards(), st.integers(0, 20))
def test_a_reader_that_starts_again_in_the_middle_hears_the_rest_of_the_same_order(found: list[list[TrainingRecord]], taken: int) -> None:
    """Commands have no time of their own: what stands before them may have been read by somebody else."""
    whole = MinuteOrder(SHARDS)
    for log in found:
        whole.add(log)
    expected = whole.ready()
    offsets = [sum(item.shard == shard for item in expected[:taken]) for shard in range(SHARDS)]
    again = MinuteOrder(SHARDS)
    for shard, log in enumerate(found):
        again.add(log[offsets[shard] :])
    heard = again.ready()
    assert heard == expected[taken : taken + len(heard)]
    newest = [max((item.what.at_ms // MARK_MS for item in log if isinstance(item.what, Example)), default=-1) for log in found]
    rest = [any(isinstance(item.what, Example) for item in log[offsets[shard] :]) for shard, log in enumerate(found)]
    if all(rest):
        assert len(heard) == len(expected[taken:]), (newest, offsets)


def test_a_silent_shard_holds_everything_back() -> None:
    """What it has not said yet may belong before all that the others have."""
    order = MinuteOrder(2)
    mine = [TrainingRecord(0, LogRecord(at, 0, b""), Example("mark", 0, at, 0, at * MARK_MS)) for at in range(5)]
    order.add(mine)
    assert order.ready() == []
    assert order.waiting == 5
    assert order.is_full(0, 4)
    assert not order.is_full(1, 4)
    assert [order.waits_for(minutes) for minutes in (5, 6)] == [1, None], "it is named"
    theirs = TrainingRecord(1, LogRecord(0, 0, b""), Example("mark", 1, 0, 0, 3 * MARK_MS))
    order.add([theirs])
    assert order.ready() == mine[:3]


def test_commands_keep_their_place_among_the_examples_of_their_shard() -> None:
    """A version is pinned at one place of the order, for whoever learns it anew."""
    order, at = MinuteOrder(2), [0, MARK_MS, MARK_MS, 3 * MARK_MS]
    first = [TrainingRecord(0, LogRecord(offset, 0, b""), Example("mark", 0, offset, 0, ms)) for offset, ms in enumerate(at)]
    pin = TrainingRecord(0, LogRecord(1, 0, b""), Control("pin", version=1, model="m"))
    first.insert(2, pin)
    order.add(first)
    order.add([TrainingRecord(1, LogRecord(offset, 0, b""), Example("mark", 1, offset, 0, ms)) for offset, ms in enumerate(at)])
    heard = order.ready()
    assert [(item.shard, isinstance(item.what, Control)) for item in heard] == [
        (0, False), (1, False), (0, False), (0, True), (0, False), (1, False), (1, False)
    ]  # fmt: skip


# what is learned --------------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    """What a learner came to, and what it published."""

    body: LearnerCheckpoint
    documents: dict[str, bytes]
    said: tuple[tuple[str, int], ...]


async def documents(store: MemoryStore, body: LearnerCheckpoint) -> dict[str, bytes]:
    """All published versions by name."""
    names = [published_scorer_document(model, number) for model, (version, _) in body.current.items() for number in range(1, version + 1)]
    return {name: content for name in names if (content := await store.get_document(name)) is not None}


@lru_cache
def undisturbed() -> Run:
    """One learner, one go."""

    async def learned() -> Run:
        store = MemoryStore()
        training = await learner(store)
        batch = await training.take(in_order(logs()))
        await training.commit()
        return Run(training.body, await documents(store, training.body), tuple((one.model, one.version) for one in batch.published))

    with ThreadPoolExecutor(1) as beside:  # whoever asks first may be a test that runs in a loop of its own
        return beside.submit(asyncio.run, learned()).result()


def test_both_models_publish() -> None:
    """The tests below would prove nothing otherwise."""
    run = undisturbed()
    assert run.body.current["purchase"][0] > 2
    assert run.body.current["behaviour"][0] >= 1
    assert len(run.documents) == len(run.said)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_learner_put_down_at_any_place_is_taken_up_without_a_trace(seed: int) -> None:
    """Crashes too: what was learned but not committed is learned again, by another, and comes to the same bytes."""
    draw, store = random.Random(seed), MemoryStore()
    items = in_order(logs())
    cuts = sorted(draw.sample(range(len(items)), 6))
    at = 0
    for cut in cuts:
        training = await learner(store)
        assert sum(training.body.offsets) == at
        rest = in_order(logs(), training.body.offsets)
        assert rest[: cut - at] == items[at:cut]
        for start in range(0, cut - at, 300):
            await training.take(rest[start : min(start + 300, cut - at)])
        await training.commit()
        await training.take(rest[cut - at : cut - at + draw.randrange(400)])  # and is killed
        at = cut
    training = await learner(store)
    await training.take(in_order(logs(), training.body.offsets))
    await training.commit()
    assert training.body == undisturbed().body
    assert await documents(store, training.body) == undisturbed().documents


async def test_what_is_said_again_is_learned_once() -> None:
    """A relay that crashed, or a former owner of a shard, repeats outputs; readers drop what is not above the highest place."""
    first, *others = logs()
    repeated = tuple(record._replace(offset=at) for at, record in enumerate([*first[:900], *first[700:900], *first[900:]]))
    training = await learner(MemoryStore())
    await training.take(in_order((repeated, *others)))
    await training.commit()
    assert len(repeated) > len(first)
    assert training.body.learner == undisturbed().body.learner
    assert training.body.current == undisturbed().body.current


async def test_only_the_newest_learner_can_commit() -> None:
    """One that was paused past its session must not write over its heir."""
    store = MemoryStore()
    before = await learner(store)
    await before.take(in_order(logs())[:500])
    heir = await learner(store)
    with pytest.raises(FencedError):
        await before.commit()
    await heir.take(in_order(logs())[:200])
    await heir.commit()
    assert decode_learner((await store.checkpoint(LEARNER_SHARD)).body).learned == 200


async def test_a_commit_without_anything_new_is_none() -> None:
    """It would write megabytes each quarter of a minute for nothing."""
    store = MemoryStore()
    training = await learner(store)
    await training.take(in_order(logs())[:10])
    await training.commit()
    before = training.checkpoint
    await training.commit()
    assert training.checkpoint is before


async def test_definitions_that_were_never_published_stop_the_learner() -> None:
    """Guessing what to learn would be worse."""
    training = await TrainingLog.acquire(MemoryStore(), GivenVersions({}), SHARDS)
    with pytest.raises(HaltError, match="version 1 of the definitions"):
        await training.take(in_order(logs())[:10])


async def test_the_learner_is_imported_beside_the_shards_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a second, in which no shard would process and no heartbeat leave."""
    threads: list[threading.Thread] = []

    def imported(name: str) -> ModuleType:
        threads.append(threading.current_thread())
        return import_module(name)

    monkeypatch.setattr(training_module, "import_module", imported)
    training = await learner(MemoryStore())
    await training.take(in_order(logs())[:10])
    assert threads
    assert threading.main_thread() not in threads


async def test_another_number_of_shards_stops_the_learner() -> None:
    """Its offsets are of another log."""
    store = MemoryStore()
    training = await learner(store)
    await training.take(in_order(logs())[:10])
    await training.commit()
    with pytest.raises(HaltError, match="3 shards"):
        await TrainingLog.acquire(store, versions(), SHARDS + 1)


async def changed(text: str, *, at: int) -> tuple[TrainingLog, TrainingLog, list[bytes]]:
    """A learner before and after definitions changed in the middle, and what the shards are told afterwards."""
    store, items = MemoryStore(), in_order(logs())
    before = await learner(store)
    await before.take(items[:at])
    await before.commit()
    await before.news()
    after = await learner(store, DEFINITIONS, text)
    await after.news()
    what = items[at].what
    assert isinstance(what, Example)
    mark = Example("mark", what.shard, what.offset, 0, what.at_ms, definitions=2)
    await after.take([items[at]._replace(what=mark)])
    return before, after, await after.news()


async def test_models_that_are_the_same_go_on_when_definitions_change() -> None:
    """Whoever adds a segment must not lose what was learned in months."""
    text = DEFINITIONS.replace("groups: 3", "groups: 4").replace("0.5'", "0.6'")
    before, after, told = await changed(text, at=len(in_order(logs())) * 3 // 4)
    mine, theirs = (msgspec.json.decode(learned.body.learner) for learned in (before, after))
    await after.commit()
    theirs = msgspec.json.decode(after.body.learner)
    assert theirs["trainers"]["purchase"]["version"] == mine["trainers"]["purchase"]["version"] > 1
    assert after.body.current == {"purchase": before.body.current["purchase"]}, "the other is to learn something else"
    assert after.cards()["behaviour"].state == "not ready"
    assert told == []


# by hand ----------------------------------------------------------------------------------------------------------------


async def steered(*commands: tuple[float, str, int]) -> tuple[TrainingLog, list[tuple[str, int]], MemoryStore]:
    """A learner that meets commands at parts of its way; what it published after the first of them."""
    store, length = MemoryStore(), len(logs()[0])
    found = with_command([(int(part * length), command(0, what, version=version)) for part, what, version in commands])
    training = await learner(store)
    items = in_order(found)
    first = next((at for at, item in enumerate(items) if isinstance(item.what, Control)), len(items))
    await training.take(items[:first])
    await training.news()
    batch = await training.take(items[first:])
    await training.commit()
    return training, [(one.model, one.version) for one in batch.published if one.model == "purchase"], store


async def test_a_pinned_version_serves_whatever_is_learned_after() -> None:
    """Somebody rolled back: that must outlast the learner's next thought, and the learner itself."""
    training, published, store = await steered((0.75, "pin", 1))
    assert published == []
    assert training.body.current["purchase"][0] == 1
    (raw,) = [raw for raw in await training.news() if decode_control(raw).model == "purchase"]
    control = decode_control(raw)
    assert (control.control, control.version) == ("model", 1)
    assert unpack(control) == await store.get_document(published_scorer_document("purchase", 1))
    assert (await TrainingLog.acquire(store, versions(), SHARDS)).body.current["purchase"][0] == 1
    assert training.body.cards["purchase"].learned == undisturbed().body.cards["purchase"].learned, "learning goes on"


async def test_a_model_that_is_let_go_serves_what_was_held_back() -> None:
    """Otherwise it would wait for the next publication, which may be days away."""
    training, published, _ = await steered((0.7, "pin", 1), (0.9, "unpin", 0))
    assert published
    assert published[-1][1] == training.body.current["purchase"][0] == undisturbed().body.current["purchase"][0]
    assert training.body.current == undisturbed().body.current


@pytest.mark.parametrize(("what", "version"), [("pin", 999), ("unpin", 0)])
async def test_a_command_that_makes_no_sense_changes_nothing(what: str, version: int) -> None:
    """A version that never was, a model that was never pinned."""
    training, _, _ = await steered((0.75, what, version))
    assert training.body.current == undisturbed().body.current
    assert training.body.learner == undisturbed().body.learner


async def test_each_news_is_told_once_and_everything_at_a_new_start() -> None:
    """A worker that died between commit and telling leaves the telling to the next."""
    store = MemoryStore()
    training = await learner(store)
    await training.take(in_order(logs()))
    told = [decode_control(raw) for raw in await training.news()]
    assert {control.model: control.version for control in told} == {model: version for model, (version, _) in training.body.current.items()}
    assert await training.news() == []
    await training.commit()
    again = await learner(store)
    assert [decode_control(raw) for raw in await again.news()] == told


async def test_a_withdrawn_model_is_told_as_such_and_stays_so_over_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scorer nobody vouches for must not come back because a worker was restarted."""
    store, items = MemoryStore(), in_order(logs())
    training = await learner(store)
    await training.take(items[:-1])
    version = training.body.current["purchase"][0]
    await training.news()

    def says(_: Learner, example: Example, _without: object) -> list[LearnerOutput]:
        return [ModelWithdrawn("purchase", version, example.at_ms, "worse")]

    monkeypatch.setattr(Learner, "take", says)
    await training.take(items[-1:])
    await training.commit()
    for one in (training, await learner(store)):
        told = [decode_control(raw) for raw in await one.news()]
        assert [(control.control, control.version) for control in told if control.model == "purchase"] == [("withdraw", version)]


@pytest.mark.parametrize(
    ("raw", "reason", "path"),
    [
        (b"{", "bad_example", "$"),
        (b'{"kind":"profile","shard":0,"offset":1,"ordinal":0,"at_ms":1,"features":9}', "bad_example", "$.features"),
        (b'{"kind":"train","shard":0,"offset":1,"ordinal":0,"at_ms":1,"model":"m","features":1,"x":[NaN]}', "bad_example", "$"),
        (b'{"kind":"train","shard":0,"offset":1,"ordinal":0,"at_ms":1,"model":"m","features":1,"x":[1e999]}', "bad_example", "$"),
        (b'{"kind":"mark","schema":2,"shard":0,"offset":1,"ordinal":0,"at_ms":1}', "bad_example", "$.schema"),
    ],
)
async def test_a_record_that_is_no_example_is_reported_with_reason_and_place(raw: bytes, reason: str, path: str) -> None:
    """One number that is not finite would ruin a model for ever."""
    first, *others = logs()
    log = [*first[:50], LogRecord(0, 0, raw), *first[50:]]
    found = (tuple(record._replace(offset=at) for at, record in enumerate(log)), *others)
    training = await learner(MemoryStore())
    batch = await training.take(in_order(found)[:1_000])
    (item, error), = batch.refused  # fmt: skip
    assert (item.shard, item.record.offset, error.reason, error.path) == (0, 50, reason, path)
    assert training.body.offsets[0] > 50, "it is not read again"


def test_the_shop_of_these_tests_is_in_order() -> None:
    """Each shard's times never fall, and everything is an example of the list of features in force."""
    for shard, log in enumerate(logs()):
        items = [read_training_record(shard, record) for record in log]
        assert all(isinstance(item.what, Example) for item in items)
        assert all(one.arrival_ms <= other.arrival_ms for one, other in pairwise(log))
    assert FEATURES.names[CART] == "cart_open"
    assert logs()[0][-1].arrival_ms - T0 > 5 * HOUR


# who may say it ---------------------------------------------------------------------------------------------------------

RING = Keyring("shop", {"k1": b"1" * 32, "k2": b"2" * 32})
KEYS = Control("keys", keys={"k1": RING.check_value("k1")})


class Room:
    """A learner that knows its definitions and a scorer of version 3, and people who write to it."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.offset = store, 0
        self.mine, self.others = (Signer(RING, key, name, lambda: 1_000) for key, name in (("k1", "a1"), ("k2", "b2")))

    async def begin(self, keyring: Keyring = RING) -> None:
        await self.store.put_document(published_scorer_document("purchase", 3), b"{}")
        self.training = await TrainingLog.acquire(self.store, versions(), SHARDS, keyring)
        await self.training.take([TrainingRecord(0, LogRecord(self.offset, 0, b""), Example("mark", 0, self.offset, 0, T0, definitions=1))])

    async def say(self, control: Control, by: Signer | None) -> list[str]:
        """Why it was refused, if it was."""
        raw = encode_control(control)
        return await self.hear(LogRecord(0, 0, raw, control=True, headers=control_headers(by, 0, raw, EXAMPLES)))

    async def hear(self, record: LogRecord) -> list[str]:
        self.offset += 1
        batch = await self.training.take([read_training_record(0, record._replace(offset=self.offset))])
        return [error.reason for _, error in batch.refused]

    @property
    def pinned(self) -> bool:
        return self.training.body.current.get("purchase", (0, ""))[0] == 3


PIN, UNPIN = Control("pin", version=3, model="purchase"), Control("unpin", model="purchase")


async def test_before_the_first_keys_a_pin_needs_no_signature() -> None:
    """A shop that has no keys works as ever."""
    room = Room(MemoryStore())
    await room.begin(NO_KEYS)
    assert (await room.say(PIN, None), room.pinned) == ([], True)


async def test_once_keys_hold_a_pin_counts_only_when_it_is_signed_and_once() -> None:
    """Whoever may write examples could pin a model at its worst version, or copy a true pin later."""
    room = Room(MemoryStore())
    await room.begin()
    assert await room.say(KEYS, room.mine) == []
    assert [await room.say(PIN, by) for by in (None, room.others)] == [["bad_signature"], ["bad_signature"]]
    assert not room.pinned
    raw = encode_control(PIN)
    true = LogRecord(0, 0, raw, control=True, headers=control_headers(room.mine, 0, raw, EXAMPLES))
    assert (await room.hear(true), room.pinned) == ([], True)
    assert await room.say(UNPIN, room.mine) == []
    assert await room.hear(true) == ["replayed"]


async def test_a_learner_remembers_which_keys_hold_and_does_not_go_on_without_them() -> None:
    """The record that named them lies behind it."""
    room = Room(MemoryStore())
    await room.begin()
    await room.say(KEYS, room.mine)
    await room.training.commit()
    await room.begin()
    assert await room.say(PIN, None) == ["bad_signature"]
    with pytest.raises(HaltError, match="'k1', which is not in STREAMER_SIGNING_KEYS"):
        await room.begin(NO_KEYS)
