"""What a test needs and this machine has not: a skip, or a failure where ``STREAMER_REQUIRE_REAL=1`` says that all must be there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

REQUIRE_REAL_VARIABLE = "STREAMER_REQUIRE_REAL"


def real_is_required() -> bool:
    """Whether what is missing is a failure, as in CI."""
    return os.environ.get(REQUIRE_REAL_VARIABLE, "") not in {"", "0"}


def missing(what: str) -> NoReturn:
    """End the test, saying what it needs."""
    if real_is_required():
        pytest.fail(f"{what}\n({REQUIRE_REAL_VARIABLE} is set, so this is a failure and not a skip)", pytrace=False)
    pytest.skip(what)
