"""The topic of definitions numbers them, and everybody who reads it comes to the same numbers."""

from __future__ import annotations

import msgspec
import pytest

from streamer.errors import HaltError
from streamer.flow.published import PLACE, REFUSED_KEPT, Published, definitions_in, encode_manifest, manifest_of
from streamer.flow.rules import STORY, Rules
from streamer.language.definitions import Definitions, parse_definitions
from streamer.signing import Keyring, Signer
from streamer.wire import Control, LogRecord, definitions_control, encode_control

A = parse_definitions({"segments": {"a": {"for": "x", "when": 'did("A")'}}})
B = parse_definitions({"segments": {"b": {"for": "x", "when": 'did("B")'}}})


def control(definitions: object, stated: int = 1) -> bytes:
    found = A if definitions == "A" else B
    return definitions_control(found.content(), found.digest, stated)


def read(*values: bytes) -> Published:
    """A topic of these records."""
    published = Published()
    for offset, value in enumerate(values):
        published.take(LogRecord(offset, 0, value))
    return published


def numbers(published: Published) -> list[tuple[int, str]]:
    names = {A.digest: "A", B.digest: "B"}
    return [(one.version, names[one.digest]) for at in range(1, 9) if (one := published.at(at)) is not None]


def test_definitions_that_come_back_have_a_number_of_their_own() -> None:
    """1, 2, 1 would send readers back, and the learner would stay with 2."""
    assert numbers(read(control("A"), control("B"), control("A"))) == [(1, "A"), (2, "B"), (3, "A")]


def test_the_same_twice_is_one() -> None:
    """A publisher that got no answer sends again."""
    assert numbers(read(control("A"), control("A"), control("B"), control("B"))) == [(1, "A"), (2, "B")]


def test_two_who_publish_at_the_same_moment_get_two_numbers() -> None:
    """Both had read the topic when it was at 1, and both said 2."""
    published = read(control("A", 1), control("B", 2), control("A", 2))
    assert numbers(published) == [(1, "A"), (2, "B"), (3, "A")]
    assert [published.upto(offset).version for offset in range(3)] == [1, 2, 3]


def test_a_number_that_was_stated_higher_counts() -> None:
    """The topic has lost records, and the shards are at 7 already."""
    assert numbers(read(control("A", 8), control("B", 2))) == [(8, "A")]
    assert read(control("A", 8), control("B", 2)).newest == (9, B.digest, 1, False, ())


@pytest.mark.parametrize(
    "value", [b"", b"{", b'"x"', encode_control(Control("tick")), definitions_control(A.content(), B.digest, 1), b"\xff\xfe"]
)
def test_what_nobody_can_read_has_no_number(value: bytes) -> None:
    """It is counted, and those behind it are numbered as if it were not there."""
    published = read(value, control("A"))
    assert (numbers(published), published.unreadable, published.end) == ([(1, "A")], 1, 2)


def test_the_content_is_in_its_record() -> None:
    """The learner asks for it by number."""
    assert definitions_in(LogRecord(3, 0, control("B"))) == B.content()


def test_a_record_that_is_read_twice_counts_once() -> None:
    """Two looks may overlap."""
    published = read(control("A"), control("B"))
    published.take(LogRecord(0, 0, control("A")))
    assert numbers(published) == [(1, "A"), (2, "B")]


def test_the_first_manifest_counts() -> None:
    """Two workers with other settings began at the same moment: one of them must not start."""
    first, second = manifest_of("shop", Rules(lateness_ms=1)), manifest_of("shop", Rules(lateness_ms=2))
    published = read(encode_manifest(first), encode_manifest(second), control("A"))
    assert published.manifest == first
    assert first.differences(second) == ["lateness_ms was 1, is 2"]
    assert numbers(published) == [(1, "A")]


def test_a_log_that_was_made_anew_goes_on_under_the_next_manifest() -> None:
    """Nothing else of it may change, and no generation is left out: a slip in the setting begins nothing."""
    first, second, fourth = (manifest_of("shop", Rules(log_generation=number), "kept") for number in (1, 2, 4))
    other = manifest_of("shop", Rules(log_generation=2, lateness_ms=5), "kept")
    assert [one.follows(first) for one in (first, second, fourth, other)] == [False, True, False, False]
    assert not manifest_of("shop", Rules(log_generation=2), "elsewhere").follows(first)
    published = read(*map(encode_manifest, (first, other, fourth, second, first)), control("A"))
    assert published.manifest == second
    assert numbers(published) == [(1, "A")]


