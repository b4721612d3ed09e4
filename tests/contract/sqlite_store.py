"""A third store, on one SQLite file: what another package has to write. It is registered under ``sqlite://FOLDER`` by an entry point."""
# ruff: noqa: S608 - the names of tables are ours

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_bytes

from streamer.errors import KeysLostError, SettingsError, StoreUnavailableError
from streamer.stores import Access
from streamer.stores.base import Checkpoint, Commit, Committed, Fetched, Holdings, OutputPosition, Page, Position, fenced, lost
from streamer.stores.buckets import BUCKETS, bucket_of
from streamer.stores.health import Health

TABLES = ("customers", "wakes", "documents", "outbox")
SCHEMA = """
CREATE TABLE IF NOT EXISTS checkpoints (shard INT PRIMARY KEY, epoch INT, offset INT, step INT, output_digest BLOB, body BLOB, owner BLOB,
  customers BLOB, wakes INT, documents INT);
CREATE TABLE IF NOT EXISTS customers (shard INT, name TEXT, value BLOB, PRIMARY KEY (shard, name));
CREATE INDEX IF NOT EXISTS walk ON customers (shard, bucket(name), name);
CREATE TABLE IF NOT EXISTS wakes (shard INT, name TEXT, value INT, PRIMARY KEY (shard, name));
CREATE TABLE IF NOT EXISTS documents (shard INT, name TEXT, value BLOB, PRIMARY KEY (shard, name));
CREATE TABLE IF NOT EXISTS outbox (shard INT, offset INT, ordinal INT, value BLOB, PRIMARY KEY (shard, offset, ordinal));
CREATE TABLE IF NOT EXISTS shared (name TEXT PRIMARY KEY, value BLOB);
"""


def open_sqlite(url: str, *, namespace: str, access: Access) -> SqliteStore:
    """The store in ``FOLDER/NAMESPACE.sqlite`` for ``sqlite://FOLDER``."""
    folder = Path(url.partition("://")[2])
    if not folder.is_dir():
        raise SettingsError("STREAMER_STORE: expected sqlite://FOLDER with a folder that is there")
    return SqliteStore(folder / f"{namespace}.sqlite")


