"""Whether the seeded world notices that the code is broken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Literal

import pytest

from streamer.errors import HaltError

from .verdict import judge
from .world import ViolationError, World

SEEDS = int(os.environ.get("STREAMER_TEST_MUTANT_SEEDS", "120"))
Mutant = Callable[[pytest.MonkeyPatch], None]
Judges = Literal["sound", "both", "broken"]  # by which code histories are judged that were played by the broken one


def first_caught(mutate: Mutant, monkeypatch: pytest.MonkeyPatch, seeds: Iterable[int], judged_by: Judges = "sound") -> int | None:
    """The first of these histories that ends wrong when the code is broken; None: none does.

    Where the judge is the broken code alone, what notices is the oracle, or a law.
    """
    for seed in seeds:
        history = World(seed)
        try:
            with monkeypatch.context() as patch:
                mutate(patch)
                history.run()
                if judged_by != "sound":
                    judge(history)
            if judged_by != "broken":
                judge(history)
        except (ViolationError, HaltError) as error:  # nothing else counts: a clumsy mutant must not pass for one that was noticed
            if os.environ.get("STREAMER_TEST_VERBOSE"):
                print(f"\n{mutate.__name__}: seed {seed}: {error!s:.200}")
            return seed
        finally:
            history.close()
    return None
