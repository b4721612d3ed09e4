"""Where views get their figures: the same answers as the API's, and what is followed in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from streamer.exports.aside import ExportsAside
from streamer.flow.committed import ShardView, newest_of
from streamer.previews.cost_aside import CostsAside
from streamer.segments.plan.plan import Plan
from streamer.server.customer_answers import LogEndsSeen
from streamer.server.errors import AnswerError
from streamer.server.server import Answers
from streamer.settings import Settings
from streamer.stores.base import Store
from streamer.webhooks.watch import SubscriptionWatch

from .alert_history import AlertHistory
from .change_history import ChangeHistory
from .customer_events import CustomerEvents
from .decision_history import DecisionHistory
from .delivery_history import DeliveryHistory
from .event_tail import EventTail
from .forecast import Forecasts
from .letter_history import LetterHistory
from .lift_history import LiftHistory
from .publishing import DraftPublisher
from .pulse import Pulse
from .template_shelf import TemplateShelf
from .test_sends import TestSends
from .trial_run import TrialRuns


class PageSources(NamedTuple):
    """What a view may ask."""

    settings: Settings
    store: Store
    answers: Answers
    ends: LogEndsSeen
    history: ChangeHistory
    decisions: DecisionHistory
    letters: LetterHistory
    deliveries: DeliveryHistory
    subscriptions: SubscriptionWatch
    alerts: AlertHistory
    lifts: LiftHistory
    forecasts: Forecasts
    events: CustomerEvents
    pulse: Pulse
    trials: TrialRuns
    templates: TemplateShelf
    test_sends: TestSends
    tail: EventTail
    exports: ExportsAside
    costs: CostsAside
    publishing: DraftPublisher
    now_ms: Callable[[], int]

    async def shards(self) -> list[ShardView]:
        """How far each shard is."""
        return list(await asyncio.gather(*[self.answers.committed.view(shard) for shard in range(self.settings.shards)]))

    async def newest_plan(self, views: list[ShardView]) -> Plan:
        """The newest definitions in force; AnswerError where no shard has any."""
        view = newest_of(views)
        if view is None:
            raise AnswerError("not_ready", "no shard has definitions yet: has a worker run, and have definitions been published?")
        return await self.answers.committed.newest_plan(view)
