"""The small public data sets that lie here; `python -m tests.soak born-old --data FOLDER` takes whole ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.born_old import HERE, compare, found_in


@pytest.mark.parametrize(("file", "mapping"), list(found_in(HERE)), ids=lambda given: given.stem if isinstance(given, Path) else given)
def test_what_is_published_behind_a_real_log_is_as_if_it_had_been_there_before(file: Path, mapping: str) -> None:
    """A shop defines its segments when it has customers: each of them is known as though the segment had always been there."""
    found = compare(file, mapping)
    assert found.events > 100
    assert found.customers > 10
