"""What a store says of itself: in words of its own for people, and by severity for the code."""

from __future__ import annotations

from typing import Literal, NamedTuple

# danger: the store may lose what is kept, or takes no commits: no worker begins, and one that runs is not ready.
# unfit: no worker begins; one that runs goes on. warning: workers begin and go on, and raise an alert, as it becomes worse by itself: a
# restart must not fail for what the worker before it lived with. advice: allowed, and worth a thought.
Severity = Literal["danger", "unfit", "warning", "advice"]


class StoreFinding(NamedTuple):
    """One thing that an operator should know of a store.

    ``name`` is short and the same in each release; ``found`` and ``remedy`` are for people: what is there, and what to do about it.
    """

    name: str
    severity: Severity
    found: str
    remedy: str

    def in_words(self) -> str:
        """Both halves as one text."""
        return f"{self.found}; {self.remedy}"


class Health(NamedTuple):
    """State of the server or file behind a store: a ``description`` of one line, and what is not as it should be."""

    description: str
    findings: tuple[StoreFinding, ...] = ()

    @property
    def dangers(self) -> list[StoreFinding]:
        """What is looked at while a worker runs, too."""
        return [finding for finding in self.findings if finding.severity == "danger"]

    @property
    def alerts(self) -> list[StoreFinding]:
        """What a running worker tells people: dangers and warnings."""
        return [finding for finding in self.findings if finding.severity in {"danger", "warning"}]

    @property
    def problems(self) -> list[StoreFinding]:
        """What keeps a worker from beginning: dangers, and what is unfit."""
        return [finding for finding in self.findings if finding.severity in {"danger", "unfit"}]
