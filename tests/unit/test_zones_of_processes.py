"""Zone data of further versions are known in each process that is begun: without them definitions of such a version cannot be read."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import shutil
from importlib.resources import files
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from streamer import zones
from streamer.aside import done_aside
from streamer.errors import SettingsError
from streamer.previews.findings import Findings
from streamer.previews.processes import Caller, others
from streamer.previews.share import Portion
from streamer.settings import Settings, load_settings
from streamer.zones import PINNED

OTHER = "2001.1"  # there is no such version


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another version, as pip's ``--target`` makes it; what a test makes known is not known to the next."""
    monkeypatch.setattr(zones, "_known", {PINNED.version: PINNED})
    data = tmp_path / OTHER / "tzdata"
    (data / "zoneinfo").mkdir(parents=True)
    shutil.copyfile(str(files("tzdata") / "zoneinfo" / "UTC"), data / "zoneinfo" / "UTC")
    (data / "zones").write_text("UTC\n")
    return tmp_path


def find_aside(connection: Connection, _settings: Settings, _task: bytes) -> None:
    """Say that the other version is here; without it there is no answer."""
    connection.send_bytes(zones.zones_of(OTHER).version.encode())


async def find_for_a_part(caller: Caller, _task: object, part: Portion) -> Findings:
    """Say so where a part of a preview is counted."""
    zones.zones_of(OTHER)
    caller.say_told()
    raise SystemExit(part.number)


async def test_what_is_done_aside_knows_the_zones_of_the_settings(folder: Path) -> None:
    """Previews, costs and past members of a server whose log is told by another version."""
    assert await done_aside(find_aside, load_settings(zones_dir=folder), b"", seconds_max=60) == OTHER.encode()


async def test_each_part_of_a_preview_knows_the_zones_of_whoever_asked(folder: Path) -> None:
    """A preview on several cores says what one core says."""
    load_settings(zones_dir=folder)
    async with others(find_for_a_part, None, 2) as theirs:
        await theirs.until_told()


async def test_a_part_says_that_the_folder_has_gone(folder: Path) -> None:
    """Whoever asked reads which setting is meant, and not that memory may be short."""
    load_settings(zones_dir=folder)
    shutil.rmtree(folder)
    async with others(find_for_a_part, None, 2) as theirs:
        with pytest.raises(SettingsError, match="STREAMER_ZONES_DIR"):
            await theirs.until_told()
