"""Why a customer is in a segment, or not and what is missing; and when that turns if nothing happens."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from streamer.customers.state import State, decode_state, encode_state
from streamer.language import tree
from streamer.language.tree import Condition
from streamer.segments.plan.plan import Plan, SegmentRule, WarmingSince
from streamer.values import time_text
from streamer.wire import Instant

from .change import Clause, Lens, Reasons, because
from .evaluate import Ahead, next_flips

NOTHING_WARMING: Final[Mapping[str, WarmingSince]] = MappingProxyType({})


class ExplainedClause(Clause):
    """One atom of the condition that decided, with its value at that moment.

    ``warming``: it looks further back than events are known, which they are since ``known_since``; from ``whole_from`` on it has seen as
    far back as it looks, left out where it looks back to the beginning. ``approximate``: the answer was folded; how many events it may be
    off. ``cut``: only the beginning of the value is here, the clause looked at all of it. ``reasons``: of a score, what moved it most, in
    words.
    """

    known_since: Instant | None = None
    whole_from: Instant | None = None


class Explanation(msgspec.Struct, omit_defaults=True):
    """One customer and one segment.

    ``because``: inside, the clauses that hold them there; outside, the clauses that would have to turn, or those that hold where the way
    in is barred by something else. What the rule negates stands with its ``not``. ``barred``: outside, the clauses of an ``exit`` that
    holds; nobody enters before it does not.
    ``of_exit``: inside, they are those of the segment's exit, whose being false is what holds them there; ``exit_holds``: it is true, and
    ``note`` says what holds them all the same. ``since``: of the newest change. ``flips_at``: when that turns if nothing happens;
    ``no_flip_until``: none is known, and that is how far was looked.
    """

    segment: str
    purpose: str
    inside: bool
    because: list[ExplainedClause]
    since: str | None = None
    flips_at: str | None = None
    no_flip_until: str | None = None
    note: str | None = None
    barred: list[ExplainedClause] = []
    of_exit: bool = False
    exit_holds: bool = False

    @property
    def matters(self) -> bool:
        """Whether something other than an event has to do with it: who is outside most segments wants to read of few."""
        return self.inside or self.flips_at is not None or bool(self.barred) or self.note is not None


def explain(
    plan: Plan,
    state: State,
    now: int,
    warming: Mapping[str, WarmingSince] = NOTHING_WARMING,
    reasons: Reasons | None = None,
    *,
    only: Collection[str] | None = None,
    ahead: Ahead | None = None,
) -> list[Explanation]:
    """All segments by name, or ``only`` these, as things stand at ``now`` (not before the state's last event). ``ahead`` is what is looked
    for at once where nobody has before."""
    rules = [rule for rule in _by_name(plan) if only is None or rule.name in only]
    if state.aside_ms:
        return [_standing(rule, state) for rule in rules]
    ahead = ahead or next_flips(plan, state, now)
    until = None if ahead.until_ms is None else time_text(ahead.until_ms)
    state = decode_state(encode_state(state))
    now -= state.origin_ms
    plan.settle(state, now)

    lens = Lens(frozenset(warming), reasons)

    def tell(condition: Condition) -> list[ExplainedClause]:
        clauses = [_explained(clause, warming.get(clause.clause)) for clause in because(plan, condition, state, now, lens)]
        return _as_written(condition, clauses)

    found: list[Explanation] = []
    for rule in rules:
        entry = state.members.get(rule.number)
        inside = entry is not None and entry.inside
        flip = ahead.flips.get(rule.name)
        bar = _bar(rule, state, now) if not inside else None
        found.append(
            Explanation(
                rule.name,
                rule.segment.purpose,
                inside,
                tell(_deciding(rule, inside)),
                since=time_text(entry.at_ms + state.origin_ms) if entry is not None else None,
                flips_at=time_text(flip.at_ms) if flip is not None else None,
                no_flip_until=until if flip is None else None,
                note=_note(rule, state, now),
                barred=tell(bar) if bar is not None else [],
                of_exit=inside and rule.segment.exit is not None,
                exit_holds=inside and rule.segment.exit is not None and plan.condition(rule.segment.exit)(state, now),
            )
        )
    return found


def _by_name(plan: Plan) -> list[SegmentRule]:
    """The segments that readers know."""
    return sorted(plan.rules[: len(plan.names)], key=lambda rule: rule.name)


def _explained(clause: Clause, warming: WarmingSince | None) -> ExplainedClause:
    found = ExplainedClause(**msgspec.structs.asdict(clause))
    if clause.warming and warming is not None:
        found.known_since = time_text(warming.since_ms)
        found.whole_from = None if warming.whole_ms is None else time_text(warming.whole_ms)
    return found


def _as_written(condition: Condition, clauses: list[ExplainedClause]) -> list[ExplainedClause]:
    """The clauses of a condition, a negated one with its ``not``: what holds somebody out then never reads like a clause that holds."""
    negations = _negations(condition)
    return [
        msgspec.structs.replace(clause, clause=negations[clause.clause], holds=not clause.holds) if clause.clause in negations else clause
        for clause in clauses
    ]


def _negations(condition: Condition) -> dict[str, str]:
    """Texts of the atoms that a condition only negates, each with the text of its negation."""
    plain, negated = set[str](), dict[str, str]()

    def collect(node: Condition, is_negated: bool) -> None:
        match node:
            case tree.And(of=of) | tree.Or(of=of):
                for part in of:
                    collect(part, is_negated)
            case tree.Not(of=of):
                collect(of, not is_negated)
            case _:
                if is_negated:
                    negated[tree.text(node)] = tree.text(tree.Not(node))
                else:
                    plain.add(tree.text(node))

    collect(condition, False)
    return {text: negation for text, negation in negated.items() if text not in plain}


def _standing(rule: SegmentRule, state: State) -> Explanation:
    """Of a customer who is set aside: our code fails at judging them, so only what was said is repeated."""
    entry = state.members.get(rule.number)
    note = (
        f"set aside since {time_text(state.aside_ms)}: our own code failed at this customer, so memberships stand as they were then "
        "and no timer runs until their next event; the worker's log has the place"
    )
    since = time_text(entry.at_ms + state.origin_ms) if entry is not None else None
    return Explanation(rule.name, rule.segment.purpose, entry is not None and entry.inside, [], since=since, note=note)


def _deciding(rule: SegmentRule, inside: bool) -> Condition:
    return rule.segment.exit if inside and rule.segment.exit is not None else rule.segment.when


def _bar(rule: SegmentRule, state: State, now: int) -> Condition | None:
    """The exit, where it holds and somebody wrote it: that of a score's hysteresis says nothing that ``when`` does not."""
    if rule.exit is None or "exit" not in rule.segment.source or not rule.exit(state, now):
        return None
    return rule.segment.exit


def _note(rule: SegmentRule, state: State, now: int) -> str | None:
    """What besides the conditions holds a customer in or out."""
    if any(slot not in state.slots for slot in rule.asks):
        return "not ready: a model that it asks has no answer yet, so nobody enters and nobody leaves"
    entry = state.members.get(rule.number)
    if entry is None:
        return None
    if entry.inside and now < entry.at_ms + rule.stay_ms:
        return f"stays at least until {time_text(entry.at_ms + rule.stay_ms + state.origin_ms)}"
    if not entry.inside and now < entry.at_ms + rule.cooldown_ms:
        return f"cannot enter again before {time_text(entry.at_ms + rule.cooldown_ms + state.origin_ms)}"
    return None
