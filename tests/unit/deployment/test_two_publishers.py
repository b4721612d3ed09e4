"""Two who publish at the same moment: at each point at which one of them waits the other does all of its work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

import pytest

from streamer.deployment import publishing
from streamer.errors import SettingsError
from streamer.language.definitions import parse_definitions
from streamer.settings import load_settings
from tests.unit.deployment.test_publishing import SHARDS, Shop, Topic

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.flow.published import Published

Deed = Callable[[], Awaitable[publishing.Proposal]]
ENOUGH: Final = 50  # no publisher waits so often


class _Turn:
    """Lets the other go on."""

    def __await__(self) -> Generator[None]:
        yield


class WaitingTopic(Topic):
    """A topic that whoever asks it has to wait for, before and after it does something."""

    async def refresh(self) -> Published:
        await _Turn()
        found = await super().refresh()
        await _Turn()
        return found

    async def append(self, raw: bytes) -> int:
        await _Turn()
        offset = await super().append(raw)
        await _Turn()
        return offset


class Square:
    """A shop whose publishers each have read the topic for themselves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.shop = Shop(monkeypatch, folder)
        self.shop.topic = WaitingTopic()
        monkeypatch.setattr(publishing, "DefinitionsTopic", lambda *_: self._reader())

    def _reader(self) -> Topic:
        found = WaitingTopic()
        found.records = self.shop.topic.records
        return found

    def publishes(self, name: str, *, shadow: bool = False) -> Deed:
        return lambda: self.shop.propose(name, shadow=shadow)

    def does(self, again: Callable[..., Awaitable[publishing.Proposal]]) -> Deed:
        return lambda: self.shop.again(again)

    def names(self) -> list[str]:
        """What was published, in the order of its numbers, by the name of its only segment."""
        published = asyncio.run(self._read())
        found = [one for version in range(1, 9) if (one := published.at(version)) is not None]
        return [self._name(one.version) + "?" * one.is_shadow for one in found]

    async def _read(self) -> Published:
        plain = Topic()
        plain.records = self.shop.topic.records
        return await plain.refresh()

    def _name(self, version: int) -> str:
        plain = Topic()
        plain.records = self.shop.topic.records
        content = asyncio.run(plain.content(version))
        assert content is not None, "it has a number"
        return parse_definitions(content).segments[0].name


def together(one: Deed, other: Deed, turns: int) -> tuple[list[publishing.Proposal | None], bool]:
    """One goes so many turns, the other to its end, then the first: what each came to (None: it was told that it does not count), and
    whether the first was still at work when the other began."""
    first, second = (deed().__await__() for deed in (one, other))
    found: list[publishing.Proposal | None] = [None, None]

    def go(at: int, work: Generator[object, object, publishing.Proposal], turns: int) -> bool:
        try:
            for _ in range(turns):
                next(work)
        except StopIteration as end:
            found[at] = end.value
            return False
        except SettingsError:
            return False
        return True

    is_within = go(0, first, turns)
    assert not go(1, second, ENOUGH)
    if is_within:
        assert not go(0, first, ENOUGH)
    return found, is_within


# the first and the second of two deeds over a, b (and c as a shadow); what may stand behind these once both are done or refused
PAIRS: Final = {
    "two publications": ("publish d", "publish e", [["d"], ["e"], ["d", "e"], ["e", "d"]]),
    "a publication and a rollback": ("publish d", "roll back", [["d"], ["a"], ["d", "b"], ["a", "d"]]),
    "a publication and a shadow": ("publish d", "shadow e", [["d"], ["e?"], ["d", "e?"], ["e?", "d"]]),
    "the same twice": ("publish d", "publish d", [["d"]]),
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("is_turned", [False, True])
def test_each_counts_behind_the_other_or_is_told_that_it_does_not(
    pair: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_turned: bool
) -> None:
    """A rollback goes back behind what its caller saw, and takes away nothing that they did not."""
    overtaken = 0
    for turns in count():
        square = Square(monkeypatch, tmp_path)
        deeds: dict[str, Deed] = {
            "publish d": square.publishes("d"),
            "publish e": square.publishes("e"),
            "shadow e": square.publishes("e", shadow=True),
            "roll back": square.does(publishing.roll_back),
        }
        for name in "ab":
            together(square.publishes(name), square.publishes(name), ENOUGH)
        one, other, right = PAIRS[pair]
        first, second = (other, one) if is_turned else (one, other)
        found, is_within = together(deeds[first], deeds[second], turns)
        names = square.names()
        assert (names[:2], names[2:] in right) == (["a", "b"], True), (turns, names)
        assert len(names) - 2 == len({one.publication.version for one in found if one is not None}), "each that counts has its number"
        assert any(found), "one of the two counts"
        overtaken += None in found
        if not is_within:
            break
    assert overtaken or pair == "the same twice"


@pytest.mark.parametrize("is_turned", [False, True])
def test_of_a_cut_over_and_its_end_only_one_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_turned: bool) -> None:
    """Somebody cuts over to a shadow while somebody else gives it up: neither undoes the other without a word."""
    for turns in count():
        square = Square(monkeypatch, tmp_path)
        for name in "ab":
            deed = square.publishes(name, shadow=name == "b")
            together(deed, deed, ENOUGH)
        cuts_over, gives_up = square.does(publishing.cut_over), square.does(publishing.give_up_shadow)
        found, is_within = together(gives_up, cuts_over, turns) if is_turned else together(cuts_over, gives_up, turns)
        assert square.names() in (["a", "b"], ["a", "b?", "a"]), turns
        assert found.count(None) == 1
        if not is_within:
            break


def test_two_workers_that_start_with_two_files_publish_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither fails: whatever was published is newer than a file of the start."""
    for turns in count():
        square = Square(monkeypatch, tmp_path)
        shop = square.shop
        starts = [load_settings(shards=SHARDS, segments=shop.file(name)) for name in "ab"]
        first, second = (publishing.first_definitions(one, cast("Any", None), shop.store).__await__() for one in starts)
        is_within = next((False for _ in range(turns) if next(first, "done") == "done"), True)
        assert "done" in (next(second, "done") for _ in range(ENOUGH))
        assert not is_within or "done" in (next(first, "done") for _ in range(ENOUGH))
        assert len(square.names()) == 1
        if not is_within:
            break
