"""Which store an address means, and that a store of another package needs nothing here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from streamer import stores
from streamer.errors import SettingsError
from streamer.settings import load_settings
from streamer.stores.memory import MemoryStore
from tests.contract.registered import install
from tests.contract.sqlite_store import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an installed package that registers ``sqlite``, on the path."""
    install(tmp_path, scheme="sqlite", opener="tests.contract.sqlite_store:open_sqlite")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


async def test_a_scheme_of_another_package_opens_its_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of ours is touched for a new store, and the settings take its address."""
    monkeypatch.setenv("STREAMER_STORE", f"sqlite://{folder}")
    store = load_settings(namespace="shop").open_store()
    assert isinstance(store, SqliteStore)
    assert store.file == folder / "shop.sqlite"
    await store.close()


def test_a_scheme_of_nobody_names_those_that_there_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and those that were installed; the address may hold a password and is not repeated."""
    monkeypatch.setenv("STREAMER_STORE", "postgres://me:hunter2@db/shop")
    with pytest.raises(SettingsError, match=r"STREAMER_STORE: expected an address that begins with redis://, .*, sqlite://") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
    assert stores.schemes()[-1] == folder.joinpath("sqlite").name


def test_another_package_does_not_replace_a_store_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is installed beside it, an address means what the documentation says."""
    install(tmp_path, scheme="memory", opener="tests.contract.sqlite_store:open_sqlite")
    monkeypatch.syspath_prepend(tmp_path)
    assert isinstance(stores.open("memory://"), MemoryStore)
    assert stores.schemes().count("memory") == 1


async def test_a_store_in_memory_says_that_it_ends_with_its_process() -> None:
    """Allowed for a trial: the worker starts, and the doctor warns."""
    health = await stores.open("memory://").health()
    assert [finding.name for finding in health.findings] == ["not_durable"]
    assert health.problems == health.dangers == []


def test_a_store_in_memory_is_of_one_process_alone() -> None:
    """A worker folds its lanes itself over it; over any other, by processes of their own."""
    assert not stores.is_shared("memory://")
    assert all(map(stores.is_shared, ("redis://localhost", "rediss+sentinel://a:1/b/0", "sqlite:///tmp")))
