"""What is committed of customers, as answers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from streamer.customers.model_data import score_of
from streamer.customers.state import State
from streamer.deployment.past import KnownThen
from streamer.errors import UnansweredError
from streamer.flow.committed import CommittedCustomer, CommittedCustomers, ShardView
from streamer.flow.folding import FoldError
from streamer.segments.evaluate import Ahead
from streamer.segments.plan import model_memories
from streamer.segments.plan.plan import Plan
from streamer.suggest import nearest
from streamer.values import SCALE, time_text
from streamer.wire import shard_of

from .aheads import Aheads
from .answers import CustomerAnswer, LogPosition, MembershipAnswer, MembershipsAnswer, MembershipsQuestion, NextFlip, ScoreAnswer
from .errors import AnswerError
from .limits import EXPLAINED_AT_ONCE

NOBODY: Final = Ahead({}, None)


class LogEndsSeen(Protocol):
    """Where logs end: ``transports.kafka.end_watch.EndWatch``."""

    def end(self, shard: int) -> int | None:
        """The offset behind the last record of a shard; None where nobody knows."""
        ...


class NoEnds:
    """Nobody watches where logs end: how far a shard is behind is not said."""

    def end(self, shard: int) -> int | None:  # noqa: ARG002 - see ``LogEndsSeen``
        """None."""
        return None


class ShardAge(NamedTuple):
    """How old what is committed of a shard is."""

    as_of: str
    lag_ms: int | None
    position: LogPosition


class Ages:
    """Says of shards how far they are."""

    def __init__(self, generation: int, ends: LogEndsSeen, now_ms: Callable[[], int]) -> None:
        self._generation = generation
        self._ends = ends
        self._now_ms = now_ms

    def of(self, view: ShardView) -> ShardAge:
        """The age of a shard as of one commit."""
        behind = self.lag_records(view)
        lag_ms = None if behind is None else 0 if behind == 0 else max(0, self._now_ms() - view.log_time_ms)
        return ShardAge(time_text(view.log_time_ms), lag_ms, LogPosition(self._generation, view.shard, view.position.offset))

    def lag_records(self, view: ShardView) -> int | None:
        """How many records a shard has still to apply, with the marks of transactions; None where Kafka did not say."""
        end = self._ends.end(view.shard)
        return None if end is None else max(0, end - view.position.offset)


class Wish(NamedTuple):
    """What of a customer is asked for: only these segments, if any are named; why; and as of when (UTC; None: as is committed)."""

    segments: Sequence[str] | None = None
    explain: bool = False
    at_ms: int | None = None


class Pasts(Protocol):
    """Tells customers as of a moment: ``deployment.past.PastCustomers``."""

    async def at(self, found: CommittedCustomer, at_ms: int) -> KnownThen | None:
        """None where nothing was known of them. Raises FoldError where it cannot be told, UnansweredError where Kafka is away."""
        ...


class NoPasts:
    """Whoever has this does not read the log."""

    async def at(self, found: CommittedCustomer, at_ms: int) -> KnownThen | None:  # noqa: ARG002 - see ``Pasts``
        """FoldError."""
        raise FoldError("the log is not read here")


NO_PASTS: Final = NoPasts()


class CustomerAnswers:
    """Answers questions about customers. Raises AnswerError, and what reading the store may."""

    def __init__(
        self, customers: CommittedCustomers, ages: Ages, shards: int, quiet_ms: int, now_ms: Callable[[], int], pasts: Pasts
    ) -> None:
        self._customers = customers
        self._pasts = pasts
        self._ages = ages
        self._shards = shards
        self._quiet_ms = quiet_ms  # time goes on for so long at most while nobody writes
        self._now_ms = now_ms
        self._aheads = Aheads()
        self._explaining = asyncio.Semaphore(EXPLAINED_AT_ONCE)
        self._recalling = asyncio.Semaphore(EXPLAINED_AT_ONCE)  # these wait for Kafka, which is nothing to the others

    async def one(self, asked: str, wish: Wish) -> tuple[CustomerAnswer, str]:
        """A customer, and a mark that differs when anything but the age of the answer does."""
        found = await self._customers.look_up(asked)
        if found.is_being_joined:
            raise AnswerError("being_joined", "the ids of this customer are being joined at this moment; ask again", "url")
        if found.state is None or found.view.body is None:
            raise AnswerError("unknown_customer", "nothing is committed of a customer of this id", "url")
        if wish.at_ms is not None:
            return await self._then(asked, found, wish, wish.at_ms), ""
        return await self._answer(asked, found, found.state, wish), _mark(found, wish)

    async def _then(self, asked: str, found: CommittedCustomer, wish: Wish, at_ms: int) -> CustomerAnswer:
        if at_ms > found.view.log_time_ms:
            raise AnswerError(
                "bad_request", f"expected no moment after {time_text(found.view.log_time_ms)}, log time of theirs", "query.at"
            )
        async with self._recalling:
            try:
                then = await self._pasts.at(found, at_ms)
            except FoldError as error:
                raise AnswerError("past_unknown", str(error), "query.at") from None
            except UnansweredError:
                raise AnswerError("kafka_away", "the log does not answer at the moment; come back") from None
            if then is None:
                raise AnswerError("unknown_customer", "nothing was known of a customer of this id then", "url")
            return self._answer_then(asked, found, then, wish)

    def _answer_then(self, asked: str, found: CommittedCustomer, then: KnownThen, wish: Wish) -> CustomerAnswer:
        age, at = self._ages.of(found.view), time_text(then.at_ms)
        answer = CustomerAnswer(
            asked,
            at,
            age.lag_ms,
            age.position,
            then.body.version,
            _memberships(then.plan, then.state, wish.segments, NOBODY),
            scores=_scores(then.plan, then.state),
            merged_into=then.customer if then.customer != asked else None,
            of_history=then.is_of_history,
            set_aside_since=time_text(then.state.aside_ms) if then.state.aside_ms else None,
        )
        if wish.explain:
            answer.explained_at, answer.explanation = at, then.explain(wish.segments)
        return answer

    async def many(self, question: MembershipsQuestion) -> MembershipsAnswer:
        """Customers in the order asked for; those of one shard as of one commit."""
        asked = list(dict.fromkeys(question.customers))
        by_shard: dict[int, list[str]] = {}
        for customer in asked:
            by_shard.setdefault(shard_of(customer, self._shards), []).append(customer)
        founds: dict[str, CommittedCustomer] = {}
        for shard, customers in by_shard.items():
            founds.update(zip(customers, await self._customers.in_shard(shard, customers), strict=True))
        wish, answer = Wish(question.segments), MembershipsAnswer([], [], [])
        for customer in asked:
            found = founds[customer]
            if found.passed:  # an old id: it leads to another shard
                found = await self._customers.look_up(customer)
            if found.is_being_joined:
                answer.being_joined.append(customer)
            elif found.state is None:
                answer.unknown.append(customer)
            else:
                answer.customers.append(await self._answer(customer, found, found.state, wish))
        return answer

    async def _answer(self, asked: str, found: CommittedCustomer, state: State, wish: Wish) -> CustomerAnswer:
        plan, body = await self._customers.plan_of(found), found.view.body
        assert body is not None, "a shard that has states has a checkpoint"
        model_memories.drop_scores(state, model_memories.unscored_slots(plan.definitions.models, plan.slots, body.models))
        ahead = NOBODY if state.aside_ms else self._aheads.get(_state_mark(found), plan, state, found.view.log_time_ms)
        age = self._ages.of(found.view)
        answer = CustomerAnswer(
            asked,
            age.as_of,
            age.lag_ms,
            age.position,
            body.version if state.generation == body.generation else None,
            _memberships(plan, state, wish.segments, ahead),
            scores=_scores(plan, state),
            merged_into=found.customer if found.customer != asked else None,
            looked_ahead_until=None if ahead.until_ms is None else time_text(ahead.until_ms),
            set_aside_since=time_text(state.aside_ms) if state.aside_ms else None,
        )
        if wish.explain:
            now_ms = max(found.view.log_time_ms, min(self._now_ms(), found.view.log_time_ms + self._quiet_ms))
            answer.explained_at = time_text(now_ms)
            async with self._explaining:
                answer.explanation = await self._customers.explain(found, now_ms, wish.segments)
        return answer


def _state_mark(found: CommittedCustomer) -> bytes:
    """Differs where the state does, or the definitions and models under which it stands."""
    body = found.view.body
    assert body is not None, "a shard that has states has a checkpoint"
    what = (found.customer, found.encoded, body.digest, body.generation, sorted(body.models.items()))
    return hashlib.blake2b(repr(what).encode(errors="surrogatepass"), digest_size=16).digest()


def _mark(found: CommittedCustomer, wish: Wish) -> str:
    asked = repr(wish.segments).encode(errors="surrogatepass")
    return hashlib.blake2b(_state_mark(found) + asked, digest_size=12).hexdigest()


def _memberships(plan: Plan, state: State, names: Sequence[str] | None, ahead: Ahead) -> dict[str, MembershipAnswer]:
    """By name. Without a choice those that were ever entered, and those that time alone will enter."""
    if names is None:
        ever = {name for name, number in plan.known_numbers.items() if number in state.members}
        touched = ever | {name for name, flip in ahead.flips.items() if flip.enters}
        names = sorted(touched)
    return {name: _membership(plan, state, name, ahead) for name in names}


def _membership(plan: Plan, state: State, name: str, ahead: Ahead) -> MembershipAnswer:
    number, flip = plan.known_numbers.get(name), ahead.flips.get(name)
    if number is None:
        raise unknown_segment(name, plan.known_numbers, "query.segments")
    turns = None if flip is None else NextFlip(time_text(flip.at_ms), flip.enters)
    entry = state.members.get(number)
    if entry is None:
        return MembershipAnswer(False, None, state.retired.get(name, 0), turns)
    return MembershipAnswer(entry.inside, time_text(entry.at_ms + state.origin_ms), entry.changes, turns)


def _scores(plan: Plan, state: State) -> dict[str, ScoreAnswer]:
    """What models say, by their names; nothing of one that is not ready."""
    found: dict[str, ScoreAnswer] = {}
    for spec in plan.definitions.models:
        data = state.slots.get(plan.slots[model_memories.score_key(spec.name)])
        if data is None:
            continue
        kept = score_of(data)
        if isinstance(kept.value, str):
            found[spec.name] = ScoreAnswer(kept.version, group=kept.value)
        else:
            found[spec.name] = ScoreAnswer(kept.version, kept.value / SCALE, kept.share / SCALE)
    return found


def unknown_segment(name: str, known: Mapping[str, int], path: str) -> AnswerError:
    """What to raise for a segment that is not defined."""
    close = nearest(name, known)
    hint = f"did you mean {close}? " if close is not None else ""
    return AnswerError("unknown_segment", f"no such segment is in force; {hint}GET /v1/segments lists them", path)
