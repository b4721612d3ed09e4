"""Bodies of SDKs, broken in every way that a network, a proxy and a program can break them, sent to a collector over a log in memory."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final, NamedTuple, cast

from streamer.events.dead_letter import raw_of
from tests.unit.collector.desk import Desk, opened, track

EVENTS_OF: Final = {
    "/v1/batch": "batch",
    "/v1/track": "",
    "/com.snowplowanalytics.snowplow/tp2": "data",
    "/mp/collect": "",
    "/cloudevents": "",
}
BATCH: Final = [track(number=1), {"type": "identify", "userId": "u-1", "messageId": "m-2", "traits": {"plan": "gold"}}, track(number=3)]
ADDRESS, KEPT_ADDRESS = b"203.0.113.77", b"203.0.113.0"
PAGE_VIEW: Final = {
    "e": "pv",
    "eid": "s-1",
    "duid": "an-1",
    "dtm": "1795921200000",
    "tv": "py-1.1.0",
    "p": "web",
    "url": "https://shop.example/",
}
BODIES: Final[dict[str, object]] = {
    "/v1/batch": {"batch": BATCH, "sentAt": "2026-11-29T03:00:00Z", "context": {"ip": "203.0.113.77"}},
    "/v1/track": track(properties={"total": 9.5, "products": [{"product_id": "p-1"}]}),
    "/com.snowplowanalytics.snowplow/tp2": {"schema": "iglu:payload_data", "data": [PAGE_VIEW, {**PAGE_VIEW, "eid": "s-2"}]},
    "/mp/collect": {"client_id": "an-1", "events": [{"name": "purchase", "params": {"value": 5, "items": [{"item_id": "p-1"}]}}]},
    "/cloudevents": {"specversion": "1.0", "id": "1", "source": "/s", "type": "Cart Viewed", "subject": "u-1", "data": {"total": 1}},
}
ODD: Final[tuple[object, ...]] = (
    *(None, True, 0, -1, 2**70, 1e308, 0.1, "", " ", "\x00", "\ud800", "\u202e", "x" * 300, [], {}, [[]], [None], {"": None}),
    *("1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "soon", -(2**63), {"a": {"b": {"c": [1]}}}, ["a"] * 50),
)
WHOLE: Final = frozenset({200, 204})
REFUSED: Final = frozenset({400, 413})  # each with a code and a message
OF_REQUEST: Final = frozenset({"bad_gzip", "bad_encoding"})  # nothing can be read, so nothing can be kept


class Sent(NamedTuple):
    """What was sent. ``elements`` is how many there are to account for, None where the body is not what it was any more."""

    path: str
    body: bytes
    headers: dict[str, str]
    elements: int | None


class Mutator:
    """Bodies that nobody would send, the same for a seed."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def sent(self) -> Sent:
        """One."""
        path = self._draw.choice([*BODIES])
        body = json.loads(json.dumps(BODIES[path]))
        for _ in range(self._draw.randrange(4)):
            self._put(body)
        raw = json.dumps(body).encode()
        if self._draw.random() < 0.5:
            return self._packed(Sent(path, raw, {}, _elements(path, body)))
        return self._packed(Sent(path, self._cut(raw), {}, None))

    def _packed(self, sent: Sent) -> Sent:
        draw = self._draw.random()
        if draw < 0.1:
            return sent._replace(body=gzip.compress(sent.body, 1), headers={"Content-Encoding": "gzip"})
        if draw < 0.15:
            return sent._replace(body=self._cut(gzip.compress(sent.body, 1)), headers={"Content-Encoding": "gzip"}, elements=None)
        return sent

    def _put(self, value: Any) -> None:
        """Replace, remove, or add something somewhere."""
        places = [*_places(value)]
        place, key = self._draw.choice(places)
        match self._draw.randrange(3):
            case 0:
                place[key] = deepcopy(self._draw.choice(ODD))
            case 1:
                del place[key]
                if not value:
                    value["x"] = 1
            case _:
                other, name = self._draw.choice(places)
                place[key] = deepcopy(other.get(name) if isinstance(other, dict) else None)

    def _cut(self, raw: bytes) -> bytes:
        """Bytes turned, lost, doubled, or strange ones between them."""
        ways: tuple[Callable[[bytes, int, int], bytes], ...] = (
            lambda raw, a, _: raw[:a],
            lambda raw, a, b: raw[:a] + raw[b:],
            lambda raw, a, b: raw[:b] + raw[a:],
            lambda raw, a, _: raw[:a] + self._draw.randbytes(3) + raw[a + 3 :],
            lambda raw, a, _: raw[:a] + b"[" * 2_000 + raw[a:],
            lambda raw, *_: b"\xef\xbb\xbf" + raw,
            lambda raw, *_: raw.decode(errors="replace").encode("utf-16"),
        )
        a, b = sorted(self._draw.randrange(len(raw) + 1) for _ in range(2))
        return self._draw.choice(ways)(raw, a, b)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Each key or index with what it is in."""
    inner: list[tuple[Any, Any]] = [(value, key) for key in (value if isinstance(value, dict) else range(len(value)))]
    return inner + [place for holder, key in inner if isinstance(holder[key], (dict, list)) for place in _places(holder[key])]


def _elements(path: str, body: dict[str, Any]) -> int | None:
    """How many there are; None where a list is no list any more, which is one refusal or an event that stands alone."""
    name = EVENTS_OF[path]
    if not name:
        return None
    found: object = body.get(name)
    return len(cast("list[object]", found)) or None if isinstance(found, list) else None


async def send_all(seed: int, count: int) -> Counter[str]:
    """Send so many; how each ended, by status, and events and letters that are kept. AssertionError where one is lost, or answered 500."""
    found, mutator = Counter[str](), Mutator(seed)
    async with opened() as desk:
        for number in range(count):
            sent = mutator.sent()
            try:
                status = await _send(desk, sent)
            except BaseException as error:
                error.add_note(f"body {number} of seed {seed}: {sent}")
                raise
            found[str(status)] += 1
            found["events"] += len(desk.sink.events)
            found["letters"] += len(desk.sink.letters)
            desk.sink.records.clear()
    return found


async def _send(desk: Desk, sent: Sent) -> int:
    response = await desk.post(sent.path, sent.body, **{name.replace("-", "_"): text for name, text in sent.headers.items()})
    kept = len(desk.sink.records)
    if response.status in WHOLE:
        said = await response.json() if response.status == 200 else None
        assert said is None or said["accepted"] + len(said.get("refused", ())) == kept, f"{kept} kept, but {said}"
        assert said is None or said["accepted"] == len(desk.sink.events)
    else:
        said = await response.json()
        assert response.status in REFUSED, said
        assert said["code"], said
        assert said["message"], said
        assert said["code"] in OF_REQUEST or kept == len(said.get("refused", ())) > 0, f"{kept} kept, but {said}"
    if sent.elements is not None and kept != sent.elements:  # what holds for all elements is wrong: it is kept whole
        whole = gzip.decompress(sent.body) if sent.headers else sent.body
        kept_raw = [_cut(raw_of(letter)) for letter in desk.sink.letters]
        assert kept_raw == [_cut(whole)], f"{sent.elements} sent, {kept} kept"
    return response.status


def _cut(raw: bytes) -> bytes:
    """With the one address in it as a collector keeps it: not all bodies still say that it is one."""
    return raw.replace(ADDRESS, KEPT_ADDRESS)
