"""From the bytes of a ``model`` record to something that scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from streamer.learning.scorers.contract import SCHEMA, SCORER_BYTES_MAX, Groups, Head, Reason, Scorer, bad_model, decode_as
from streamer.learning.scorers.groups_scorer import decode_groups
from streamer.learning.scorers.linear_scorer import decode_linear
from streamer.learning.scorers.lookalike_scorer import decode_lookalike
from streamer.learning.scorers.unusual_scorer import decode_unusual

__all__ = ["Groups", "Reason", "Scorer", "decode_scorer"]

_DECODERS: Final[dict[str, Callable[[bytes], Scorer | Groups]]] = {
    "purchase": decode_linear,
    "churn": decode_linear,
    "value": decode_linear,
    "groups": decode_groups,
    "lookalike": decode_lookalike,
    "unusual": decode_unusual,
}
_head_decoder = msgspec.json.Decoder(Head)


def decode_scorer(content: bytes) -> Scorer | Groups:
    """A scorer that may serve; RefusedError (``bad_model``) with the path of the fault otherwise."""
    if len(content) > SCORER_BYTES_MAX:
        raise bad_model("$", f"{len(content)} bytes, at most {SCORER_BYTES_MAX}")
    head: Head = decode_as(_head_decoder, content)
    if head.schema != SCHEMA:
        raise bad_model("$.schema", f"expected {SCHEMA}, found {head.schema}")
    decode = _DECODERS.get(head.kind)
    if decode is None:
        raise bad_model("$.kind", f"unknown: {head.kind[:40]!r}")
    return decode(content)
