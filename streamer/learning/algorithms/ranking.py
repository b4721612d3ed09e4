"""How well margins rank those who are in a seed above those who are not, judged on margins given before the answer was known."""

from __future__ import annotations

from math import sqrt
from typing import Final, TypedDict

_CELLS: Final = 400
_MARGIN_MAX: Final = 10.0
_HALVED_EVERY: Final = 20_000  # judged ones: what is older counts half
SURE_SD: Final = 3.0  # standard errors: it is looked at every day, and the same people come again


class RankingState(TypedDict):
    """What ``Ranking.dump`` gives; a cell, and the weights of members and others in it."""

    count: int
    cells: list[tuple[int, float, float]]


class Ranking:
    """Counts of both kinds by margin, in cells of 0.05: ties within one are counted half."""

    def __init__(self) -> None:
        self._ins = [0.0] * _CELLS
        self._outs = [0.0] * _CELLS
        self.count = 0

    def add(self, margin: float, inside: bool) -> None:
        """Judge one."""
        cell = int((max(-_MARGIN_MAX, min(_MARGIN_MAX, margin)) + _MARGIN_MAX) * (_CELLS - 1) / (2 * _MARGIN_MAX))
        (self._ins if inside else self._outs)[cell] += 1
        self.count += 1
        if self.count % _HALVED_EVERY == 0:
            self._ins = [count / 2 for count in self._ins]
            self._outs = [count / 2 for count in self._outs]

    @property
    def auc(self) -> float | None:
        """Chance that one inside has the higher margin than one outside; None without both."""
        ins, outs = sum(self._ins), sum(self._outs)
        if not ins or not outs:
            return None
        below = better = 0.0
        for inside, outside in zip(self._ins, self._outs, strict=True):
            better += inside * (below + outside / 2)
            below += outside
        return better / (ins * outs)

    @property
    def low(self) -> float | None:
        """A bound that the true AUC is above, with SURE_SD standard errors (Hanley and McNeil)."""
        auc = self.auc
        if auc is None:
            return None
        ins, outs = sum(self._ins), sum(self._outs)
        two_ins, two_outs = auc / (2 - auc) - auc * auc, 2 * auc * auc / (1 + auc) - auc * auc
        variance = (auc * (1 - auc) + (ins - 1) * two_ins + (outs - 1) * two_outs) / (ins * outs)
        return auc - SURE_SD * sqrt(max(variance, 0.0))

    def dump(self) -> RankingState:
        """As JSON can hold it: only cells that count anything."""
        cells = [(at, inside, outside) for at, (inside, outside) in enumerate(zip(self._ins, self._outs, strict=True)) if inside or outside]
        return {"count": self.count, "cells": cells}

    @classmethod
    def restore(cls, dumped: RankingState) -> Ranking:
        """The inverse of ``dump``."""
        ranking = cls()
        ranking.count = dumped["count"]
        for at, inside, outside in dumped["cells"]:
            ranking._ins[at], ranking._outs[at] = float(inside), float(outside)
        return ranking
