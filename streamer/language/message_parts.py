"""The parts of a message: caps, quiet hours, shares, variants, facts and goals, each from its YAML node."""

from __future__ import annotations

import re
from typing import Final

import yaml

from . import tree
from .durations import parse_duration
from .limits import TEXT_CHARS_MAX, WINDOW_MS_MAX, is_segment_name
from .message_specs import TEMPLATE_NAMES, WHOLE_BP, Cap, CartFact, Goal, MessageFact, Quiet, ValueFact
from .tree import Numeric, Path, Time, Value
from .yaml_source import YamlSource

CAPS_MAX: Final = 4
CAP_MOST_MAX: Final = 100  # so many moments of sends are kept per customer
FACTS_MAX: Final = 10
CART_ITEMS_MAX: Final = 20
CART_KEEP_MAX: Final = 10
EVENTS_MAX: Final = 8
VARIANTS_MAX: Final = 10
WEIGHT_MAX: Final = 10_000

_CAP: Final = re.compile(r"([0-9]{1,6}) +per +(\S+)")
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_SHARE: Final = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?%")
_DAY_MINUTES: Final = 24 * 60


def read_caps(node: yaml.Node, source: YamlSource) -> tuple[Cap, ...]:
    """``1 per 7d``, or a list of such."""
    items = source.items(node)
    if not 1 <= len(items) <= CAPS_MAX:
        source.fail(node, f"expected 1 to {CAPS_MAX} caps, found {len(items)}")
    caps: dict[int, Cap] = {}
    for item in items:
        cap = _cap(item, source)
        if cap.window_ms in caps:
            source.fail(item, f"found a second cap over the same window; the first is {caps[cap.window_ms].text}")
        caps[cap.window_ms] = cap
    return tuple(caps.values())


def _cap(node: yaml.Node, source: YamlSource) -> Cap:
    text = source.scalar(node)
    found = _CAP.fullmatch(text)
    if found is None:
        source.fail(node, f"expected a cap such as 1 per 7d, found {text!r:.40}")
    try:
        window_ms = parse_duration(found[2])
    except ValueError as error:
        source.fail(node, str(error))
    if not 1 <= window_ms <= WINDOW_MS_MAX:
        source.fail(node, "expected a window of 1ms to 400d in a cap")
    if not 1 <= int(found[1]) <= CAP_MOST_MAX:
        source.fail(node, f"expected a cap of 1 to {CAP_MOST_MAX} messages, found {found[1]}")
    return Cap(int(found[1]), window_ms)


def read_quiet(node: yaml.Node, source: YamlSource) -> Quiet | None:
    """``21:00-09:00``; ``none`` says that no hour is quiet."""
    text = source.scalar(node)
    if text == "none":
        return None
    found = _CLOCK.fullmatch(text)
    minutes = [int(found[i]) * 60 + int(found[i + 1]) for i in (1, 3)] if found else []
    if found is None or max(minutes) > _DAY_MINUTES or minutes[0] == _DAY_MINUTES:
        source.fail(node, f"expected quiet hours such as 21:00-09:00, or none, found {text!r:.40}")
    if (minutes[1] - minutes[0]) % _DAY_MINUTES == 0:
        source.fail(node, "expected quiet hours that leave some of the day, found the whole day", "write quiet: none for no quiet hours")
    return Quiet(minutes[0], minutes[1] % _DAY_MINUTES)


def read_holdout(node: yaml.Node, source: YamlSource) -> int:
    """A share such as ``10%`` or ``2.5%`` in ten-thousandths, below the whole."""
    text = source.scalar(node)
    found = _SHARE.fullmatch(text)
    if found is None:
        source.fail(node, f"expected a share such as 10%, found {text!r:.40}")
    share_bp = int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))
    if share_bp >= WHOLE_BP:
        source.fail(node, "expected a hold-out below 100%, which leaves somebody to send to")
    return share_bp


def read_variants(node: yaml.Node, source: YamlSource) -> tuple[tuple[str, int], ...]:
    """Names and weights, in the order of the names."""
    weights = {
        name_of(key, source, "a variant"): whole(value, source, least=1, most=WEIGHT_MAX)
        for key, value in source.entries(node, what="a mapping of variants to weights, such as {a: 1, b: 1}")
    }
    if not 1 <= len(weights) <= VARIANTS_MAX:
        source.fail(node, f"expected 1 to {VARIANTS_MAX} variants, found {len(weights)}")
    return tuple(sorted(weights.items()))


