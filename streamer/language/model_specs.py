"""The ``models`` of a definitions file: what is to be learned of customers, in the terms of ``examples.ModelSpec``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, get_args

import yaml

from streamer.customers.features import FEATURES
from streamer.examples import ModelKind, ModelSpec
from streamer.suggest import did_you_mean
from streamer.units import DAY_MS, HOUR_MS, MINUTE_MS

from .durations import parse_duration
from .limits import LIST_MAX, WINDOW_MS_MAX, is_segment_name

MODELS_MAX: Final = 16
GROUPS_MAX: Final = 12
EDITION_MAX: Final = 999
HORIZON_MS_MIN: Final = MINUTE_MS
KINDS: Final[tuple[str, ...]] = get_args(ModelKind)

_OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    "purchase": ("events", "horizon", "window"),
    "churn": ("events", "horizon"),
    "value": ("events", "horizon", "amount"),
    "groups": ("groups",),
    "lookalike": ("seed",),
    "unusual": (),
}
_OF_ALL: Final = ("kind", "exclude", "edition")
_DESCRIBED: Final = ("lookalike", "groups", "unusual")  # kinds that tell people apart by what they are like: not by what is sensitive
_DEFAULTS: Final[dict[str, tuple[tuple[str, ...], int, int]]] = {  # events, horizon, short window after which a negative is learned
    "purchase": (("Order Completed",), DAY_MS, 4 * HOUR_MS),
    "churn": (("*",), 30 * DAY_MS, 0),
    "value": (("Order Completed",), 30 * DAY_MS, 0),
}

Fail = Callable[[yaml.Node, str, str], NoReturn]


Body = Mapping[str, tuple[yaml.ScalarNode, yaml.Node]]


def read_model(name: str, at: yaml.Node, body: Body, sensitive: tuple[str, ...], fail: Fail) -> ModelSpec:
    """One entry of ``models``. ``fail`` raises DefinitionError at a node."""
    if not is_segment_name(name):
        fail(at, f"expected a model name of a-z, 0-9 and _, found {name!r:.80}", "")
    if "kind" not in body:
        fail(at, f"expected 'kind' in the model {name!r}, found none", _one_of(KINDS))
    kind = _text(body["kind"][1], fail)
    if kind not in KINDS:
        fail(body["kind"][1], f"expected a kind of model, found {kind!r:.40}", did_you_mean(kind, KINDS) or _one_of(KINDS))
    allowed = (*_OF_ALL, *_OF_KIND[kind])
    for key, (node, _) in body.items():
        if key not in allowed:
            hint = did_you_mean(key, allowed) or _one_of(allowed)
            fail(node, f"found the unknown key {key!r:.40} in the model {name!r} of kind {kind}", hint)
    events, horizon_ms, window_ms = _DEFAULTS.get(kind, ((), 0, 0))
    if "events" in body:
        events = _texts(body["events"][1], fail)
    if "horizon" in body:
        horizon_ms = _length(body["horizon"][1], fail, least_ms=HORIZON_MS_MIN)
        window_ms = min(window_ms, horizon_ms // 2)
    if "window" in body:
        window_ms = _length(body["window"][1], fail, least_ms=1_000)
        if window_ms >= horizon_ms:
            fail(body["window"][1], "expected a window shorter than the horizon", "")
    return ModelSpec(
        name,
        kind,  # type: ignore[arg-type] - looked up above
        events,
        horizon_ms,
        window_ms,
        tuple(_text(body["amount"][1], fail).split(".")) if "amount" in body else ("total",) if kind == "value" else (),
        _number(body["groups"][1], fail, 2, GROUPS_MAX) if "groups" in body else 6 if kind == "groups" else 0,
        _text(body["seed"][1], fail) if "seed" in body else name if kind == "lookalike" else "",
        _text(body["exclude"][1], fail) if "exclude" in body else "",
        sensitive if kind in _DESCRIBED else (),
        _number(body["edition"][1], fail, 1, EDITION_MAX) if "edition" in body else 1,
    )


def _text(node: yaml.Node, fail: Fail) -> str:
    if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
        fail(node, "expected a text", "")
    return node.value


def _texts(node: yaml.Node, fail: Fail) -> tuple[str, ...]:
    items: list[Any] = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if not 1 <= len(items) <= LIST_MAX:
        fail(node, f"expected 1 to {LIST_MAX} event names", "")
    return tuple(dict.fromkeys(_text(item, fail) for item in items))


def read_sensitive(node: yaml.Node, fail: Fail) -> tuple[str, ...]:
    """The features that ``sensitive`` names."""
    for name in (names := _texts(node, fail)):
        if name not in FEATURES.names:
            fail(node, f"expected names of features, found {name!r:.40}", did_you_mean(name, FEATURES.names) or _one_of(FEATURES.names))
    return names


def _length(node: yaml.Node, fail: Fail, *, least_ms: int) -> int:
    try:
        ms = parse_duration(_text(node, fail))
    except ValueError as error:
        fail(node, str(error), "")
    if not least_ms <= ms <= WINDOW_MS_MAX:
        fail(node, f"expected a length from {least_ms // 1_000}s to 400d", "")
    return ms


def _number(node: yaml.Node, fail: Fail, least: int, most: int) -> int:
    text = _text(node, fail)
    if not (text.isascii() and text.isdecimal()) or not least <= int(text[:4]) <= most:
        fail(node, f"expected a whole number from {least} to {most}, found {text!r:.20}", "")
    return int(text)


def _one_of(known: tuple[str, ...]) -> str:
    return f"known are {', '.join(known)}"


def check_use(name: str, function: str, models: Mapping[str, ModelSpec]) -> str | None:
    """What is wrong with ``score("name")`` and its kin, as message; None when nothing is."""
    wanted = FUNCTION_KINDS[function]
    spec = models.get(name)
    if spec is None:
        fitting = tuple(sorted(model for model, found in models.items() if found.kind in wanted))
        others = f"models of this kind are {', '.join(fitting)}" if fitting else "no model of this kind is defined under models:"
        hint = did_you_mean(name, fitting) or others
        return f"{function}() names the model {name!r}, which is not defined ({hint})"
    if spec.kind not in wanted:
        return f"{function}() expects a model of kind {' or '.join(wanted)}, and {name!r} is of kind {spec.kind}"
    return None


FUNCTION_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "score": ("purchase", "churn", "value", "unusual"),
    "percentile": ("purchase", "churn", "value", "lookalike", "unusual"),
    "group": ("groups",),
    "like": ("lookalike",),
}


def unknown_segment(spec: ModelSpec, known: Mapping[str, Any]) -> str | None:
    """What is wrong with the segments that a model names; None when nothing is."""
    for what, name in (("seed", spec.seed), ("exclude", spec.exclude)):
        if name and name not in known:
            meant = did_you_mean(name, known)
            return f"the model {spec.name!r} has the {what} {name!r}, which is no segment{f' ({meant})' if meant else ''}"
    return None
