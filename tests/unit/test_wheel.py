"""What is installed in production: the wheel, built as an installer builds it, and unpacked where nothing else of ours is."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EVERY_MODULE = """
import importlib, pkgutil, sys, streamer
assert streamer.__file__.startswith(sys.argv[1]), streamer.__file__
names = [found.name for found in pkgutil.walk_packages(streamer.__path__, "streamer.") if not found.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without a network: the builder is in the lock."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but what is in the wheel."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def files_under(folder: Path, start: str = "") -> set[str]:
    """Names of the files in a folder, or in the part of it that is named."""
    return {path.relative_to(folder).as_posix() for path in (folder / start).rglob("*") if path.is_file()}


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python where ``streamer`` is that of the folder, and not the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_wheel_holds_the_package_with_its_data_and_no_servers(unpacked: Path) -> None:
    """A service that segments customers should not carry a simulated shop, nor a way to start a Kafka."""
    found = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    ours = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "streamer").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    left_out = {name for name in ours if name.startswith(("streamer/demo/", "streamer/local/"))}
    assert left_out, "the check looks for nothing"
    assert {name for name in found if name.startswith("streamer/")} == ours - left_out
    assert {name.split("/")[0].split("-")[0] for name in found} == {"streamer"}


def test_every_module_of_the_wheel_can_be_imported_without_them(unpacked: Path) -> None:
    """A module that imports an embedded server would fail in production, at the moment when it is first used."""
    done = python(unpacked, "-c", EVERY_MODULE, str(unpacked))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_the_command_line_of_the_wheel_says_how_to_get_the_demo(unpacked: Path) -> None:
    """One sentence, not a traceback; and the other commands are there."""
    assert "replay" in python(unpacked, "-m", "streamer", "--help").stdout
    done = python(unpacked, "-m", "streamer", "demo")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "the demo is not part of an installed package: get the source of streamer, and type `make demo` in it\n"