class SqliteStore:
    def __init__(self, file: Path, *, is_lane: bool = False) -> None:
        self.file, self.is_lane = file, is_lane
        self.lanes_by_name: dict[str, SqliteStore] = {}
        self.sql = sqlite3.connect(file, isolation_level=None, timeout=1)
        self.sql.create_function("bucket", 1, bucket_of, deterministic=True)
        self.sql.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + SCHEMA)

    @contextmanager
    def _transaction(self) -> Generator[None]:
        try:
            self.sql.execute("BEGIN IMMEDIATE")
            with self.sql:
                yield
        except sqlite3.OperationalError as error:
            raise StoreUnavailableError(str(error)) from None

    def _read(self, shard: int, expected: Checkpoint | None = None) -> Checkpoint:
        row = self.sql.execute("SELECT * FROM checkpoints WHERE shard = ?", (shard,)).fetchone()
        found = Checkpoint(0, Position(0, 0), b"", b"")
        if row is not None:
            holds = None if row[7] is None else Holdings(tuple(json.loads(row[7])), *row[8:])
            found = Checkpoint(row[1], Position(row[2], row[3]), row[4], row[5], row[6], holds)
        if expected is not None and expected.mark != found.mark:
            raise fenced(shard, expected, found)
        return found

    def _write(self, shard: int, new: Checkpoint) -> Checkpoint:
        counts = (None, None, None) if new.holds is None else (json.dumps(new.holds.customers), *new.holds[1:])
        row = (shard, new.epoch, *new.position, new.output_digest, new.body, new.owner, *counts)
        self.sql.execute("INSERT OR REPLACE INTO checkpoints VALUES (?,?,?,?,?,?,?,?,?,?)", row)
        return new

    def _check_whole(self, shard: int, holds: Holdings | None) -> None:
        sizes = dict(self.sql.execute("SELECT bucket(name), count(*) FROM customers WHERE shard = ? GROUP BY 1", (shard,)).fetchall())
        others = [self.sql.execute(f"SELECT count(*) FROM {name} WHERE shard = ?", (shard,)).fetchone()[0] for name in Holdings._fields[1:]]
        found = Holdings(tuple(sizes.get(bucket, 0) for bucket in range(BUCKETS)), *others)
        if holds is not None and holds != found:
            raise KeysLostError(f"shard {shard}: {lost(holds, found)}")

    async def acquire(self, shard: int) -> Checkpoint:
        with self._transaction():
            old = self._read(shard)
            self._check_whole(shard, old.holds)
            return self._write(shard, Checkpoint(old.epoch + 1, old.position, old.output_digest, old.body, token_bytes(8), old.holds))

    async def verify(self, shard: int, expected: Checkpoint) -> None:
        with self._transaction():
            self._check_whole(shard, self._read(shard, expected).holds)

    async def reset(self, shard: int, *, expected: Checkpoint | None = None) -> Checkpoint:
        with self._transaction():
            old = self._read(shard, expected)
            for name in TABLES:
                self.sql.execute(f"DELETE FROM {name} WHERE shard = ?", (shard,))
            return self._write(shard, Checkpoint(old.epoch + 1, Position(0, 0), b"", b"", token_bytes(8)))

    async def checkpoint(self, shard: int) -> Checkpoint:
        return self._read(shard)

    async def fetch(
        self, shard: int, customers: Sequence[str], *, until_ms: int, limit: int, expected: Checkpoint | None = None
    ) -> Fetched:
        with self._transaction():
            self._read(shard, expected)
            query = "SELECT value FROM customers WHERE shard = ? AND name = ?"
            rows = [self.sql.execute(query, (shard, name)).fetchone() for name in customers]
            query = "SELECT value, name FROM wakes WHERE shard = ? AND value <= ? ORDER BY value, name LIMIT ?"
            return Fetched([row and row[0] for row in rows], self.sql.execute(query, (shard, until_ms, limit)).fetchall())

    async def committed(self, shard: int, customers: Sequence[str]) -> Committed:
        with self._transaction():
            query = "SELECT value FROM customers WHERE shard = ? AND name = ?"
            rows = [self.sql.execute(query, (shard, name)).fetchone() for name in customers]
            return Committed(self._read(shard), [row and row[0] for row in rows])

    async def customers(self, shard: int, bucket: int, *, limit: int, expected: Checkpoint | None = None) -> Page:
        with self._transaction():
            self._read(shard, expected)
            query = "SELECT bucket(name), name FROM customers WHERE shard = ? AND bucket(name) >= ? ORDER BY 1, 2"
            found: list[str] = []
            last = bucket
            for at, name in self.sql.execute(query, (shard, bucket)):
                if at != last and len(found) >= limit:
                    return Page(found, at)
                found.append(name)
                last = at
            return Page(found, None)

    async def commit(self, shard: int, commit: Commit) -> None:
        with self._transaction():
            self._check_whole(shard, self._read(shard, commit.expected).holds)
            changes: dict[str, Mapping[str, bytes | int | None]] = {
                "customers": commit.states,
                "wakes": commit.wakes,
                "documents": {**commit.documents, **dict.fromkeys(commit.forgotten)},
            }
            for table, values in changes.items():
                gone = [(shard, name) for name, value in values.items() if value is None]
                kept = [(shard, name, value) for name, value in values.items() if value is not None]
                self.sql.executemany(f"DELETE FROM {table} WHERE shard = ? AND name = ?", gone)
                self.sql.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?,?,?)", kept)
            if commit.outbox is not None:
                self.sql.execute("INSERT INTO outbox VALUES (?,?,?,?)", (shard, *commit.outbox[0], commit.outbox[1]))
            self._write(shard, commit.checkpoint)

    async def outbox(self, shard: int, *, after: OutputPosition | None, limit: int) -> list[tuple[OutputPosition, bytes]]:
        query = "SELECT offset, ordinal, value FROM outbox WHERE shard = ? AND (offset, ordinal) > (?, ?) ORDER BY 1, 2 LIMIT ?"
        rows = self.sql.execute(query, (shard, *(after or (-1, -1)), limit))
        return [(OutputPosition(offset, ordinal), value) for offset, ordinal, value in rows]

    async def trim(self, shard: int, *, upto: OutputPosition) -> None:
        self.sql.execute("DELETE FROM outbox WHERE shard = ? AND (offset, ordinal) <= (?, ?)", (shard, *upto))

    async def put_document(self, name: str, content: bytes) -> bytes:
        self.sql.execute("INSERT OR IGNORE INTO shared VALUES (?, ?)", (name, content))
        return self.sql.execute("SELECT value FROM shared WHERE name = ?", (name,)).fetchone()[0]

    async def replace_document(self, name: str, content: bytes) -> None:
        self.sql.execute("INSERT OR REPLACE INTO shared VALUES (?, ?)", (name, content))

    async def get_document(self, name: str, *, shard: int | None = None) -> bytes | None:
        query = "SELECT value FROM documents WHERE shard = ? AND name = ? UNION ALL SELECT value FROM shared WHERE name = ?"
        row = self.sql.execute(query, (shard, name, name)).fetchone()
        return row and row[0]

    async def drop_document(self, name: str) -> None:
        self.sql.execute("DELETE FROM shared WHERE name = ?", (name,))

    def lane(self, name: str) -> SqliteStore:
        if name not in self.lanes_by_name:
            self.lanes_by_name[name] = SqliteStore(self.file.with_suffix(f".{name}.sqlite"), is_lane=True)
        return self.lanes_by_name[name]

    async def lanes(self, shard: int) -> list[str]:
        return sorted([name for name, lane in self.lanes_by_name.items() if (await lane.checkpoint(shard)).epoch])

    async def drop(self, shard: int) -> None:
        with self._transaction():
            for name in ("checkpoints", *TABLES):
                self.sql.execute(f"DELETE FROM {name} WHERE shard = ?", (shard,))

    async def health(self) -> Health:
        return Health(f"SQLite {sqlite3.sqlite_version}, {self.file.stat().st_size:,} bytes")

    async def close(self) -> None:
        if not self.is_lane:
            for store in (self, *self.lanes_by_name.values()):
                store.sql.close()
