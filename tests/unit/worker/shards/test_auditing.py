"""What a worker has of its customers is told anew beside its work: what was changed behind its back is found, counted, and shown."""
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from stat import S_IMODE
from typing import Any

import msgspec
import pytest

from streamer.customers.state import Membership, decode_state, encode_state
from streamer.flow import audit as audit_module
from streamer.flow.mismatch import decode_mismatch, differences, retell
from streamer.wire import EVENTS, LogRecord
from streamer.worker.status.audit_status import AuditStatus
from tests.unit.worker.one_worker import Worker

CUSTOMERS = [f"c{number}" for number in range(20)]


async def own(monkeypatch: pytest.MonkeyPatch, **settings: str) -> Worker:
    """A worker with everybody's first event read, and the records of its log to pick from."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    worker = Worker()
    await worker.own()
    picker: Any = worker.segmenter.picker

    async def pick(shard: int, offsets: Sequence[int]) -> Mapping[int, LogRecord]:
        return {record.offset: record for record in worker.log.fetch(shard, 0, 10_000) if record.offset in offsets}

    picker.pick = pick
    return worker


async def audit(worker: Worker, customers: Sequence[str]) -> None:
    worker.segmenter.auditor._todo = [(0, customer) for customer in customers]
    for _ in customers:
        assert await worker.segmenter.auditor.turn() >= 0.2


def counted(worker: Worker, name: str) -> float:
    return worker.segmenter.metrics.registry.get_sample_value(name) or 0.0


def files_in(folder: Path) -> list[tuple[int, str]]:
    """Of each file who may do what with it, and its text."""
    return [(S_IMODE(file.stat().st_mode), file.read_text()) for file in folder.iterdir()]


def change(worker: Worker, customer: str) -> None:
    """Somebody writes into the store: a state that can be read, and is not true."""
    states = worker.store._shards[0].states
    state = decode_state(states[customer])
    number, entry = next(iter(state.members.items()))
    state.members[number] = Membership(entry.changes + 1, entry.at_ms)
    states[customer] = encode_state(state)


async def test_whoever_is_as_the_log_says_is_counted_and_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the time that is all."""
    worker = await own(monkeypatch)
    await audit(worker, [*CUSTOMERS, "nobody"])
    assert (counted(worker, "segmenter_audited_total"), counted(worker, "segmenter_segment_mismatch_total")) == (20, 0)
    assert worker.segmenter.metrics.registry.get_sample_value("segmenter_unaudited_total", {"why": "nobody"}) == 1
    assert worker.published == []


async def test_a_state_that_somebody_has_changed_is_found_and_shown_to_whoever_wants_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a file that only its owner may read, in a folder that the operator named: it has a customer's events."""
    worker = await own(monkeypatch, STREAMER_AUDIT_FOLDER=str(tmp_path))
    change(worker, "c3")
    await audit(worker, ["c3", "c4"])
    assert (counted(worker, "segmenter_audited_total"), counted(worker, "segmenter_segment_mismatch_total")) == (2, 1)
    [(mode, text)] = files_in(tmp_path)
    assert mode == 0o600
    shown = decode_mismatch(text.encode())
    told = await asyncio.to_thread(retell, shown)
    assert (shown.customer, shown.stored == worker.store._shards[0].states["c3"], told.state == shown.folded) == ("c3", True, True)
    assert differences(shown.stored, told.state, told.plan) == ["segment seen"]
    assert [record.offset for record in shown.records if b"userId" in record.value] == [4], "and no event of anybody else"
    await worker.segmenter.alerts.flush()
    [said] = [msgspec.json.decode(raw) for raw in worker.published]
    assert said["type"] == "alert.mismatch"
    assert "c3" not in said["data"]["text"], "it goes into logs"


async def test_without_a_folder_nothing_of_a_customer_is_written_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The alert says how to have it."""
    monkeypatch.chdir(tmp_path)
    worker = await own(monkeypatch)
    change(worker, "c3")
    await audit(worker, ["c3"])
    assert counted(worker, "segmenter_segment_mismatch_total") == 1
    assert files_in(tmp_path) == []
    await worker.segmenter.alerts.flush()
    assert "STREAMER_AUDIT_FOLDER" in msgspec.json.decode(worker.published[0])["data"]["text"]


async def test_whoever_asks_is_told_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """By ``/readyz``, and by the note on the shard that ``streamer doctor`` reads. It keeps no worker from being ready."""
    worker = await own(monkeypatch)
    change(worker, "c3")
    await audit(worker, ["c3", "c4"])
    [status] = worker.segmenter.report.statuses()
    assert (status.audit, status.problem) == (AuditStatus(compared=2, differing=1, differed_at=worker.log.end(EVENTS, 0)), "")


async def test_of_whom_too_much_would_have_to_be_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """One customer of thousands of events must not hold up what else there is to do."""
    monkeypatch.setattr(audit_module, "RECORDS_MAX", 1)
    worker = await own(monkeypatch)
    await audit(worker, ["c3"])
    assert worker.segmenter.metrics.registry.get_sample_value("segmenter_unaudited_total", {"why": "too_many"}) == 1
    assert counted(worker, "segmenter_audited_total") == 0


async def test_it_takes_its_share_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A customer that took long is followed by a longer rest; 0 is off."""
    worker = await own(monkeypatch, STREAMER_AUDIT_SHARE="0.001")
    auditor = worker.segmenter.auditor
    auditor._todo = [(0, "c1")]
    assert await auditor.turn() > 0.2, "a millisecond is followed by a second"
    assert auditor.is_on
    assert not (await own(monkeypatch, STREAMER_AUDIT_SHARE="0")).segmenter.auditor.is_on
    assert not (await own(monkeypatch, STREAMER_AUDIT_SHARE="0.1", STREAMER_RECORD_OFFSETS="false")).segmenter.auditor.is_on


async def test_an_audit_that_fails_ends_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits a while and takes the next one."""
    worker, happened = await own(monkeypatch), list[str]()
    picker: Any = worker.segmenter.picker
    sound = picker.pick

    async def pick(*_: object) -> Mapping[int, LogRecord]:
        happened.append("failed")
        raise ZeroDivisionError

    picker.pick = pick
    await audit(worker, ["c3"])
    picker.pick = sound
    await audit(worker, ["c4"])
    assert (happened, counted(worker, "segmenter_audited_total")) == (["failed"], 1)


async def test_it_finds_customers_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bucket by bucket, at random; where a bucket is empty it looks again later."""
    worker = await own(monkeypatch)
    for _ in range(500):
        await worker.segmenter.auditor.turn()
        if counted(worker, "segmenter_audited_total"):
            return
    raise AssertionError("of twenty customers in 64 buckets none was found in 500 turns")