def test_the_manifest_says_which_story_is_told() -> None:
    """An upgrade that changes the meaning of the step must not go on in an old log."""
    found = manifest_of("shop", Rules())
    assert (found.topic, found.story, found.rules.log_generation) == ("shop.events", STORY, 1)
    older = msgspec.structs.replace(found, story=STORY + 1)
    assert found.differences(older) == [f"story was {STORY}, is {STORY + 1}"]


RING = Keyring("shop", {"k1": b"1" * 32, "k2": b"2" * 32})
KEYS = encode_control(Control("keys", keys={"k1": RING.check_value("k1")}))
MINE, OTHERS = (Signer(RING, key, name, lambda: 1_000) for key, name in (("k1", "a1"), ("k2", "b2")))


def record(offset: int, value: bytes, by: Signer | None) -> LogRecord:
    return LogRecord(offset, 0, value, headers=by.sign(PLACE, value) if by is not None else ())


def test_once_keys_hold_only_what_is_signed_has_a_number() -> None:
    """Whoever may write into this topic would otherwise publish in the workers' name: they finish what was begun."""
    published = Published(RING)
    found = [record(0, control("B"), None), record(1, KEYS, MINE), record(2, control("A"), MINE)]
    found += [record(3, control("B"), None), record(4, control("B"), OTHERS), found[2]._replace(offset=5), record(6, control("B"), MINE)]
    for one in found:
        published.take(one)
    assert numbers(published) == [(1, "B"), (2, "A"), (3, "B")]
    assert {offset: error.reason for offset, error in published.refused.items()} == {3: "bad_signature", 4: "bad_signature", 5: "replayed"}
    assert published.keys == ["k1"]


def test_who_lacks_a_key_reads_no_further_and_does_not_pass_the_record_over() -> None:
    """With the key in the settings it goes on where it was."""
    published = Published()
    for _ in range(2):
        with pytest.raises(HaltError, match="'k1', which is not in STREAMER_SIGNING_KEYS"):
            published.take(record(0, KEYS, MINE))
    assert published.end == 0


def test_what_is_remembered_of_refused_records_is_bounded() -> None:
    """Anybody may write them for ever."""
    published = Published(RING)
    published.take(record(0, KEYS, MINE))
    for offset in range(1, REFUSED_KEPT + 10):
        published.take(record(offset, control("A"), None))
    assert list(published.refused) == list(range(10, REFUSED_KEPT + 10))


def shadowed(definitions: object) -> bytes:
    found = A if definitions == "A" else B
    return definitions_control(found.content(), found.digest, 1, shadow=True)


def test_a_shadow_has_a_number_and_does_not_hold_before_it_is_published_as_what_it_is() -> None:
    """To cut over is one record, and the number that people have compared stays."""
    published = read(control("A"), shadowed("B"))
    assert (numbers(published), published.newest, published.shadow) == ([(1, "A"), (2, "B")], published.at(1), published.at(2))
    released = read(control("A"), shadowed("B"), control("B"))
    assert (numbers(released), released.newest, released.shadow) == ([(1, "A"), (2, "B")], released.at(2), None)
    assert released.former == released.at(1)


def test_whatever_is_published_behind_a_shadow_overtakes_it() -> None:
    """What holds, published again, is how a shadow is given up."""
    published = read(control("A"), shadowed("B"), control("A"), control("B"))
    assert numbers(published) == [(1, "A"), (2, "B"), (3, "A"), (4, "B")]
    assert (published.newest, published.former, published.shadow) == (published.at(4), published.at(3), None)


def test_what_holds_does_not_become_a_shadow() -> None:
    """A slip with --shadow must not take anything out of force."""
    published = read(control("A"), shadowed("A"))
    assert (numbers(published), published.newest, published.shadow) == ([(1, "A")], published.at(1), None)


def test_history_has_a_number_of_its_own_and_stays() -> None:
    """The same definitions with a longer past are something else to obey, and whatever is published behind them has that past too."""

    def brings(given: Definitions, *ends: int) -> bytes:
        return definitions_control(given.content(), given.digest, 1, history=ends)

    found = read(control("A"), brings(A, 3, 0), brings(A, 2, 0), control("B", 2), brings(B, 2, 5))
    assert [found.at(version) for version in (1, 2, 3, 4, 5)] == [
        (1, A.digest, 0, False, ()),
        (2, A.digest, 1, False, (3, 0)),
        (3, B.digest, 3, False, (3, 0)),
        (4, B.digest, 4, False, (3, 5)),
        None,
    ]
    assert found.former == found.at(2)
