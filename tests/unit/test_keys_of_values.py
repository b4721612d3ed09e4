"""The text by which a scalar is kept in a state: written states and their order depend on each byte of it."""

from __future__ import annotations

from typing import Any

import pytest

from streamer.values import key_of, value_of_key


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("é\u2028\n", '"é\u2028\\n"'),
        (True, "true"),
        (7, "7"),
        (7.0, "7"),
        (0.1, "0.1"),
        (1e-7, "1e-7"),
        (1e15, "1000000000000000.0"),
        (12345678901234567.0, "1.2345678901234568e+16"),
        (1e16, "1e+16"),
        (-2.5e300, "-2.5e+300"),
    ],
)
def test_a_scalar_has_one_text_and_comes_back_from_it(value: Any, key: str) -> None:
    """Whichever library writes it: a customer's favourite product would be another after an upgrade."""
    assert key_of(value) == key
    assert value_of_key(key) == value
