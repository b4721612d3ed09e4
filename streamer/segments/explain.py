"""Why a customer is in a segment, or not and what is missing; and when that turns if nothing happens."""

from __future__ import annotations

import msgspec

from streamer.customers.state import State, decode_state, encode_state
from streamer.values import time_text

from .change import Clause, Reasons, because
from .judge import next_flips
from .plan import Plan, Rule
from .tree import Condition


class Explanation(msgspec.Struct, omit_defaults=True):
    """One customer and one segment.

    ``because``: inside, the clauses that hold them there; outside, the clauses that would have to turn. ``of_exit``: they are those of the
    segment's exit, whose being false is what holds them there. ``since``: of the newest change.
    """

    segment: str
    purpose: str
    inside: bool
    because: list[Clause]
    since: str | None = None
    flips_at: str | None = None
    note: str | None = None
    of_exit: bool = False


def explain(plan: Plan, state: State, now: int, warming: frozenset[str] = frozenset(), reasons: Reasons | None = None) -> list[Explanation]:
    """All segments by name, as things stand at ``now`` (not before the state's last event)."""
    flips = next_flips(plan, state, now)
    state = decode_state(encode_state(state))
    plan.settle(state, now)
    found: list[Explanation] = []
    for rule in sorted(plan.rules, key=lambda rule: rule.name):
        entry = state.members.get(rule.number)
        inside = entry is not None and entry[0] % 2 == 1
        flip = flips.get(rule.name)
        found.append(
            Explanation(
                rule.name,
                rule.segment.purpose,
                inside,
                because(plan, _deciding(rule, inside), state, now, warming, reasons),
                time_text(entry[1]) if entry is not None else None,
                time_text(flip.at_ms) if flip is not None else None,
                _note(rule, state, now),
                of_exit=inside and rule.segment.exit is not None,
            )
        )
    return found


def _deciding(rule: Rule, inside: bool) -> Condition:
    return rule.segment.exit if inside and rule.segment.exit is not None else rule.segment.when


def _note(rule: Rule, state: State, now: int) -> str | None:
    """What besides the conditions holds a customer in or out."""
    if any(slot not in state.slots for slot in rule.asks):
        return "not ready: a model that it asks has no answer yet, so nobody enters and nobody leaves"
    entry = state.members.get(rule.number)
    if entry is None:
        return None
    if entry[0] % 2 and now < entry[1] + rule.stay_ms:
        return f"stays at least until {time_text(entry[1] + rule.stay_ms)}"
    if not entry[0] % 2 and now < entry[1] + rule.cooldown_ms:
        return f"cannot enter again before {time_text(entry[1] + rule.cooldown_ms)}"
    return None
