"""What goes out when a message is decided: a CloudEvent that says whether it is to be sent, held or skipped, and why.

The shape is ``schemas/message-decision.v1.json``. The same record goes out twice: with what rendering needs, kept for weeks, and without
(``without_personal_data``), kept long.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

import msgspec

from streamer.segments.change import ChangePosition, NonNegative, encode_json
from streamer.values import Json
from streamer.wire import Instant

DecisionOutcome = Literal["send", "hold", "skip"]
DecisionReason = Literal[
    "paused",
    "withdrawn",
    "expired",
    "stay",
    "require",
    "again",
    "erased",
    "merged",
    "no_address",
    "suppressed",
    "no_consent",
    "cap",
    "quiet",
    "holdout",
]
Arm = Literal["treated", "held_out"]
REASONS: Final[tuple[DecisionReason, ...]] = get_args(DecisionReason)

Key = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$")]


class MessageDecisionTrigger(msgspec.Struct):
    """The change that began it. ``on`` is as the definitions say it; None where they no longer do."""

    on: str | None
    sequence: Annotated[int, msgspec.Meta(ge=1)]
    at: Instant


class DecisionGoal(msgspec.Struct):
    """What the message is to bring about: this event within so many milliseconds after the decision; ``value`` a path of its
    properties."""

    event: str
    within_ms: Annotated[int, msgspec.Meta(ge=1)]
    value: str | None = None


class MessageDecisionData(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a decision.

    ``reason`` is None of a send, ``detail`` says more of it; ``until`` is when a hold is decided again. ``key`` names what one change
    brings about by one message. What the definitions say of a message that they no longer have is None. ``address``, ``language`` and
    ``facts`` are those of a send; ``address`` and ``facts`` are left out in the ledger.
    """

    message: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    key: Key
    definitions: NonNegative
    at: Instant
    kind: Literal["marketing", "transactional"] | None
    channel: str | None
    topic: str | None
    trigger: MessageDecisionTrigger
    due: Instant
    valid_until: Instant
    reason: DecisionReason | None
    detail: str | None
    until: Instant | None
    arm: Arm | None
    variant: str | None
    template: str | None
    address: str | msgspec.UnsetType | None = msgspec.UNSET
    language: str | None
    zone: str
    facts: dict[str, Json] | msgspec.UnsetType = msgspec.UNSET
    goal: DecisionGoal | None
    position: ChangePosition


class MessageDecision(msgspec.Struct, frozen=True):
    """A CloudEvent 1.0 in structured JSON. ``subject`` is the customer."""

    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+-[0-9]+-[0-9]+-[0-9]+$")]
    source: Annotated[str, msgspec.Meta(min_length=1)]
    type: Literal["message.send", "message.hold", "message.skip"]
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    time: Instant
    data: MessageDecisionData
    specversion: Literal["1.0"]  # no default: what lacks it is no CloudEvent
    datacontenttype: Literal["application/json"] = "application/json"

    @property
    def outcome(self) -> DecisionOutcome:
        """What was decided."""
        return _OUTCOMES[self.type]


_OUTCOMES: Final[dict[str, DecisionOutcome]] = {"message.send": "send", "message.hold": "hold", "message.skip": "skip"}
TYPES: Final[dict[DecisionOutcome, Literal["message.send", "message.hold", "message.skip"]]] = {
    "send": "message.send",
    "hold": "message.hold",
    "skip": "message.skip",
}
_decoder: Final = msgspec.json.Decoder(MessageDecision)


def decode_decision(raw: bytes) -> MessageDecision:
    """A decision as its schema has it; ``msgspec.DecodeError`` for anything else."""
    return _decoder.decode(raw)


def encode_decision(decision: MessageDecision) -> bytes:
    """Its JSON."""
    return encode_json(decision)


def without_personal_data(decision: MessageDecision) -> MessageDecision:
    """The same for the ledger, which is kept long."""
    return msgspec.structs.replace(decision, data=msgspec.structs.replace(decision.data, address=msgspec.UNSET, facts=msgspec.UNSET))
