"""Customers at whom our own code fails: their memberships stand and no timer of theirs runs, until something happens to them."""

from __future__ import annotations

from collections.abc import Container

from streamer.customers.state import State

from .checkpoint import CheckpointBody


class SetAside:
    """Sets customers aside where an amendment says so: ``amended`` has (offset, customer, due_ms). The body's ``aside`` counts them."""

    def __init__(self, amended: Container[tuple[int, str, int]], body: CheckpointBody) -> None:
        self._amended = amended
        self._body = body

    def is_amended(self, offset: int, customer: str, due_ms: int) -> bool:
        """Whether the customer is to be set aside at this timer, for the record at ``offset``; at a change of definitions for the record
        at which it began."""
        return (offset, customer, due_ms) in self._amended

    def begin(self, state: State, now: int) -> None:
        """Set a customer aside."""
        if not state.aside_ms:
            self._body.aside += 1
        state.aside_ms = now

    def end(self, state: State) -> None:
        """The customer is like all others again, or is forgotten."""
        if state.aside_ms:
            self._body.aside -= 1
            state.aside_ms = 0
