"""What is used of scipy."""

from collections.abc import Sequence

class _Indices(Sequence[int]): ...

def linear_sum_assignment(cost_matrix: Sequence[Sequence[float]], maximize: bool = ...) -> tuple[Sequence[int], Sequence[int]]: ...