def read_goal(node: yaml.Node, source: YamlSource) -> Goal:
    """An event, within so long."""
    entries = source.known_entries(node, ("event", "within", "value"), what="a mapping with 'event' and 'within'", of="the goal")
    for key in ("event", "within"):
        if key not in entries:
            source.fail(node, f"expected {key!r} in the goal, found none")
    within_ms = source.duration(entries["within"])
    if within_ms == 0:
        source.fail(entries["within"], "expected a length of 1ms to 400d")
    return Goal(_event(entries["event"], source), within_ms, _path(entries["value"], source) if "value" in entries else ())


def read_facts(node: yaml.Node, source: YamlSource) -> tuple[MessageFact, ...]:
    """The facts, in the order of their names."""
    facts = [_fact(_fact_name(key, source), value, source) for key, value in source.entries(node, what="a mapping of facts")]
    if len(facts) > FACTS_MAX:
        source.fail(node, f"expected at most {FACTS_MAX} facts, found {len(facts)}")
    return tuple(sorted(facts, key=lambda fact: fact.name))


def _fact_name(node: yaml.Node, source: YamlSource) -> str:
    name = name_of(node, source, "a fact")
    if name in TEMPLATE_NAMES:
        source.fail(node, f"found the fact {name!r}, which means something else in a template")
    return name


def _fact(name: str, node: yaml.Node, source: YamlSource) -> MessageFact:
    if isinstance(node, yaml.MappingNode):
        return _cart(name, node, source)
    found = source.expression(node)
    if not isinstance(found, Value | Numeric | Time):
        shown = f"{tree.text(found):.60}"
        source.fail(node, f'expected a value, a number or a time such as trait("first_name"), found {shown}')
    return ValueFact(name, found)


def _cart(name: str, node: yaml.Node, source: YamlSource) -> CartFact:
    keys = ("left_of", "minus", "until", "by", "keep", "max")
    entries = source.known_entries(node, keys, what="a mapping with 'left_of' and 'by'", of=f"the fact {name!r}")
    for key in ("left_of", "by"):
        if key not in entries:
            source.fail(node, f"expected {key!r} in the fact {name!r}, found none")
    keep = tuple(_path(item, source) for item in source.items(entries["keep"])) if "keep" in entries else ()
    if len(keep) > CART_KEEP_MAX:
        source.fail(entries["keep"], f"expected at most {CART_KEEP_MAX} properties to keep, found {len(keep)}")
    return CartFact(
        name,
        _events(entries["left_of"], source),
        _events(entries["minus"], source) if "minus" in entries else (),
        _events(entries["until"], source) if "until" in entries else (),
        _path(entries["by"], source),
        tuple(dict.fromkeys(keep)),
        whole(entries["max"], source, least=1, most=CART_ITEMS_MAX) if "max" in entries else 10,
    )


def _events(node: yaml.Node, source: YamlSource) -> tuple[str, ...]:
    items = source.items(node)
    if not 1 <= len(items) <= EVENTS_MAX:
        source.fail(node, f"expected 1 to {EVENTS_MAX} event names, found {len(items)}")
    return tuple(dict.fromkeys(_event(item, source) for item in items))


def _event(node: yaml.Node, source: YamlSource) -> str:
    name = text_of(node, source)
    if "*" in name:
        source.fail(node, f"expected the whole name of an event, found {name!r:.60}")
    return name


def _path(node: yaml.Node, source: YamlSource) -> Path:
    path = tuple(text_of(node, source).split("."))
    if not all(path):
        source.fail(node, 'expected a path such as "price" or "address.city"')
    return path


def name_of(node: yaml.Node, source: YamlSource, what: str) -> str:
    """A name of a-z, 0-9 and _."""
    name = source.scalar(node)
    if not is_segment_name(name):
        source.fail(node, f"expected a name of a-z, 0-9 and _ for {what}, found {name!r:.80}")
    return name


def text_of(node: yaml.Node, source: YamlSource) -> str:
    """A text that is not empty, of at most 512 characters."""
    text = source.printable(node)
    if not text.strip():
        source.fail(node, "expected a text, found nothing")
    if len(text) > TEXT_CHARS_MAX:
        source.fail(node, f"expected at most {TEXT_CHARS_MAX} characters, found {len(text)}")
    return text


def whole(node: yaml.Node, source: YamlSource, *, least: int, most: int) -> int:
    """A whole number."""
    text = source.scalar(node)
    if not re.fullmatch(r"-?[0-9]{1,6}", text) or not least <= int(text) <= most:
        source.fail(node, f"expected a whole number from {least} to {most}, found {text!r:.20}")
    return int(text)
