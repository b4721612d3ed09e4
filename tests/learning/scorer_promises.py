"""What tests of several scorers ask of each: the same answers in each process, an answer to whatever comes, and a refusal of damage."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

import pytest

from streamer.errors import RefusedError

WILD = (float("nan"), float("inf"), float("-inf"), 1e308, -1e308, -1.0, 0.0)


class Reasoning(Protocol):
    """A scorer that gives reasons."""

    def score(self, x: Sequence[float]) -> int: ...

    def reasons(self, x: Sequence[float], most: int = 3) -> object: ...


def check_same_in_each_process(program: str) -> None:
    """``program`` prints the same whatever the order of sets is."""
    printed = [
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True, text=True).stdout
        for seed in ("0", "4711")
    ]
    assert printed[0] == printed[1] != ""


def check_answers_to_wild_values(scorer: Reasoning, features: int) -> None:
    """Wild values reach a scorer before anybody can check them."""
    for wild in WILD:
        assert 0 <= scorer.score((wild,) * features) <= 10_000
        scorer.reasons((wild,) * features)


def check_refused(decode: Callable[[bytes], object], content: str, old: str, new: str, path: str) -> None:
    """With ``new`` for the first ``old`` in its content a scorer is refused at ``path``."""
    assert old in content
    with pytest.raises(RefusedError) as refused:
        decode(content.replace(old, new, 1).encode())
    assert refused.value.reason == "bad_model"
    assert refused.value.path.startswith(path)
