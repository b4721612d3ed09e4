"""river's half-space trees, whose state is small whole numbers: they are built again from the seed, and only who came where is kept."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, Protocol, TypedDict, cast

from river.anomaly import HalfSpaceTrees

from streamer.learning.algorithms.array_codec import pack, unpack_counts
from streamer.learning.scorers.unusual_scorer import FAR, Tree

from .river_privates import is_first_window_over, set_first_window_over

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

TREES: Final = 25
HEIGHT: Final = 5  # deeper trees cut so fine that everybody is alone: of the most unusual, 22 % were machines at 8 and 87 % at 5
WINDOW: Final = 500  # profiles; the trees speak of the last full one
SPARSE: Final = 0.1 * WINDOW  # river's: a node with fewer in it is not looked into


class HalfSpacesState(TypedDict):
    """What ``HalfSpaces.dump`` gives; ``masses`` of all nodes, packed."""

    width: int
    seed: int
    counter: int
    ready: bool
    masses: str


class HalfSpaces:
    """Over points of ``width`` numbers between -FAR and FAR."""

    def __init__(self, width: int, seed: int) -> None:
        self._width = width
        self._seed = seed
        limits: dict[Hashable, tuple[float, float]] = dict.fromkeys(range(width), (-FAR, FAR))
        self._trees = HalfSpaceTrees(n_trees=TREES, height=HEIGHT, window_size=WINDOW, limits=limits, seed=seed)
        self._trees.learn_one(dict.fromkeys(range(width), 0.0))  # builds them; the point is taken out again
        self._trees.counter = 0
        for node in self._nodes():
            node.l_mass = 0

    def learn(self, point: Sequence[float]) -> bool:
        """One point; whether a window ended with it, and ``trees`` are new."""
        self._trees.learn_one(dict(enumerate(point)))
        return self._trees.counter == 0

    @property
    def ready(self) -> bool:
        """A first window is over."""
        return is_first_window_over(self._trees)

    def trees(self) -> tuple[Tree, ...]:
        """As the scorer wants them: level by level."""
        return tuple(_tree(cast("_TreeNode", root)) for root in self._trees.trees)

    def dump(self) -> HalfSpacesState:
        """As JSON can hold it."""
        masses = array("H", [mass for node in self._nodes() for mass in (node.l_mass, node.r_mass)])
        return {"width": self._width, "seed": self._seed, "counter": self._trees.counter, "ready": self.ready, "masses": pack(masses)}

    @classmethod
    def restore(cls, dumped: HalfSpacesState) -> HalfSpaces:
        """The inverse of ``dump``."""
        spaces = cls(dumped["width"], dumped["seed"])
        masses = iter(unpack_counts(dumped["masses"], "H"))
        for node, left, right in zip(list(spaces._nodes()), masses, masses, strict=True):
            node.l_mass, node.r_mass = left, right
        spaces._trees.counter = dumped["counter"]
        set_first_window_over(spaces._trees, over=dumped["ready"])
        return spaces

    def _nodes(self) -> Iterator[_TreeNode]:
        for root in self._trees.trees:
            yield from cast("Iterator[_TreeNode]", root.iter_dfs())


class _TreeNode(Protocol):
    """A node of river's trees; a leaf has no children."""

    feature: int
    threshold: float
    l_mass: int
    r_mass: int
    children: Sequence[_TreeNode]


def _tree(root: _TreeNode) -> Tree:
    level = [root]
    nodes: list[_TreeNode] = []
    for _ in range(HEIGHT):
        nodes += level
        level = [child for node in level for child in node.children]
    return Tree(
        splits=tuple(node.feature for node in nodes),
        at=tuple(node.threshold for node in nodes),
        masses=tuple(node.r_mass for node in (*nodes, *level)),
    )
