"""A real-time customer segmenter: exact in time, one story whatever crashes, a reason for each change.

What is public is in ``__all__``; each name is loaded when it is first asked for, so that a small program stays small.

- ``Event``, ``decode_event``: what producers send, checked.
- ``Definitions``, ``load_definitions``, ``parse_definitions``: segments and models as data.
- ``preview``: whom definitions would catch, before they are published.
- ``replay``: the changes that events bring about, in memory.
- ``read_changes``: the changes of a deployment, each once, for services that subscribe.
- ``Change``: one of them, a CloudEvent. ``Merge``: another, that the past of another id has come to a customer; ``Unmerge``: that
  such an id is a customer again.
- ``Deduplicator``: the reader's rule, for readers of their own.
- ``Settings``, ``load_settings``: where a deployment is.
- ``StreamerError`` and below it all that can go wrong: see ``streamer.errors``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .errors import DefinitionError, RefusedError, SettingsError, StreamerError, TooMuchError
    from .events.codec import decode as decode_event
    from .events.event import Event
    from .flow.reader import Deduplicator
    from .flow.rules import Rules
    from .language.definitions import Definitions, load_definitions, parse_definitions
    from .offline import preview, replay
    from .previews.result import Preview
    from .segments.change import Change
    from .segments.merge import Merge
    from .segments.unmerge import Unmerge
    from .settings import Settings, load_settings
    from .transports.kafka.changes import read_changes

__version__ = "0.1.0"

__all__ = [
    "Change",
    "Deduplicator",
    "DefinitionError",
    "Definitions",
    "Event",
    "Merge",
    "Preview",
    "RefusedError",
    "Rules",
    "Settings",
    "SettingsError",
    "StreamerError",
    "TooMuchError",
    "Unmerge",
    "decode_event",
    "load_definitions",
    "load_settings",
    "parse_definitions",
    "preview",
    "read_changes",
    "replay",
]

_HOMES: Final = {
    "Change": "segments.change",
    "Deduplicator": "flow.reader",
    "DefinitionError": "errors",
    "Definitions": "language.definitions",
    "Event": "events.event",
    "Merge": "segments.merge",
    "Preview": "previews.result",
    "RefusedError": "errors",
    "Rules": "flow.rules",
    "Settings": "settings",
    "SettingsError": "errors",
    "StreamerError": "errors",
    "TooMuchError": "errors",
    "Unmerge": "segments.unmerge",
    "decode_event": "events.codec:decode",
    "load_definitions": "language.definitions",
    "load_settings": "settings",
    "parse_definitions": "language.definitions",
    "preview": "offline",
    "read_changes": "transports.kafka.changes",
    "replay": "offline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, other = _HOMES[name].partition(":")
    found = globals()[name] = getattr(import_module(f".{module}", __name__), other or name)
    return found
