"""An alert as it goes out: a CloudEvent for people and for the tools that wake them. The shape is ``schemas/alert.v1.json``."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Final, Literal

import msgspec

from streamer.learning.reports.outputs import Alert
from streamer.values import time_text
from streamer.wire import Instant

Text = Annotated[str, msgspec.Meta(min_length=1)]


class AlertData(msgspec.Struct, omit_defaults=True):
    """A sentence; where a figure moved, what it was before and after; where it is of one shard, which."""

    text: Text
    before: float | None = None
    after: float | None = None
    shard: Annotated[int, msgspec.Meta(ge=0)] | None = None


class AlertEvent(msgspec.Struct):
    """A CloudEvent 1.0 in structured JSON. ``subject`` is a model, a segment, ``shard_N`` or ``worker``.

    The id is the same when a learner that started again says it again.
    """

    id: Text
    source: Text
    type: Annotated[str, msgspec.Meta(pattern=r"^alert\.[a-z_]+$")]
    subject: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    time: Instant
    data: AlertData
    specversion: Literal["1.0"]  # no default: what lacks it is no CloudEvent
    datacontenttype: Literal["application/json"] = "application/json"


encode_alert: Final = msgspec.json.Encoder().encode
decode_alert: Final = msgspec.json.Decoder(AlertEvent).decode


def alert_event(alert: Alert, source: str) -> AlertEvent:
    """``alert.drift``, ``alert.surge`` and their kin. Two of a kind at one moment (new groups) differ in what they say, and so in their
    ids."""
    said = blake2b(alert.text.encode(), digest_size=4).hexdigest()
    return AlertEvent(
        f"{alert.kind}-{alert.subject}-{alert.at_ms}-{said}",
        source,
        f"alert.{alert.kind}",
        alert.subject,
        time_text(alert.at_ms),
        AlertData(alert.text, alert.before, alert.after),
        "1.0",
    )
