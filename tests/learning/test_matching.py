"""What becomes of groups when they are counted anew."""

from __future__ import annotations

from streamer.learning.algorithms.group_matching import match


def grouped(*runs: tuple[int, int, int]) -> tuple[list[int], list[int]]:
    """(old, new, how many people) …"""
    return [old for old, _, count in runs for _ in range(count)], [new for _, new, count in runs for _ in range(count)]


def told(*runs: tuple[int, int, int], old: int, new: int) -> tuple[object, ...]:
    """Everything ``match`` says of such people."""
    before, after = grouped(*runs)
    found = match(before, after, old, new, [1] * len(before))
    return found.same, found.retired, found.born, found.splits, found.merges


def test_renumbered_groups_are_the_same_groups() -> None:
    """k-means numbers them as it likes."""
    assert told((0, 1, 90), (0, 0, 10), (1, 0, 80), (1, 2, 20), (2, 2, 70), old=3, new=3) == ({1: 0, 0: 1, 2: 2}, (), (), (), ())


def test_a_split_is_told_and_the_larger_part_keeps_the_number() -> None:
    """Most of the people must find themselves where they were."""
    assert told((0, 0, 60), (0, 1, 40), (1, 2, 50), old=2, new=3) == ({0: 0, 2: 1}, (), (1,), ((0, (0, 1)),), ())


def test_a_merger_is_told_and_the_larger_one_lives_on() -> None:
    """The other is retired; its name must not be given to anybody else."""
    assert told((0, 0, 60), (1, 0, 40), (2, 1, 50), old=3, new=2) == ({0: 0, 1: 2}, (1,), (), (), ((0, (0, 1)),))


def test_a_group_of_other_people_is_a_new_one() -> None:
    """Sharing a few people is no reason to inherit a name."""
    assert told((0, 0, 100), (1, 1, 30), (1, 2, 40), (1, 3, 40), (0, 2, 60), (0, 3, 60), old=2, new=4)[:3] == ({0: 0}, (1,), (1, 2, 3))


def test_the_best_pairs_are_the_best_altogether() -> None:
    """Taking the largest overlap first would leave the second group with nothing in common."""
    same = told((0, 0, 50), (0, 1, 45), (1, 0, 45), old=2, new=2)[0]
    assert same == {0: 1, 1: 0}
