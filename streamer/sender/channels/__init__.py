"""Channels: the ways by which a message leaves.

To add one (push, SMS), write a class with the members of ``SendingChannel`` and register a function that makes it from the settings:

    [project.entry-points."streamer.channels"]
    push = "my_shop.push:open_push"

``send`` says what became of one attempt, and only that: when to try again, how often and how fast is the sender's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from streamer.sender.content import MessageContent
from streamer.sender.decision import SendDecision


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message on its way. ``address`` was checked by the channel's ``address``; ``id`` is the same at every attempt."""

    decision: SendDecision
    address: str
    content: MessageContent
    unsubscribe_url: str = ""
    open_url: str = ""  # of a picture by which an opening is counted; empty: it is not
    report_token: str = ""  # by which a bounce is known to be of this message, where a provider repeats headers

    @property
    def id(self) -> str:
        """The key of the decision: what a provider can know a repetition by."""
        return self.decision.data.key


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has it. ``detail`` is for the ledger, without customers' data."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider will never take it. ``bounced``: the address is none, and nothing should be sent there again."""

    detail: str
    bounced: bool = False


@dataclass(frozen=True, slots=True)
class TryLater:
    """The provider surely does not have it, and may take it later; not before ``after_seconds``, where it said so."""

    detail: str
    after_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Unsure:
    """Nobody can tell whether the provider has it."""

    detail: str


Attempt = Accepted | Declined | TryLater | Unsure


class SendingChannel(Protocol):
    """One way out. Attempts run beside each other, as many as the sender's bound.

    ``drops_repeats``: the provider drops a second delivery of the same id, so an attempt of which nobody can tell how it ended is made
    again, also for marketing.
    """

    @property
    def drops_repeats(self) -> bool:
        """See the class."""
        ...

    def address(self, text: str) -> str | None:
        """The address to send to; None where this text is none."""
        ...

    def domain(self, address: str) -> str:
        """What shares a rate with this address: the domain of an e-mail. Empty: nothing does."""
        ...

    async def send(self, outgoing: Outgoing) -> Attempt:
        """What became of one attempt. What it raises counts as ``Unsure``."""
        ...

    async def close(self) -> None:
        """Let go of connections; harmless when repeated."""
        ...


__all__ = ["Accepted", "Attempt", "Declined", "Outgoing", "SendingChannel", "TryLater", "Unsure"]
