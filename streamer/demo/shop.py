"""A simulated shop: a few hundred invented customers who come, look, fill carts, leave them or buy, and come back.

Everything is drawn from one seed, and the moment is an argument: the same shop, opened at the same moment, says the same events, however
often it is asked. It is a simulation, and every event says so in its context (``library.name``).

Customers wait until they feel like a visit; so many shop at once; each thinks between two steps as long as it takes for all of them
together to make the rate that was asked for.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from random import Random
from typing import Final

from streamer.demo.catalogue import Catalogue
from streamer.demo.people import CART_LEAVER, PERSONALITIES, SOURCE, Customer, invent
from streamer.demo.visits import Visitor, VisitStep, plan_left_cart, plan_visit
from streamer.events.event import Event

SHOPPING_RATIO_MAX: Final = 0.5  # of all customers; the others are elsewhere, which is when time does its work
THINKS_MS_MAX: Final = 1_500.0  # on average, at a low rate
STEPS_A_VISIT: Final = 9.0  # about; only for how long pauses may be
FIRST_CART_MS: Final = 150
FIRST_STEP_MS: Final = 250
FIRST_PAUSE_MS: Final = 20_000
COOKIE_VISITS: Final = 2  # after so many an anonymous visitor is a stranger again
SENT_TWICE: Final = 0.01  # a phone that lost the answer sends the same event again
NOBODY: Final = -1


class Shop:
    """The shop, from ``opened_ms`` on (UTC milliseconds). ``rate`` is events a second, on average."""

    def __init__(self, *, seed: int, customers: int, rate: float, opened_ms: int) -> None:
        self._random = random = Random(seed)  # noqa: S311 - a simulation, and it must be the same each time
        self.catalogue = Catalogue(random)
        self.visitors = [Visitor(customer) for customer in invent(random, customers)]
        self._rate = rate
        self._opened_ms = opened_ms
        self._shopping_max = max(1, min(round(customers * SHOPPING_RATIO_MAX), round(rate * THINKS_MS_MAX / 1_000)))
        self._pause_factor = _pause_factor(customers, rate)
        self._shopping = 0
        self._waiting: deque[int] = deque()
        self._agenda: list[tuple[float, int, int, bool]] = []  # (moment since the opening, a number that breaks ties, who, is back)
        self._entries = 0
        self._messages = 0
        self.first = self._begin_with_a_left_cart()
        self._waiting.extend(index for index in range(customers) if index != self.first)
        random.shuffle(self._waiting)
        self._let_in(0.0, spread_ms=1_000 * self._shopping_max / rate)

    def set_rate(self, rate: float) -> None:
        """From each customer's next step on so many events a second, about."""
        self._rate = rate

    @property
    def customers(self) -> list[Customer]:
        """Everybody who may come."""
        return [visitor.customer for visitor in self.visitors]

    def advance(self, to_ms: int) -> list[Event]:
        """What happens from the last call until ``to_ms`` after the opening, that moment included, in order."""
        events: list[Event] = []
        while self._agenda and self._agenda[0][0] <= to_ms:
            at, _, index, is_back = heappop(self._agenda)
            if is_back:
                self._waiting.append(index)
                self._let_in(at)
            else:
                events += self._take_step(at, index)
        return events

    def _begin_with_a_left_cart(self) -> int:
        """The first cart leaver comes at once and goes at once: nobody shall have to wait for the point of it all."""
        index = next((at for at, visitor in enumerate(self.visitors) if _shows_the_point(visitor.customer)), NOBODY)
        if index != NOBODY:
            self.visitors[index].steps = plan_left_cart(self.visitors[index], self.catalogue, self._random)
            self._shopping += 1
            self._enter(FIRST_CART_MS, index)
        return index

    def _let_in(self, at: float, *, spread_ms: float = 0.0) -> None:
        while self._waiting and self._shopping < self._shopping_max:
            index = self._waiting.popleft()
            self.visitors[index].steps = plan_visit(self.visitors[index], self.catalogue, self._random)
            self._shopping += 1
            self._enter(at + (self._random.random() * spread_ms if spread_ms else self._thinks_ms()), index)

    def _take_step(self, at: float, index: int) -> list[Event]:
        visitor = self.visitors[index]
        event = self._event(visitor, visitor.steps.pop(0), at)
        if visitor.steps:
            self._enter(at + (FIRST_STEP_MS if index == self.first and visitor.visits == 1 else self._thinks_ms()), index)
        else:
            self._shopping -= 1
            self._enter(at + self._pause_ms(index), index, is_back=True)
            self._let_in(at)
        return [event, event] if self._random.random() < SENT_TWICE else [event]

    def _enter(self, at: float, index: int, *, is_back: bool = False) -> None:
        self._entries += 1
        heappush(self._agenda, (at, self._entries, index, is_back))

    def _thinks_ms(self) -> float:
        """How long somebody thinks: so long that all who shop make the rate together."""
        return 1_000 * self._shopping / self._rate * self._random.uniform(0.4, 1.6)

    def _pause_ms(self, index: int) -> float:
        visitor = self.visitors[index]
        if index == self.first and visitor.visits == 1:
            return FIRST_PAUSE_MS
        return 1_000 * self._random.uniform(*visitor.customer.personality.pause_s) * self._pause_factor

    def _event(self, visitor: Visitor, step: VisitStep, at: float) -> Event:
        self._messages += 1
        customer = visitor.customer
        page = {"path": step.path, "title": step.name} if step.type == "page" else {"path": step.path}
        context: dict[str, object] = {**customer.context, "page": page}
        return Event(
            type=step.type,
            event=step.name if step.type == "track" else None,
            message_id=f"sim-{self._messages:07d}",
            user_id=None if customer.anonymous else customer.id,
            anonymous_id=f"anon-{customer.id}-{-(-visitor.visits // COOKIE_VISITS)}" if customer.anonymous else None,
            timestamp_ms=self._opened_ms + int(at),
            properties=step.properties,
            traits=step.traits,
            context=context,
        )


def _shows_the_point(customer: Customer) -> bool:
    """Whether they leave carts, and can be reminded by mail."""
    refuses = any(event == "Consent Withdrawn" for event, _ in customer.consents)
    return customer.personality is CART_LEAVER and "email" in customer.traits and not refuses


def _pause_factor(customers: int, rate: float) -> float:
    """At a high rate few people must come back sooner; 1 where the pauses can be what they are.

    >>> _pause_factor(600, 100), round(_pause_factor(600, 2_000), 2)
    (1.0, 0.11)
    """
    pause_s = sum(personality.share * sum(personality.pause_s) / 2 for personality in PERSONALITIES)
    return min(1.0, (1 - SHOPPING_RATIO_MAX) * customers * STEPS_A_VISIT / (rate * pause_s))


__all__ = ["SOURCE", "Shop"]
