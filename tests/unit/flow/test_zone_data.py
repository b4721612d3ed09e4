"""Which zone data hold is part of the log, and no machine's own data have a part in it."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import shutil
import zoneinfo
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
from training_shop import learner

from streamer import zones
from streamer.errors import DefinitionError, HaltError, SettingsError
from streamer.language.definitions import parse_definitions
from streamer.settings import load_settings
from streamer.stores.memory import MemoryStore
from streamer.values import parse_time_ms
from streamer.zones import PINNED, Zones, find_zone, local
from tests.oracle.story import Record
from tests.property.driving import Case, Driver, changes_by, drive, log_of, shown

NOON = 1_772_625_600_000  # 2026-03-04T12:00:00Z
OTHER = "2001.1"  # there is no such version; here Berlin has Tokyo's clock in it


@pytest.fixture(autouse=True)
def _forgets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test makes known is not known to the next."""
    monkeypatch.setattr(zones, "_known", {PINNED.version: PINNED})
    yield
    zoneinfo.reset_tzpath(())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Other versions, as pip's ``--target`` makes them."""
    data = tmp_path / OTHER / "tzdata"
    for name, source in (("Europe/Berlin", "Asia/Tokyo"), ("UTC", "UTC")):
        place = data / "zoneinfo" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(files("tzdata") / "zoneinfo" / source), place)
    (data / "zones").write_text("Europe/Berlin\nUTC\n")
    (tmp_path / "notes").mkdir()
    return tmp_path


def definitions(**more: str) -> dict[str, Any]:
    return {"zone": "Europe/Berlin", "segments": {"nine": {"when": "hour() == 21"}}, **more}


def case(**more: str) -> Case:
    """Somebody at noon by the other data (21 in Tokyo, 13 in Berlin), then the same definitions by the installed ones."""
    event = {"type": "track", "event": "A", "userId": "c", "messageId": "m", "timestamp": NOON}
    again = {"control": "definitions", "version": 2, "definitions": definitions()}
    evening = {"control": "tick"}
    return Case(definitions(**more), (Record(1, NOON, event), Record(2, NOON + 1, again), Record(3, NOON + 9 * 3_600_000, evening)))


def test_the_operating_systems_zones_are_never_read(tmp_path: Path) -> None:
    """Debian's data of the year before would put Vancouver an hour back in the winter of 2026."""
    (tmp_path / "America").mkdir()
    shutil.copyfile(str(files("tzdata") / "zoneinfo" / "UTC"), tmp_path / "America" / "Vancouver")
    zoneinfo.reset_tzpath([str(tmp_path)])
    moment = parse_time_ms("2026-11-28T16:00:00Z")
    assert moment is not None
    assert local(moment, zoneinfo.ZoneInfo.no_cache("America/Vancouver")).hour == 16, "the false data are what Python would read"
    fresh = Zones(PINNED.version, files("tzdata")).find("America/Vancouver")
    assert fresh is not None
    assert local(moment, fresh).hour == 9


@pytest.mark.parametrize(
    "name", ["", "localtime", "Factory", "posixrules", "europe/berlin", "../tzdata/zoneinfo/UTC", "zone.tab", "x" * 9_999, "\0"]
)
def test_what_is_no_zone_everywhere_is_none_here(name: str) -> None:
    """Names are those of the package's list, as they are spelt: file systems that ignore case must not make a difference."""
    assert find_zone(name) is None


def test_each_stretch_of_a_log_is_told_by_the_data_that_held_then(folder: Path) -> None:
    """And a rebuild says the same."""
    assert zones.add(folder) == [OTHER]
    log = case(zone_data=OTHER)
    driver, _ = drive(log)
    assert [(change.entered, change.at_ms - NOON, change.cause.kind) for change in changes_by(driver)] == [
        (True, 0, "event"),
        (False, 1, "definitions"),
        (True, 8 * 3_600_000, "timer"),
        (False, 9 * 3_600_000, "timer"),
    ]
    assert shown(log) == shown(log)


def test_a_worker_without_the_zone_data_does_not_take_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which, and how to get them, and has told nothing."""
    zones.add(folder)
    log = log_of(case(zone_data=OTHER))
    monkeypatch.setattr(zones, "_known", {PINNED.version: PINNED})
    driver = Driver(case())
    with pytest.raises(HaltError, match=f"tzdata {OTHER}.*pip install --no-deps --target DIR/{OTHER} tzdata=={OTHER}.*STREAMER_ZONES_DIR"):
        asyncio.run(driver.run(log))
    assert asyncio.run(driver.acquire()).position.offset == 0


async def test_the_learner_has_the_shops_clock_by_the_zone_data_of_the_definitions(folder: Path) -> None:
    """What is usual at an hour of the week is told by the hours that segments are told by, on every machine."""
    zones.add(folder)
    source = {"zone": "Europe/Berlin", "zone_data": OTHER, "segments": {"nine": {"for": "a test", "when": "hour() == 21"}}}
    training = await learner(MemoryStore(), msgspec.json.encode(source).decode())
    await training._teach(1)
    assert training._learner is not None
    assert local(NOON, training._learner._surges._zone).hour == 21
    await training._teach(1)  # as it goes on after a restart
    assert local(NOON, training._learner._surges._zone).hour == 21


def test_the_version_is_part_of_the_content() -> None:
    """The same file published by other data is other definitions."""
    source = {"segments": {"s": {"for": "a test", "when": "hour() == 9"}}}
    found = parse_definitions(source)
    assert found.zone_data == PINNED.version
    assert parse_definitions(found.content()) == found
    assert f'"zone_data":"{PINNED.version}"'.encode() in found.content()
    with pytest.raises(DefinitionError, match="expected a version of tzdata such as"):
        parse_definitions({**source, "zone_data": "latest"})


def test_a_setting_names_the_folder_of_further_versions(folder: Path) -> None:
    """It is read at the start, and a folder that is not there is told at once."""
    load_settings(zones_dir=folder)
    assert zones.zones_of(OTHER).version == OTHER
    with pytest.raises(SettingsError, match="STREAMER_ZONES_DIR"):
        load_settings(zones_dir=folder / "none")
