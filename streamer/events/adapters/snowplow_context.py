"""The context of an event from what a Snowplow payload says of page, device, application and session."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from streamer.events.adapters.fields import number, without_empty
from streamer.events.adapters.pages import page_of

if TYPE_CHECKING:
    from streamer.events.adapters.iglu import Iglu

DEVICES: Final = {"mob": "mobile", "pc": "desktop", "tv": "tv", "cnsl": "console"}  # what a platform says of the device; web says nothing
UNDERSTOOD: Final = frozenset(  # entities that stand elsewhere in the event
    {"product", "cart", "transaction", "refund", "checkout_step", "promotion", "user", "client_session", "mobile_context", "application"}
)
_SIZE: Final = re.compile(r"([0-9]{1,6})x([0-9]{1,6})", re.ASCII)


def context_of(payload: dict[str, object], entities: Iglu) -> dict[str, object]:
    """In the words of Segment's SDKs; ``entities`` holds those that we do not know, by their names, a list where there are several."""
    platform = payload.get("p")
    mobile, application = entities.first("mobile_context"), entities.first("application")
    device = {
        "type": _text(mobile.get("osType")).lower() or (DEVICES.get(platform) if isinstance(platform, str) else None),
        "manufacturer": mobile.get("deviceManufacturer"),
        "model": mobile.get("deviceModel"),
    }
    app = {"name": payload.get("aid"), "version": application.get("version"), "build": application.get("build")}
    others = {name: found[0] if len(found) == 1 else list(found) for name, found in entities.by_name.items() if name not in UNDERSTOOD}
    return without_empty(
        {
            "library": _library(payload.get("tv")),
            "app": without_empty(app),
            "page": page_of(payload.get("url"), payload.get("page"), payload.get("refr")),
            "userAgent": payload.get("ua"),
            "ip": payload.get("ip"),
            "locale": payload.get("lang"),
            "timezone": payload.get("tz"),
            "screen": _screen(payload.get("res")),
            "device": without_empty(device),
            "os": without_empty({"name": mobile.get("osType"), "version": mobile.get("osVersion")}),
            "session": _session(payload, entities),
            "tracker": payload.get("tna"),
            "entities": others,
        }
    )


def _session(payload: dict[str, object], entities: Iglu) -> dict[str, object]:
    session = entities.first("client_session")
    index = payload.get("vid") or session.get("sessionIndex")
    return without_empty({"id": payload.get("sid") or session.get("sessionId"), "index": number(index)})


def _library(version: object) -> dict[str, object]:
    """Which tracker, as ``snowplow-py`` and its version.

    >>> _library("py-1.1.0"), _library(None)
    ({'name': 'snowplow-py', 'version': '1.1.0'}, {})
    """
    name, _, number_ = _text(version).rpartition("-")
    return {"name": f"snowplow-{name}", "version": number_} if name else {}


def _screen(size: object) -> dict[str, object]:
    found = _SIZE.fullmatch(_text(size))
    return {"width": int(found[1]), "height": int(found[2])} if found else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
