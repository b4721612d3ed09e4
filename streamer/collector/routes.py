"""The paths on which SDKs send, as they stand in the SDKs, and what is sent there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

AnswerForm = Literal["json", "pixel", "empty"]
Method = Literal["GET", "POST"]

KINDS: Final = ("track", "identify", "page", "screen", "group", "alias")
SEGMENT_SETTINGS: Final = ("/v1/projects/", "/settings")  # the key stands between them
RUDDERSTACK_SETTINGS: Final = ("/sourceConfig", "/sourceConfig/")
FORGOTTEN: Final = ("/m", "/v1/m", "/rsaMetrics")  # what SDKs measure of themselves: answered, so that they do not try again


class Route(NamedTuple):
    """What is sent to a path. ``name`` is for metrics. ``format_name`` is the adapter. ``kind`` is the type of event that the path says.

    ``of_customer``: only browsers and devices send there. ``too_large_status``: with it the client gives up what is too large; after
    another one it would send the same again for ever, and hold back everything behind it. ``is_history``: what is sent there happened
    before the log began.
    """

    name: str
    format_name: str
    method: Method = "POST"
    kind: str = ""
    form: AnswerForm = "json"
    of_customer: bool = False
    too_large_status: int = 413
    is_history: bool = False


def _routes() -> Iterator[tuple[str, Route]]:
    for kind in KINDS:
        segment = Route("segment", "segment_sdk", kind=kind)
        yield f"/v1/{kind}", segment
        yield f"/api/s/{kind}", segment._replace(name="jitsu")
        yield f"/api/s/s2s/{kind}", segment._replace(name="jitsu")
        yield f"/pixel/v1/{kind}", Route("pixel", "pixel", "GET", kind, "pixel", of_customer=True)
    for letter, kind in {"t": "track", "i": "identify", "g": "group", "a": "alias", "p": "", "s": ""}.items():
        yield f"/v1/{letter}", Route("segment", "segment_sdk", kind=kind)  # two types begin with each p and s: the body says which
    for path in ("/v1/batch", "/v1/b"):
        yield path, Route("segment", "segment_sdk")
    yield "/v1/import", Route("import", "segment_sdk", is_history=True)
    yield "/beacon/v1/batch", Route("beacon", "segment_sdk", of_customer=True)
    yield "/com.snowplowanalytics.snowplow/tp2", Route("snowplow", "snowplow", too_large_status=400)
    yield "/i", Route("snowplow", "snowplow", "GET", form="pixel")
    yield "/mp/collect", Route("ga4", "ga4", form="empty")
    yield "/cloudevents", Route("cloudevents", "cloudevents")


ROUTES: Final[dict[str, Route]] = dict(_routes())
