"""What our own records carry on every transport: that they are control records, and who signed them."""

from __future__ import annotations

from streamer.signing import CONTROL, FORWARD, SignedPlace, Signer
from streamer.wire import CONTROL_HEADER, EVENTS, FORWARD_HEADER, Headers, Output


def control_headers(signer: Signer | None, shard: int, raw: bytes, topic: str = EVENTS) -> Headers:
    """Of a control record in a partition of a topic, which is named by its suffix."""
    signature = signer.sign(SignedPlace(CONTROL, topic, shard), raw) if signer is not None else ()
    return (CONTROL_HEADER, b"1"), *signature


def headers_of(output: Output, signer: Signer | None) -> Headers:
    """Of an output beside its position. What goes to another shard is signed as it is published: secrets are no part of the story."""
    if signer is None or output.topic != EVENTS:
        return output.headers
    place = SignedPlace(FORWARD, EVENTS, output.partition)
    return *output.headers, *signer.sign(place, dict(output.headers)[FORWARD_HEADER], output.key, output.value)
