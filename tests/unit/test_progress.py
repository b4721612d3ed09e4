"""``make test`` says what it is doing."""

from __future__ import annotations

from tests.progress import EVERY_SECONDS, Progress


def test_a_line_now_and_then_names_folders_and_how_many_tests_ended() -> None:
    """A run of ten minutes that says nothing is taken for one that hangs."""
    now = 100.0
    progress = Progress(lambda: now)
    assert progress.ended("tests/unit/flow/test_slices.py::test_a", 300) is None
    assert progress.ended("tests/live/test_faults.py::test_b[x/y]", 300) is None
    now += 3 * EVERY_SECONDS + 5
    assert progress.ended("tests/live/test_faults.py::test_c", 300) == "1:05  3 of 300 tests; now in unit/flow (1), live (2)"
    assert progress.ended("tests/live/test_faults.py::test_d", 300) is None
    now += EVERY_SECONDS
    assert progress.ended("tests/oracle/test_oracle.py::test_e", 0) == "1:25  5 of ? tests; now in live (1), oracle (1)"
