"""What a decision reads of a customer: consent, suppression, address, language, facts, the clock on their wall (LANGUAGE.md, section 7)."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from tests.oracle.expressions import Accepted, Asked
from tests.oracle.messages import CONSENT_WAYS, SUPPRESSES, Message, Quiet, cart_memory, consent_memory, suppression_memory
from tests.oracle.values import ABSENT, EPOCH, equal, find, kind, local, whole

FACTS_BYTES_MAX = 2_048
ITEMS_MAX = 32
FORBIDDEN_IN_MAIL = set(' @<>,;:"()[]\\')
NEVER = float("-inf")


def newest(asked: Asked, memory: str, names: tuple[str, ...], **wanted: Any) -> float:
    """Event time of the newest event of these names whose properties have these values; what is wanted ``None`` must be missing."""
    return max(
        (
            each.t
            for each in asked.history
            if each.is_in(memory)
            and each.event["type"] == "track"
            and each.name in names
            and all(_has(each, key, value) for key, value in wanted.items())
        ),
        default=NEVER,
    )


def _has(each: Accepted, key: str, value: Any) -> bool:
    found = find(each.event.get("properties") or {}, key)
    return (found is None or found is ABSENT) if value is None else equal(found, value)


def lacks_consent(message: Message, rule: str, asked: Asked) -> bool:
    """``rule`` is opt_in or opt_out."""
    topic, channel = message.topic, message.channel
    given, withdrawn, unsubscribed = (consent_memory(way, topic, channel) for way in CONSENT_WAYS)
    yes = max(newest(asked, given, ("Consent Given",), topic=topic, channel=each) for each in (channel, None))
    no = max(
        *(newest(asked, withdrawn, ("Consent Withdrawn",), topic=topic, channel=each) for each in (channel, None)),
        *(newest(asked, unsubscribed, ("Message Unsubscribed",), topic=each) for each in (topic, None)),
    )
    stands = yes > no or no == NEVER
    return not stands or (rule == "opt_in" and yes == NEVER)


def suppressed_by(channel: str, asked: Asked) -> str | None:
    """What keeps messages from a channel, if anything does."""
    lifted = newest(asked, suppression_memory("Unsuppressed", channel), ("Message Unsuppressed",), channel=channel)
    for name in SUPPRESSES:
        more = {"permanent": True} if name == "Bounced" else {}
        at = newest(asked, suppression_memory(name, channel), (f"Message {name}",), channel=channel, **more)
        if at != NEVER and at >= lifted:
            return name.lower()
    return None


def value_of(tree: ast.expr, asked: Asked) -> Any:
    """An expression as a fact."""
    answer = asked.answer(tree)
    if answer.value is None:
        return None
    if answer.kind == "time":
        return time_text(answer.value)
    if answer.kind == "money":
        return float(Fraction(round(answer.value), 10_000))
    return answer.value


def address_of(message: Message, customer: str, asked: Asked) -> str | None:
    """Where to, or None where that is no address."""
    found = customer if message.address is None else value_of(message.address, asked)
    if not isinstance(found, str) or not found or len(found) > 256 or any(_is_unprintable(letter) for letter in found):
        return None
    return found if message.channel != "email" or _is_mail_address(found) else None


def _is_unprintable(letter: str) -> bool:
    code = ord(letter)
    return code <= 0x1F or 0x7F <= code <= 0x9F or code in (0x2028, 0x2029) or 0xD800 <= code <= 0xDFFF


def _is_mail_address(text: str) -> bool:
    local_part, at, domain = text.partition("@")
    if not at or len(text) > 254 or not 1 <= len(local_part) <= 64 or FORBIDDEN_IN_MAIL & set(local_part + domain):
        return False
    return all(domain.split("."))


def language_of(message: Message, asked: Asked) -> str | None:
    texts = [found for tree in message.language if isinstance(found := value_of(tree, asked), str) and found]
    return texts[0][:35] if texts else None


def minute_of_day(moment: datetime) -> int:
    return moment.hour * 60 + moment.minute


def quiet_end_ms(quiet: Quiet, now: int, zone: str) -> int:
    """The first instant after ``now`` at which the clock shows the end, or is put forward over it. Clocks are put on whole minutes."""
    for minute in range(now // 60_000 + 1, now // 60_000 + 3 * 1_440):
        before, shown = (wall(ms, zone) for ms in (minute * 60_000 - 1, minute * 60_000))
        if minute_of_day(shown) == quiet.end:
            return minute * 60_000
        end = before.replace(hour=quiet.end // 60, minute=quiet.end % 60, second=0, microsecond=0)
        if any(before < end + timedelta(days=days) < shown for days in (0, 1)):
            return minute * 60_000
    raise AssertionError(f"no end of {quiet.text} within three days in {zone}")


def wall(ms: int, zone: str) -> datetime:
    """What the clock shows, without its zone."""
    return local(ms, zone).replace(tzinfo=None)


def facts_of(message: Message, asked: Asked) -> dict[str, Any]:
    """All facts by name, cut to what fits."""
    facts = {name: cart_of(fact, asked) if isinstance(fact, dict) else value_of(fact, asked) for name, fact in message.facts.items()}
    while _size(facts) > FACTS_BYTES_MAX:
        lists = [name for name, value in facts.items() if isinstance(value, list) and value]
        longest = max(lists or facts, key=lambda name: (_size(facts[name]), name))
        facts[longest] = facts[longest][:-1] if lists else None
    return facts


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def cart_of(fact: dict[str, Any], asked: Asked) -> list[dict[str, Any]]:
    """What was added and neither removed nor ordered since."""
    known = [each for each in asked.history if each.is_in(cart_memory(fact)) and each.event["type"] == "track"]
    added, removed = _remembered(fact, known)
    ordered = max((each.t for each in known if each.name in _names(fact, "until")), default=NEVER)
    keep = fact.get("keep", [])
    keep = [keep] if isinstance(keep, str) else keep
    inside = [name for name, each in added.items() if each.t > max(removed.get(name, NEVER), ordered)]
    inside.sort(key=lambda name: (-added[name].t, name))
    return [{path: _kept(added[name], path) for path in keep} for name in inside[: fact.get("max", 10)]]


def _remembered(fact: dict[str, Any], known: Iterable[Accepted]) -> tuple[dict[str, Accepted], dict[str, int]]:
    """By item: the newest event that added it, and when it was removed last; of so many items as are remembered."""
    added: dict[str, Accepted] = {}
    removed: dict[str, int] = {}
    most = max(ITEMS_MAX, 2 * fact.get("max", 10))
    for each in sorted(known, key=lambda one: (one.offset, one.rank)):
        name = _item(each, fact["by"])
        if name is None:
            continue
        if each.name in _names(fact, "left_of") and (name not in added or added[name].place <= each.place):
            added[name] = each
        if each.name in _names(fact, "minus"):
            removed[name] = max(removed.get(name, each.t), each.t)
        items = added.keys() | removed.keys()
        while len(items) > most:
            gone = min(items, key=lambda one: (max(added[one].t if one in added else NEVER, removed.get(one, NEVER)), one))
            added.pop(gone, None)
            removed.pop(gone, None)
            items = added.keys() | removed.keys()
    return added, removed


def _item(each: Accepted, by: str) -> str | None:
    found = find(each.event.get("properties") or {}, by)
    return None if kind(found) == "other" else json.dumps(whole(found), ensure_ascii=False)


def _kept(each: Accepted, path: str) -> Any:
    found = find(each.event.get("properties") or {}, path)
    return None if found is ABSENT else found


def _names(fact: dict[str, Any], key: str) -> list[str]:
    given = fact.get(key, [])
    return [given] if isinstance(given, str) else given


def time_text(ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"
